"""Report on a comparison of methods of adaptation, and its table."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np

from sits_engine.learning.adaptation.options import METHODS
from sits_engine.learning.adaptation.summary import ComparisonReportData
from sits_engine.outputs import atomic
from sits_engine.report import words
from sits_engine.report.page import Column, Figure, Page, Section, Table, Tile, write_page
from sits_engine.report.plots import methods as plots

#: Rows that are no methods: what they bound, and their words.
BOUNDS = {"source": "Source only (no adaptation)", "target": "Trained on the target"}
SHORT = {"source": "Source only", "target": "On target", "shift": "Shift only", "fixmatch": "FixMatch"}
#: A method that loses more macro-F1 than this (one point) against no adaptation is said to hurt.
POINT = 0.01
#: Less macro-F1 than this between the bounds leaves no gap to speak of.
LEAST_GAP = 0.05

Summary = dict[str, Any]


def write_comparison_report(path: Path, data: ComparisonReportData) -> Path:
    """Write the HTML report to `path` and its numbers beside it; returns the path of the numbers.

    Raises:
        EngineError: OUTPUT_NOT_WRITABLE.
    """
    return write_page(path, comparison_page(data), data.as_json())


def write_comparison_table(path: Path, data: ComparisonReportData) -> Path:
    """Write the table as CSV (UTF-8, one row a method, an empty cell where there is no figure).

    Columns: method, seeds, macro_f1, macro_f1_std, accuracy, accuracy_std (population deviation over the
    seeds), shift, seconds (means), and f1_<class> and f1_<class>_std of each class.

    Raises:
        EngineError: OUTPUT_NOT_WRITABLE.
    """
    names = ["method", "seeds", "macro_f1", "macro_f1_std", "accuracy", "accuracy_std", "shift", "seconds"]
    with atomic(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*names, *(f"f1_{name}{end}" for name in data.classes for end in ("", "_std"))])
        for row in _ordered(data):
            pairs = zip(row["per_class_f1"], row["per_class_f1_std"], strict=True)
            writer.writerow(
                _cell(value) for value in [*(row[n] for n in names), *(v for p in pairs for v in p)]
            )
    return path


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6g}" if np.isfinite(value) else ""
    return "" if value is None else str(value)


def name_of(method: str) -> str:
    """Words for a method or a bound."""
    return BOUNDS.get(method) or next((word for key, word in METHODS.items() if key == method), method)


def _ordered(data: ComparisonReportData) -> list[Summary]:
    """Source only, the methods in the order of the run, trained on the target."""
    place = {"source": -1, "target": 1}
    return sorted(data.summary(), key=lambda row: place.get(row["method"], 0))


def _bound(rows: list[Summary], name: str) -> float:
    return next((row["macro_f1"] for row in rows if row["method"] == name), float("nan"))


def _closed(row: Summary, rows: list[Summary]) -> float:
    """Share of the gap between the bounds that a method closes; NaN where there is no gap to close."""
    low, high = _bound(rows, "source"), _bound(rows, "target")
    return (row["macro_f1"] - low) / (high - low) if high - low >= LEAST_GAP else float("nan")


def _ranked(rows: list[Summary]) -> list[Summary]:
    """Methods with a figure, the best first; bounds are no methods."""
    known = [row for row in rows if row["method"] not in BOUNDS and np.isfinite(row["macro_f1"])]
    return sorted(known, key=lambda row: -row["macro_f1"])


def _spread(row: Summary, name: str, digits: int = 3) -> str:
    """'0.631 ± 0.021', without deviation where there is one seed."""
    text = words.score(row[name], digits)
    return f"{text} ± {words.score(row[f'{name}_std'], digits)}" if row["seeds"] > 1 and text != "–" else text


def comparison_page(data: ComparisonReportData) -> Page:
    """The page: who is best and by how much, dots, tables, provenance."""
    rows = _ordered(data)
    ranked, seeds = _ranked(rows), len({row.seed for row in data.rows})
    tiles = []
    if ranked:
        note = f"{name_of(ranked[0]['method'])}, macro-F1"
        tiles.append(Tile(words.score(ranked[0]["macro_f1"]), "best method", note))
    for bound, note in (("source", "macro-F1 without adaptation"), ("target", "macro-F1 with labels there")):
        if np.isfinite(_bound(rows, bound)):
            tiles.append(Tile(words.score(_bound(rows, bound)), BOUNDS[bound].split(" (")[0].lower(), note))
    if ranked and 0 < _closed(ranked[0], rows) <= 1:
        tiles.append(Tile(words.percent(_closed(ranked[0], rows)), "of the gap closed", "by the best method"))
    sections = [_methods(data, rows), _classes(data, rows)] if rows else []
    return Page(
        kind="Comparison of methods of adaptation",
        title=data.title,
        subtitle=f"From {data.source_title} to {data.target_title}, {len(data.classes)} classes, "
        f"{seeds} seed{'' if seeds == 1 else 's'}",
        sentences=sentences(data),
        tiles=tiles,
        sections=sections,
        provenance={
            "Inputs": words.facts(data.provenance),
            "Samples": words.facts({k: words.count(v) for k, v in data.counts.items()}),
            "Parameters": words.facts(data.parameters),
            "Samples left out or repaired": {str(i): note for i, note in enumerate(data.notes, start=1)},
        },
        warnings=data.warnings,
    )


def sentences(data: ComparisonReportData) -> list[str]:
    """Which method is best, how much of the gap it closes, which ones hurt, what the figures are worth."""
    rows = _ordered(data)
    ranked, seeds = _ranked(rows), len({row.seed for row in data.rows})
    if not ranked:
        return ["No method gave a figure, so nothing can be compared."]
    best, low, high = ranked[0], _bound(rows, "source"), _bound(rows, "target")
    means = f"mean and deviation of {best['seeds']} seeds" if best["seeds"] > 1 else "one seed"
    first = f"{name_of(best['method'])} does best: macro-F1 {_spread(best, 'macro_f1', 2)} ({means})"
    against = [f"{words.score(v)} {w}" for v, w in ((low, "without adaptation"), (high, "with labels of the "
               "target")) if np.isfinite(v)]  # fmt: skip
    out = [first + (f", against {' and '.join(against)}." if against else ".")]
    if best["macro_f1"] >= high:
        out.append("That is no less than training on the target's own labels gave.")
    elif np.isfinite(_closed(best, rows)) and best["macro_f1"] > low:
        out.append(f"It closes {words.percent(_closed(best, rows))} of the gap between these two.")
    if len(ranked) > 1:
        second = ranked[1]
        gap = best["macro_f1"] - second["macro_f1"]
        close = (
            min(best["seeds"], second["seeds"]) > 1 and gap <= best["macro_f1_std"] + second["macro_f1_std"]
        )
        out.append(
            f"{name_of(second['method'])} comes next with {_spread(second, 'macro_f1', 2)}"
            + ("; the difference is within the deviations of the seeds." if close else ".")
        )
    hurt = [name_of(row["method"]) for row in ranked if row["macro_f1"] < low - POINT]
    if hurt:
        fate = "No method helps here: all" if len(hurt) == len(ranked) else words.listing(hurt, len(hurt))
        out.append(f"{fate} did worse than no adaptation by more than a point.")
    if seeds == 1:
        out.append("With one seed, differences of a few points may be chance.")
    out.append(
        f"Measured on {words.count(sum(data.support))} test samples of the target. Its labels "
        f"{'trained the upper bound and ' if np.isfinite(high) else ''}gave these figures; the methods "
        "did not see them."
    )
    return out


def _methods(data: ComparisonReportData, rows: list[Summary]) -> Section:
    runs = [[r.macro_f1 for r in data.rows if r.method == row["method"]] for row in rows]
    bounds = [
        (BOUNDS[name].split(" (")[0], _bound(rows, name))
        for name in BOUNDS
        if np.isfinite(_bound(rows, name))
    ]
    figure = Figure(
        plots.method_dots("methods", [name_of(row["method"]) for row in rows], runs, bounds),
        "Macro-F1 of each method; the table below holds the same figures.",
        "Dashed: the bounds, without adaptation and trained on labels of the target." if bounds else "",
    )
    ranked = _ranked(rows)
    best = ranked[0]["method"] if ranked else ""
    columns = [Column("Method"), Column("macro-F1", True), Column("accuracy", True)]
    columns += [Column(name, True) for name in ("gap closed", "shift (days)", "seconds", "seeds")]
    table = Table(
        columns,
        [
            [
                name_of(row["method"])
                + (" · bound" if row["method"] in BOUNDS else " · best" if row["method"] == best else ""),
                _spread(row, "macro_f1"),
                _spread(row, "accuracy"),
                "–" if row["method"] in BOUNDS else words.percent(_closed(row, rows)).replace("-", "\u2212"),
                "–" if row["shift"] is None else words.days(row["shift"]).split(" ")[0],
                words.count(row["seconds"]) if row["seconds"] >= 10 else words.score(row["seconds"], 1),
                str(row["seeds"]),
            ]
            for row in rows
        ],
        "Mean ± population standard deviation over the seeds; shift and seconds are means, seconds of the "
        "adaptation alone." if max(row["seeds"] for row in rows) > 1 else "One seed: no deviations.",
    )  # fmt: skip
    return Section("Methods beside each other", [figure, table])


def _classes(data: ComparisonReportData, rows: list[Summary]) -> Section:
    columns = [Column("Class"), Column("test samples", True)]
    columns += [Column(SHORT.get(row["method"], name_of(row["method"])), True) for row in rows]
    table = Table(
        columns,
        [
            [name, words.count(data.support[k]), *(words.score(row["per_class_f1"][k]) for row in rows)]
            for k, name in enumerate(data.classes)
        ],
        "F1 on the test side of the target, mean over the seeds; – where it has no sample of the class. The "
        "deviations stand in the CSV table and the numbers.",
    )
    return Section("F1 of each class", [table])
