"""Report of an adaptation to a region without labels."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from sits_engine.learning.adaptation.options import METHODS, SELF_TRAINING, SHIFTING
from sits_engine.learning.adaptation.shift_words import shift_words
from sits_engine.learning.adaptation.summary import AdaptationReportData, LabelledCheck, Word
from sits_engine.report import words
from sits_engine.report.fast import fast_section
from sits_engine.report.page import Column, Figure, Judgement, Page, Section, Table, Tile, write_page
from sits_engine.report.plots import changes, confusion, epochs, moved
from sits_engine.report.shift import SIGN, curve_section, curve_warnings

_TONES: dict[Word, tuple[Literal["good", "even", "bad", "open"], str]] = {
    "better": ("good", "Verdict: likely better"),
    "same": ("even", "Verdict: about the same"),
    "worse": ("bad", "Verdict: likely worse"),
    "unclear": ("open", "Verdict: unclear"),
}
_WORTH = (
    "This is a judgement from indirect evidence: no label of the target was used for it, so it can be wrong. "
    "Before you rely on a map, check it with a few points of your own: 'Create validation sample' draws "
    "them, and 'Assess map' compares them with the maps of the old and the new model."
)
#: Words for the models of a labelled check, in the order of the table.
_MODELS = {
    "source": "source model as it was",
    "shifted": "source model with the shift",
    "adapted": "adapted model",
}
#: Methods that learn from pseudo labels; of the others the counts only show how sure the network is.
PSEUDO_LABELS = (*SELF_TRAINING, "alda")
#: Macro-F1 may differ by this and still count as the same (one point).
POINT = 0.01


def write_adaptation_report(path: Path, data: AdaptationReportData) -> Path:
    """Write the HTML report to `path` and its numbers beside it; returns the path of the numbers.

    Raises:
        EngineError: OUTPUT_NOT_WRITABLE.
    """
    return write_page(path, adaptation_page(data), data.as_json())


def adaptation_page(data: AdaptationReportData) -> Page:
    """The page: verdict, sentences, shift, profiles, epochs, shares, changes, labels, provenance."""
    sections = [
        _shift(data),
        _profiles(data),
        _epochs(data),
        _shares(data),
        _changes(data),
        _map(data),
        _labelled(data),
        fast_section(data.fast, data.classes, data.colors),
    ]
    return Page(
        kind="Adaptation report",
        title=data.title,
        subtitle=f"{_method(data)}, from {data.source_title} to {data.target_title}, "
        f"{len(data.classes)} classes",
        judgement=judgement(data),
        sentences=sentences(data),
        tiles=_tiles(data),
        sections=[section for section in sections if section is not None],
        provenance={
            "Inputs": words.facts(data.provenance),
            "Parameters": words.facts(data.parameters),
            "Numbers behind the verdict": {
                name.replace("_", " "): f"{value:.4g}" if np.isfinite(value) else "–"
                for name, value in data.verdict.measures.items()
            },
            "Samples left out or repaired": {str(i): note for i, note in enumerate(data.notes, start=1)},
        },
        warnings=warnings_of(data),
    )


def judgement(data: AdaptationReportData) -> Judgement:
    """The verdict in its colour, its reasons, and that no label was used for it."""
    tone, word = _TONES[data.verdict.word]
    reasons = [(reason.speaks, reason.text) for reason in data.verdict.reasons]
    return Judgement(tone, word, data.verdict.headline, reasons, _WORTH)


def warnings_of(data: AdaptationReportData) -> list[str]:
    """Those of the run, of the shift if it was used, and of labels that contradict the verdict."""
    # What is wrong with an estimate that the method did not use is no news.
    shift = curve_warnings(data.curves) if data.method in SHIFTING or data.shift else []
    return list(dict.fromkeys([*data.warnings, *shift, *_contradiction(data)]))


def _method(data: AdaptationReportData) -> str:
    return next((word for key, word in METHODS.items() if key == data.method), data.method)


def _tiles(data: AdaptationReportData) -> list[Tile]:
    n = len(data.before)
    estimate = "" if data.shift == data.curves.shift else f"; the estimate is {words.days(data.curves.shift)}"
    tiles = [
        Tile(words.days(data.shift), "shift used", f"added to the dates of the target{estimate}"),
        Tile(words.percent(data.agreement), "keep their class", f"of {words.count(n)} samples of the target"),
    ]
    if n:
        pair = [float(np.nanmean(c)) for c in (data.confidence_before, data.confidence_after)]
        value = f"{100 * pair[0]:.0f} → {100 * pair[1]:.0f} %"
        tiles.append(Tile(value, "mean confidence", "old → new model; being sure is not being right"))
    if data.labelled is not None:
        scores = data.labelled.scores
        old, new = (scores.get(m, {}).get("macro_f1") for m in ("source", "adapted"))
        note = "old → new model, on labels given for this report only"
        tiles.append(Tile(f"{words.score(old)} → {words.score(new)}", "macro-F1", note))
    return tiles


def sentences(data: AdaptationReportData) -> list[str]:
    """What was done, the shift in words, what changed, what the user's labels say."""
    trained = len(data.epochs)
    what = (
        f"{_method(data)} went on training the model of {data.source_title} for {trained} "
        f"epoch{'' if trained == 1 else 's'} with samples of {data.target_title}, without their labels."
        if trained
        else f"The model of {data.source_title} was given the shift of {data.target_title}; it was not "
        "trained any further."
    )
    shift = f"By the label-free estimate, {shift_words(data.curves)}"
    if data.shift != data.curves.shift:
        shift += f"; this run used {words.days(data.shift)}" if data.shift else "; this run used no shift"
    out = [what, f"{shift}."]
    n = len(data.before)
    if n:
        changed = int((data.before != data.after).sum())
        out.append(
            f"{words.of_hundred(changed / n)} samples of the target have another class than before"
            f"{_most_frequent(data)}."
            if changed
            else "No sample of the target has another class than before."
        )
    if data.labelled is not None and data.labelled.n_sets:
        scores = data.labelled.scores
        old, new = (scores.get(m, {}).get("macro_f1") for m in ("source", "adapted"))
        out.append(
            f"On the {words.count(data.labelled.n_sets)} labelled samples that you gave for this report "
            f"only, macro-F1 goes from {words.score(old)} to {words.score(new)}."
        )
    return out


