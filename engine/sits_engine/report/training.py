"""Report of a training run."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sits_engine.learning.summary import SPLITS, ClassRow, TrainingReportData, unit_of
from sits_engine.report import words
from sits_engine.report.calibration import calibration_section
from sits_engine.report.fast import fast_section
from sits_engine.report.page import Column, Figure, Page, Section, Table, Tile, write_page
from sits_engine.report.plots import bars, confusion, curves, maps
from sits_engine.report.profiles import profiles_section


def write_training_report(path: Path, data: TrainingReportData) -> Path:
    """Write the HTML report to `path` and its numbers beside it; returns the path of the numbers.

    Raises:
        EngineError: OUTPUT_NOT_WRITABLE.
    """
    return write_page(path, training_page(data), data.as_json())


def training_page(data: TrainingReportData) -> Page:
    """The page: sentences, accuracy, calibration, classes, split, curves, provenance."""
    tested = int(data.confusion.sum())
    scores, unit = data.scores, unit_of(data.provenance)
    parcels = {name: int((data.split == i).sum()) for i, name in enumerate(SPLITS)}
    tiles = [
        Tile(words.score(scores.get("macro_f1")), "macro-F1", "mean over the classes, each counts alike"),
        Tile(words.percent(scores.get("accuracy"), 1), "accuracy", f"of {words.count(tested)} test {unit}"),
        Tile(words.score(scores.get("kappa")), "kappa", "agreement beyond chance"),
        Tile(
            words.percent(scores.get("calibration_error"), 1),
            "calibration error",
            "gap between confidence and truth, validation",
        ),
    ]
    reliability = (data.reliability_before, data.reliability_after)
    trust = calibration_section(*reliability, data.scores, data.temperature, unit)
    curve = profiles_section(
        data.profiles,
        [row.name for row in data.classes],
        [row.color for row in data.classes],
        f"the clear pixels of the training {unit}",
    )
    sections = [_accuracy(data), curve, _split(data), trust]
    names, colors = [row.name for row in data.classes], [row.color for row in data.classes]
    sections.append(fast_section(data.fast, names, colors))
    if data.epochs:
        sections.append(_curves(data))
    return Page(
        kind="Training report",
        title=data.title,
        subtitle=f"{words.count(sum(parcels.values()))} {unit}, {len(data.classes)} classes",
        sentences=sentences(data),
        tiles=tiles,
        sections=[section for section in sections if section is not None],
        provenance={
            "Inputs": words.facts(data.provenance),
            "Parameters": words.facts(data.parameters),
            f"{unit.capitalize()} left out or repaired": {
                str(i): note for i, note in enumerate(data.notes, start=1)
            },
        },
        warnings=data.warnings,
    )


def sentences(data: TrainingReportData) -> list[str]:
    """Three to five sentences: how often it is right, where it fails, what limits the figure."""
    tested = int(data.confusion.sum())
    names = [row.name for row in data.classes]
    unit = unit_of(data.provenance)
    out = []
    where = (
        "in parts of the region that training never saw"
        if data.split_kind == "blocks"
        else "that training never saw, often beside fields that it did see"
    )
    known = [row for row in data.classes if row.f1 is not None]
    if tested and known:
        right = int(np.trace(data.confusion))
        low, high = words.wilson(right, tested)
        out.append(
            f"On {words.count(tested)} {unit} {where}, the model named the right class for "
            f"{words.of_hundred(right / tested)}. With so many {unit}, chance alone lets that figure lie "
            f"anywhere between {100 * low:.0f} and {100 * high:.0f}."
        )
    elif tested:
        out.append(
            f"Only {words.count(tested)} {unit if tested > 1 else unit[:-1]} could be held out for a test: "
            f"too few to say how accurate this model is. Label more {unit}"
            + (", or split by parcels." if data.split_kind == "blocks" else ".")
        )
    else:
        out.append(
            f"No {unit} were left for a test, so nothing can be said about the accuracy of this model."
        )
    if known:
        best = max(known, key=_f1)
        worst = min(known, key=_f1)
        mistake = words.worst_confusion(data.confusion, names)
        tail = f"; its most frequent mistake is {mistake}" if mistake else ""
        out.append(
            f"It knows {best.name} best (F1 {words.score(best.f1)}) and {worst.name} least "
            f"(F1 {words.score(worst.f1)}){tail}."
        )
    off = data.scores.get("test_calibration_error")
    if off is not None and np.isfinite(off):
        out.append(
            "The confidence that it gives with each answer differs from the share that is right by "
            f"{100 * off:.1f} percentage points on average on the test {unit}."
        )
    rare = [row.name for row in data.classes if 0 < row.parcels.get("test", 0) < 10]
    untested = [row.name for row in data.classes if row.parcels.get("test", 0) == 0]
    if rare and known:
        out.append(f"Fewer than ten test {unit} stand behind the figures of {words.listing(rare)}.")
    if untested:
        out.append(f"No test {unit} were there for {words.listing(untested)}.")
    if not known:
        return out
    out.append(
        "These figures hold for this region and season and for the classes listed; elsewhere, or in another "
        "year, expect less until it has been measured there."
        if data.split_kind == "blocks"
        else f"The test {unit} were drawn at random and may lie beside training {unit}, so expect less on "
        "land farther away."
    )
    return out


def _f1(row: ClassRow) -> float:
    return -1.0 if row.f1 is None else row.f1


def _accuracy(data: TrainingReportData) -> Section:
    names = [row.name for row in data.classes]
    colors = [row.color for row in data.classes]
    unit = unit_of(data.provenance)

    def numbers(attribute: str) -> list[float]:
        return [np.nan if (v := getattr(row, attribute)) is None else float(v) for row in data.classes]

    f1, precision, recall = numbers("f1"), numbers("precision"), numbers("recall")
    columns = [Column("Class"), *(Column(f"{name} {unit}", True) for name in SPLITS)]
    columns += [Column(name, True) for name in ("pixels", "precision", "recall", "F1")]
    columns.append(Column("codes"))
    rows = [
        [
            row.name,
            *(words.count(row.parcels.get(name, 0)) for name in SPLITS),
            words.count(row.pixels),
            words.score(row.precision),
            words.score(row.recall),
            words.score(row.f1),
            words.listing([str(code) for code in row.codes], 6),
        ]
        for row in data.classes
    ]
    items: list[Figure | Table] = []
    if data.confusion.sum() and any(row.f1 is not None for row in data.classes):
        items.append(
            Figure(
                confusion.confusion_matrix(
                    "confusion", data.confusion, names, f"true class ({unit})", "class by the model"
                ),
                f"Confusion matrix of the test {unit}; the table below holds the scores of each class.",
                f"Test {unit}: count, and share of the row. What lies off the framed diagonal is wrong.",
            )
        )
        items.append(
            Figure(
                bars.class_scores("scores", names, colors, f1, precision, recall),
                "F1, precision and recall of each class; the same figures are in the table below.",
                "F1 is high only where both precision and recall are.",
            )
        )
    items.append(Table(columns, rows, colors=colors))
    return Section(f"How well it does on the test {unit}", items)


def _split(data: TrainingReportData) -> Section | None:
    if not len(data.xy) or not np.isfinite(data.xy).all(axis=1).any():
        return None
    blocks, unit = data.split_kind == "blocks", unit_of(data.provenance)
    size = f" of {data.block_size:g} m" if data.block_size else ""
    text = (
        f"Whole blocks{size} went to training, validation or test, so that a test {unit[:-1]} rarely has a "
        f"training {unit[:-1]} as neighbour."
        if blocks
        else f"{unit.capitalize()} were drawn at random, without regard to their neighbours."
    )
    counts = [
        [name, words.count(int((data.split == i).sum())), use]
        for i, (name, use) in enumerate(
            zip(
                SPLITS,
                ("fits the weights", "chooses when to stop, sets the confidence", "gives the figures above"),
                strict=True,
            )
        )
    ]
    table = Table([Column("part"), Column(unit, True), Column("what it is for")], counts)
    figure = Figure(
        maps.split_map("split", data.xy, data.split, SPLITS, data.right),
        f"Map of the training, validation and test {unit}.",
        "Crosses: the model took them for another class." if data.right is not None else "",
    )
    return Section(f"Which {unit} were used for what", [figure, table], [text], beside=True)


def _curves(data: TrainingReportData) -> Section:
    epochs = data.epochs
    picture = curves.training_curves(
        "curves",
        [e.epoch for e in epochs],
        data.best_epoch,
        ([e.train_loss for e in epochs], [e.validation_loss for e in epochs]),
        ([e.validation_macro_f1 for e in epochs], [e.validation_accuracy for e in epochs]),
    )
    caption = (
        f"The weights of epoch {data.best_epoch} were kept: the best macro-F1 on the validation "
        f"{unit_of(data.provenance)}. Training loss is measured with augmentation, so it may lie "
        "above the validation loss."
    )
    alt = f"Loss and scores over {len(epochs)} epochs; epoch {data.best_epoch} was kept."
    return Section("How training went", [Figure(picture, alt, caption)])
