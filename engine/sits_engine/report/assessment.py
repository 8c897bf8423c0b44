"""Report on the accuracy of a map."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sits_engine.evaluation.summary import AdjustedAccuracy, AssessmentReportData, Interval
from sits_engine.report import words
from sits_engine.report.page import Column, Figure, Page, Section, Table, Tile, write_page
from sits_engine.report.plots import bars, confusion, maps

#: Of classes that the map doesn't have.
OTHER_COLOR = "#b8b8b8"


def write_assessment_report(path: Path, data: AssessmentReportData) -> Path:
    """Write the HTML report to `path` and its numbers beside it; returns the path of the numbers.

    Raises:
        EngineError: OUTPUT_NOT_WRITABLE.
    """
    return write_page(path, assessment_page(data), data.numbers())


def assessment_page(data: AssessmentReportData) -> Page:
    """The page: sentences, map, confusion matrix, classes, areas, provenance."""
    adjusted = data.adjusted
    tiles = [
        Tile(words.percent(data.overall_accuracy, 1), "overall accuracy", _of(data)),
        Tile(words.score(data.macro_f1), "macro-F1", "mean over the classes, each counts alike"),
        Tile(words.score(data.kappa), "kappa", "agreement beyond chance"),
    ]
    if adjusted is not None:
        note = (
            f"± {_half(adjusted.overall, 100, ' %')}, share of the area that is right"
            if adjusted.probability_sample
            else "weighted by mapped area; no random sample"
        )
        tiles.append(Tile(words.percent(adjusted.overall.value, 1), "area-adjusted accuracy", note))
    elif data.parcel_scores:
        tiles.append(
            Tile(
                words.percent(data.parcel_scores.get("overall_accuracy"), 1),
                "of the parcels right",
                "by the majority of their pixels",
            )
        )
    sections = [_map(data), _confusion(data), _classes(data)]
    if adjusted is not None:
        sections.append(_areas(adjusted))
    elif data.mapped_ha:
        sections.append(_mapped_areas(data))
    if data.unmatched:
        sections.append(_unmatched(data))
    return Page(
        kind="Accuracy report",
        title=data.title,
        subtitle=f"{words.count(data.n_compared)} {data.unit} compared, {len(data.classes)} classes",
        sentences=sentences(data),
        tiles=tiles,
        sections=[section for section in sections if section is not None],
        provenance={"Files, parameters, versions": words.facts(data.provenance)},
        warnings=data.warnings,
    )


def _of(data: AssessmentReportData) -> str:
    return f"of {words.count(data.n_compared)} {data.unit}"


def _half(interval: Interval, factor: float, unit: str) -> str:
    value = factor * interval.half_width
    return f"{value:.1f}{unit}" if np.isfinite(value) else "unknown"


def sentences(data: AssessmentReportData) -> list[str]:
    """Three to five sentences: how often it is right, what fails, what the figures are worth."""
    if data.n_compared == 0:
        return ["Nothing could be compared, so nothing can be said about this map."]
    out = [
        f"Of {words.count(data.n_compared)} reference {data.unit}, the map shows the right class for "
        f"{words.of_hundred(data.overall_accuracy)}."
    ]
    if data.parcel_scores and data.unit != "parcels":
        share = data.parcel_scores.get("overall_accuracy", float("nan"))
        number = int(data.parcel_scores.get("n", 0))
        out.append(
            f"Counted by parcels (the majority of the pixels of each decides), {words.of_hundred(share)} of "
            f"{words.count(number)} are right; neighbouring pixels are alike, so this is the fairer count."
        )
    scored = [c for c in data.per_class if np.isfinite(c.f1) and c.n_reference > 0]
    if scored:
        best, worst = max(scored, key=lambda c: c.f1), min(scored, key=lambda c: c.f1)
        mistake = words.worst_confusion(data.confusion.T, [*data.classes, *data.other_classes])
        tail = f"; the most frequent mistake is {mistake}" if mistake else ""
        out.append(
            f"The best class is {best.name} (F1 {words.score(best.f1)}), the weakest {worst.name} "
            f"(F1 {words.score(worst.f1)}){tail}."
        )
    if data.other_classes:
        k = len(data.classes)
        out.append(
            f"{words.count(int(data.confusion[:, k:].sum()))} reference {data.unit} are of classes that the "
            f"map doesn't have ({words.listing(data.other_classes)}) and count as mistakes."
        )
    out.append(_worth(data))
    left = data.n_unmapped + sum(data.unmatched.values())
    if left:
        out.append(
            f"{words.count(left)} reference {data.unit} were left out: {words.count(data.n_unmapped)} where "
            f"the map has no class, {words.count(left - data.n_unmapped)} of classes it doesn't have."
        )
    return out


def _worth(data: AssessmentReportData) -> str:
    adjusted = data.adjusted
    if adjusted is not None and adjusted.probability_sample:
        half = adjusted.overall.half_width
        interval = f" give or take {100 * half:.1f}" if np.isfinite(half) else ""
        return (
            f"The points were drawn at random, so this can be said of the whole map: "
            f"{100 * adjusted.overall.value:.1f} %{interval} of its area is right (95 % confidence)."
        )
    return (
        "The reference was not drawn at random over the map, so these figures describe the reference and "
        "land like it, not the whole map; if the model was trained on it, they flatter the map. For the "
        "whole map, draw points with 'Create validation sample'."
    )


def _map(data: AssessmentReportData) -> Section | None:
    thumbnail = data.thumbnail
    if thumbnail is None or not thumbnail.values.any():
        return None
    x0, y0, x1, y1 = thumbnail.bounds
    picture = maps.class_map(
        "map",
        thumbnail.values,
        thumbnail.bounds,
        data.classes,
        data.colors,
        data.reference_xy,
        data.reference_right,
        # Degrees span at most 360; any map in metres is wider or its scale bar is not drawn.
        metric=max(abs(x0), abs(x1)) > 360 or max(abs(y0), abs(y1)) > 360,
    )
    caption = f"Coordinates in {thumbnail.crs}. White is outside the map or was never seen."
    return Section("The map", [Figure(picture, "Thumbnail of the map with its legend.", caption)])


def _confusion(data: AssessmentReportData) -> Section:
    # Readers look along the row of a true class, so the reference goes down the side.
    figure = Figure(
        confusion.confusion_matrix(
            "confusion",
            data.confusion.T,
            data.classes,
            f"true class ({data.unit})",
            "class on the map",
            data.other_classes,
        ),
        "Confusion matrix; the table below holds the scores of each class.",
        f"Reference {data.unit}: count, and share of the row. What lies off the framed diagonal is wrong.",
    )
    items: list[Figure | Table] = [figure]
    if data.parcel_confusion is not None and data.unit != "parcels":
        items.append(
            Figure(
                confusion.confusion_matrix(
                    "parcels",
                    data.parcel_confusion.T,
                    data.classes,
                    "true class (parcels)",
                    "class on the map",
                ),
                "Confusion matrix counted by parcels.",
                "The same by parcels: the class of most pixels of each.",
            )
        )
    return Section("What is taken for what", items)


def _classes(data: AssessmentReportData) -> Section:
    rows = [
        [
            c.name,
            words.count(c.n_reference),
            words.count(c.n_map),
            words.score(c.precision),
            words.score(c.recall),
            words.score(c.f1),
        ]
        for c in data.per_class
    ]
    names = ("reference", "on the map", "precision (user's)", "recall (producer's)", "F1")
    colors = [c.color for c in data.per_class]
    picture = bars.class_scores(
        "scores",
        [c.name for c in data.per_class],
        colors,
        [c.f1 if c.n_reference else np.nan for c in data.per_class],
        [c.precision for c in data.per_class],
        [c.recall for c in data.per_class],
    )
    return Section(
        "Class by class",
        [
            Figure(picture, "F1, precision and recall of each class; the table holds the same figures."),
            Table(
                [Column("Class"), *(Column(n, True) for n in names)],
                rows,
                f"Counts in {data.unit}. Macro-F1 {words.score(data.macro_f1)}, weighted by the reference "
                f"{words.score(data.weighted_f1)}.",
                colors,
            ),
        ],
    )


def _areas(adjusted: AdjustedAccuracy) -> Section:
    classes = adjusted.classes
    unknown = "" if adjusted.probability_sample else " (spread within this reference only)"

    rows = [
        [
            c.name,
            words.count(c.n_samples),
            words.hectares(c.mapped_ha),
            _interval(c.area_ha, 1.0, "ha"),
            _interval(c.users, 100.0, "%"),
            _interval(c.producers, 100.0, "%"),
        ]
        for c in classes
    ]
    others = adjusted.other_classes
    rows += [
        [f"{o.name} (not on the map)", "–", words.hectares(0), _interval(o.area_ha, 1.0, "ha"), "–", "–"]
        for o in others
    ]
    colors = [*(c.color for c in classes), *(OTHER_COLOR for _ in others)]
    areas = [*(c.area_ha for c in classes), *(o.area_ha for o in others)]
    picture = bars.areas(
        "areas",
        [*(c.name for c in classes), *(o.name for o in others)],
        colors,
        [area.value for area in areas],
        [area.half_width for area in areas],
        [*(c.mapped_ha for c in classes), *(0.0 for _ in others)],
    )
    columns = [Column("Class"), Column("samples", True), Column("on the map", True)]
    columns += [Column(name, True) for name in ("estimated area", "user's accuracy", "producer's accuracy")]
    return Section(
        f"Areas with 95 % confidence intervals{unknown}",
        [
            Figure(picture, "Estimated area of each class with its interval; the table holds the figures."),
            Table(columns, rows, colors=colors),
        ],
        [
            "Counting pixels of a class also counts its mistakes. The estimate corrects for them with the "
            f"reference (Olofsson et al. 2014) over {words.hectares(adjusted.total_ha)}.",
            adjusted.note,
        ],
    )


def _mapped_areas(data: AssessmentReportData) -> Section:
    """What the map shows, where nothing better can be said."""
    rows = [[name, words.hectares(area)] for name, area in zip(data.classes, data.mapped_ha, strict=True)]
    table = Table([Column("Class"), Column("on the map", True)], rows, colors=data.colors)
    return Section("Areas as counted on the map", [table], [data.not_adjusted])


def _interval(interval: Interval, factor: float, unit: str) -> str:
    """'409 ± 58 ha': both numbers with the digits that the larger deserves."""
    value, half = factor * interval.value, factor * interval.half_width
    if not np.isfinite(value):
        return "–"
    digits = 0 if unit == "ha" and abs(value) >= 100 else 1
    spread = f"{half:,.{digits}f}" if np.isfinite(half) else "unknown"
    return f"{value:,.{digits}f} ± {spread} {unit}".replace(",", "\u202f")


def _unmatched(data: AssessmentReportData) -> Section:
    rows = [[label, words.count(n)] for label, n in sorted(data.unmatched.items(), key=lambda p: -p[1])]
    table = Table([Column("reference class"), Column(data.unit, True)], rows[:40])
    return Section("Reference classes that the map doesn't have", [table])
