"""Report on an estimated temporal shift."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sits_engine.learning.adaptation.shift_words import shift_words
from sits_engine.learning.adaptation.summary import ESTIMATORS, ShiftCurves, ShiftReportData
from sits_engine.report import words
from sits_engine.report.page import Column, Figure, Page, Section, Table, Tile, write_page
from sits_engine.report.plots import moved, shifts

#: Estimators whose best shifts lie farther apart than this (days) are said to disagree.
APART = 10
#: A curve that rises less than this from its worst to its best shift (nats) says next to nothing: the classes
#: that the model finds hardly depend on the dates. log 2 = 0.69 nats is one choice between two classes.
FLAT = 0.02

SIGN = (
    "How to read the sign: a positive shift is the number of days that must be added to the dates of the "
    "target so that they fit what the model learned, because the crops there are earlier. A negative one "
    "means that they are later."
)


def write_shift_report(path: Path, data: ShiftReportData) -> Path:
    """Write the HTML report to `path` and its numbers beside it; returns the path of the numbers.

    Raises:
        EngineError: OUTPUT_NOT_WRITABLE.
    """
    return write_page(path, shift_page(data), data.as_json())


def shift_page(data: ShiftReportData) -> Page:
    """The page: the answer in words, curves of the estimators, profiles, provenance."""
    curves = data.curves
    spread = words.listing(
        [f"{key} {words.days(curves.best[key])}" for key in ESTIMATORS if key in curves.best]
    )
    tiles = [
        Tile(words.days(curves.shift), "shift", "to add to the dates of the target"),
        Tile(interval_words(curves), "range of the resamples", "about 90 of 100 lie in it"),
        Tile(words.count(curves.n_sets), "target samples", "that the model looked at"),
    ]
    sections = [curve_section(curves), _profiles(data)]
    return Page(
        kind="Temporal shift",
        title=data.title,
        subtitle=f"{data.target_title} (target) against {data.source_title} (where the model learned)",
        sentences=[
            f"{capital(shift_words(curves))}.",
            "No labels were used: the shift is the one under which the model answers with the most "
            f"certainty and variety. The estimators say: {spread}.",
            SIGN,
        ],
        tiles=tiles,
        sections=[section for section in sections if section is not None],
        provenance={
            "Inputs": words.facts(data.provenance),
            "Parameters": words.facts(data.parameters),
            "Samples left out or repaired": {str(i): note for i, note in enumerate(data.notes, start=1)},
        },
        warnings=list(dict.fromkeys([*data.warnings, *curve_warnings(curves)])),
    )


def capital(sentence: str) -> str:
    """`sentence` with a capital first letter."""
    return sentence[:1].upper() + sentence[1:]


def interval_words(curves: ShiftCurves) -> str:
    """'+28 to +33', the range of the resamples."""
    low, high = (words.days(day).split(" ")[0] for day in curves.interval)
    return f"{low} to {high}" if low != high else low


def curve_warnings(curves: ShiftCurves) -> list[str]:
    """Sentences on an estimate at the edge of the range, on estimators that disagree, on flat curves."""
    out = []
    if curves.at_edge:
        out.append(
            f"The best shift ({words.days(curves.shift)}) is at the edge of the range that was tried, so the "
            "true one may lie beyond it. Try a wider range before you rely on it."
        )
    found = [curves.best[key] for key in ESTIMATORS if key in curves.best]
    if found and max(found) - min(found) > APART:
        named = [
            f"{ESTIMATORS[key]} {words.days(curves.best[key])}" for key in ESTIMATORS if key in curves.best
        ]
        out.append(
            f"The estimators disagree by {max(found) - min(found)} days ({words.listing(named)}). "
            "Compare the seasons of both regions before you rely on any of them."
        )
    rise = _rise(curves, curves.estimator)
    if not rise >= FLAT:  # NaN as well
        out.append(
            f"The curve of the {ESTIMATORS[curves.estimator]} is flat: its best shift is only "
            f"{words.score(rise, 3)} better than its worst, so these images hardly tell shifts apart."
        )
    low, high = curves.interval
    if low < curves.shift - APART or high > curves.shift + APART:
        out.append(
            f"Resamples of the target gave shifts from {words.days(low)} to {words.days(high)}: the estimate "
            "rests on few samples, or several shifts fit about as well."
        )
    return out


def _rise(curves: ShiftCurves, key: str) -> float:
    """Best less worst score (nats); NaN without any."""
    scores = np.asarray(curves.scores[key], dtype=float)
    known = scores[np.isfinite(scores)]
    return float(np.ptp(known)) if known.size else float("nan")


def curve_section(curves: ShiftCurves, used: int | None = None) -> Section:
    """The curves of all estimators, the resamples and a table of both.

    Args:
        curves: the scores.
        used: the shift that a method used, if there was one.
    """
    rows = []
    for key in [key for key in ESTIMATORS if key in curves.scores]:
        scores, days = curves.scores[key], curves.resampled.get(key, np.array([], dtype=np.int64))
        at = {int(day): float(score) for day, score in zip(curves.shifts, scores, strict=True)}
        low, high = np.quantile(days, [0.05, 0.95]) if len(days) else (np.nan, np.nan)
        rows.append(
            [
                f"{ESTIMATORS[key]} ({key})" + (", decides" if key == curves.estimator else ""),
                words.days(curves.best[key]),
                f"{words.days(np.floor(low))} to {words.days(np.ceil(high))}" if len(days) else "–",
                words.score(at.get(0), 3),
                words.score(at.get(curves.best[key]), 3),
                words.score(_rise(curves, key), 3),
                "largest" if key == "IS" else "smallest",
            ]
        )
    columns = [Column("Estimator"), Column("best shift", True), Column("resamples (5 to 95 %)", True)]
    columns += [Column(name, True) for name in ("score unshifted", "score at best", "worst to best")]
    figure = Figure(
        shifts.shift_curves("shift-curves", curves, used),
        f"Scores of all shifts by each estimator; the estimate is {words.days(curves.shift)}.",
        "Each estimator on its own scale from its worst to its best shift, so a flat curve looks as steep as "
        "any: the last columns of the table tell them apart. Shaded: where 90 of 100 resamples of the target "
        "put the best shift. Below: how often each shift was best in the resamples.",
    )
    table = Table(
        [*columns, Column("best is")],
        rows,
        f"Scores in nats over {words.count(curves.n_sets)} samples. Inception score: sure answers, many "
        "classes. Activation maximisation: sure answers, class shares as expected. Entropy: sure answers.",
    )
    return Section("How well each shift fits", [figure, table])


def _profiles(data: ShiftReportData) -> Section | None:
    target = data.target_profile
    if target is None or not np.isfinite(target.mean).any():
        return None
    source = data.source_profiles
    picture, label = moved.season_pair("season", source, target, data.curves.shift)
    beside = " in grey, the mean of each class where the model learned" if source is not None else ""
    return Section(
        f"{label} of the target, as it is and with the shift",
        [
            Figure(
                picture,
                f"Mean {label} of the target before and after {words.days(data.curves.shift)}.",
                f"Mean {label} over all samples of the target;{beside}. Other class shares give another "
                "mean: compare when the curves rise and fall, not how high they are."
                if beside
                else f"Mean {label} over all samples of the target.",
            )
        ],
    )