def _most_frequent(data: AdaptationReportData) -> str:
    moves = np.array(data.changes, dtype=np.int64)
    np.fill_diagonal(moves, 0)
    if not moves.sum():
        return ""
    old, new = (int(i) for i in np.unravel_index(int(moves.argmax()), moves.shape))
    total = int(np.asarray(data.changes)[old].sum())
    return (
        f"; most often {data.classes[old]} becomes {data.classes[new]} "
        f"({words.count(moves[old, new])} of {words.count(total)})"
    )


def _contradiction(data: AdaptationReportData) -> list[str]:
    """A warning where the labels of the user say the opposite of the label-free verdict."""
    if data.labelled is None:
        return []
    scores = data.labelled.scores
    old, new = (scores.get(m, {}).get("macro_f1", float("nan")) for m in ("source", "adapted"))
    word = data.verdict.word
    if (word == "better" and new < old - POINT) or (word in ("worse", "same") and new > old + POINT):
        side = "worse" if new < old else "better"
    elif word == "same" and new < old - POINT:
        side = "worse"
    else:
        return []
    return [
        f"On the labels that you gave for this report, the adapted model is {side} than the source model "
        f"(macro-F1 {words.score(new)} against {words.score(old)}), unlike the verdict above, which uses no "
        "labels. Trust the labels if they were drawn at random over the region."
    ]


def _shift(data: AdaptationReportData) -> Section:
    section = curve_section(data.curves, data.shift)
    texts = [SIGN]
    if data.method not in SHIFTING and not data.shift:
        texts.append(f"{_method(data)} uses no shift: the estimate is shown for information.")
    return Section("The shift between the two regions", section.items, texts)


def _profiles(data: AdaptationReportData) -> Section | None:
    if not np.isfinite(data.source_profiles.mean).any():
        return None
    picture, label = moved.class_pairs(
        "pairs", data.classes, data.colors, data.source_profiles, data.target_profiles, data.shift
    )
    return Section(
        f"{label} of each class in the source and in the target",
        [
            Figure(
                picture,
                f"Mean {label} of each class in the source and in the target.",
                f"Mean {label}. Classes of the target are pseudo labels: answers of the source "
                f"model{' with the shift' if data.shift else ''}, right or wrong. Where the dark line "
                "follows the coloured one, the class looks alike in both regions; where it doesn't, the "
                "class differs or the pseudo labels are wrong. 'Not found': no sample of the target was "
                "given the class.",
            )
        ],
    )


def _epochs(data: AdaptationReportData) -> Section | None:
    if not data.epochs:
        return None
    last = data.epochs[-1]
    counted = ""
    if last.pseudo_seen:
        learns = data.method in PSEUDO_LABELS
        counted = (
            f"In the last epoch {words.count(last.pseudo_labels)} of {words.count(last.pseudo_seen)} target "
            f"samples were {'confident enough to count' if learns else 'above the confidence threshold'}"
            f"{'' if learns else f', which {_method(data)} does not use'}. "
        )
    items = [
        Figure(
            epochs.adaptation_curves("epochs", data.epochs),
            f"Pseudo labels, confidence, losses and shift over {len(data.epochs)} epochs.",
            f"{counted}Confidence may rise while the answers get worse: no curve here knows the truth.",
        ),
        Figure(
            epochs.shares_by_epoch("shares-by-epoch", data.epochs, data.classes, data.colors),
            "Shares of the classes that the target samples were given, epoch by epoch.",
            "Shares of the classes that the target samples were given during training. A class that fades "
            "away or takes over all others is a sign that the adaptation went wrong.",
        ),
    ]
    return Section("How the adaptation went", items)


def _shares(data: AdaptationReportData) -> Section:
    picture = changes.class_shares(
        "shares", data.classes, data.colors, data.shares_source, data.shares_before, data.shares_after
    )
    figure = Figure(
        picture,
        "Shares of the classes in the source and in the target, before and after the adaptation.",
        "The crops of the target may be others than those of the source; shares only have to be plausible.",
    )
    return Section("Shares of the classes", [figure])


def _changes(data: AdaptationReportData) -> Section | None:
    if not data.changes.sum():
        return None
    figure = Figure(
        confusion.confusion_matrix(
            "changes", data.changes, data.classes, "class by the source model", "class by the adapted model"
        ),
        "Matrix of the classes by the source model and by the adapted model.",
        "Target samples: count, and share of the row. On the framed diagonal the class stayed; what lies off "
        "it has changed, for better or worse.",
    )
    return Section("What the adaptation changed", [figure])


def _map(data: AdaptationReportData) -> Section | None:
    placed = np.isfinite(data.xy).all(axis=1) if len(data.xy) else np.zeros(0, dtype=bool)
    if not placed.any():
        return None
    lost = int((~placed).sum())
    without = f" {words.count(lost)} samples without a place are left out." if lost else ""
    figure = Figure(
        changes.change_map("change-map", data.xy, data.before, data.after, data.classes, data.colors),
        "Map of the target samples whose class changed.",
        f"Grey: same class by both models. Coloured: the new class of what changed.{without}",
    )
    return Section("Where it changed", [figure])


def _labelled(data: AdaptationReportData) -> Section | None:
    check = data.labelled
    if check is None:
        return None
    models = [key for key in _MODELS if key in check.scores]
    left = (
        f" {words.count(check.left_out)} more have classes that the model doesn't know and were left out."
        if check.left_out
        else ""
    )
    overall = Table(
        [Column("Model"), Column("macro-F1", True), Column("accuracy", True)],
        [
            [
                _MODELS[key],
                words.score(check.scores[key].get("macro_f1"), 3),
                words.score(check.scores[key].get("accuracy"), 3),
            ]
            for key in models
        ],
    )
    return Section(
        "Check with the labels that you gave",
        [overall, _per_class(data, check, models)],
        [
            f"{words.count(check.n_sets)} labelled samples of the target.{left} They were used for this "
            "report only: nothing was chosen with them, neither shift nor settings, neither epoch nor "
            "the verdict."
        ],
    )


def _per_class(data: AdaptationReportData, check: LabelledCheck, models: list[str]) -> Table:
    shown = [key for key in models if key in check.per_class]
    return Table(
        [Column("Class"), *(Column(f"F1, {_MODELS[key]}", True) for key in shown)],
        [
            [name, *(words.score(check.per_class[key][k]) for key in shown)]
            for k, name in enumerate(data.classes)
        ],
        "– where no labelled sample of the class was given.",
        data.colors,
    )
