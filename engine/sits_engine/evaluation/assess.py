"""From a map and a reference to everything that the report shows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import shapely

from sits_engine.errors import InputError
from sits_engine.evaluation import design as designs
from sits_engine.evaluation.labels import likely_misspelt, match_labels
from sits_engine.evaluation.metrics import Matrix, Scores, error_matrix, scores_of
from sits_engine.evaluation.reference import (
    Compared,
    compare_polygons,
    compare_raster,
    one_point_each,
    values_at,
)
from sits_engine.evaluation.summary import AdjustedAccuracy, AssessmentReportData
from sits_engine.evaluation.thumbnail import thumbnail_of
from sits_engine.mapping.class_map import ClassMap
from sits_engine.samples.classes import ClassTable
from sits_engine.samples.vectors import on_grid, read_labelled

#: Places shown on the report's map at most.
MAX_PLACES = 2000
NOT_RANDOM = (
    "The reference was not drawn at random for this map, so these figures describe the reference places; "
    "they stand for the whole map only as far as those places do."
)
NOT_ADJUSTED = (
    "The reference is no random sample of this map, so neither an accuracy of the whole map nor true areas "
    "with intervals can be derived from it; the areas are those counted on the map, mistakes included. For "
    "both, draw points with 'Create validation sample', find out what grows there, and assess with them."
)
Tick = Callable[[float, str], None]


@dataclass
class _Parts:
    """What the three kinds of reference have in common."""

    unit: str
    compared: Compared
    unmatched: dict[str, int]
    notes: list[str]
    hectares: npt.NDArray[np.float64]
    others: list[str] = field(default_factory=list)
    adjusted: AdjustedAccuracy | None = None
    parcel_matrix: Matrix | None = None
    xy: npt.NDArray[np.float64] | None = None
    right: npt.NDArray[np.bool_] | None = None


def assess_vector(
    the_map: ClassMap, source: str, field: str, table: ClassTable | None, sampling: str, tick: Tick
) -> AssessmentReportData:
    """Compare with polygons or points.

    Args:
        the_map: map to judge.
        source: vector string.
        field: labels.
        table: label -> class name, or None.
        sampling: for polygons, 'all' pixels or 'one' pixel each.
        tick: receives progress 0..1 and the phase.

    Raises:
        InputError: unreadable, no overlap, no label is a class, no reference on mapped pixels.
    """
    tick(0.0, "Reading the reference")
    design = designs.read_design(source)
    labelled = read_labelled(source, field, "id" if design is not None else None)
    labelled = on_grid(labelled, the_map.grid, the_map.path.name)
    matched = match_labels(
        labelled.frame["code"].to_numpy(), the_map.classes, table, f"{labelled.name}, field '{field}'"
    )
    if design is not None and (shapely.get_dimensions(labelled.frame.geometry.to_numpy()) == 2).any():
        design = None  # polygons around the points: no longer what was drawn
    # Any other reference leaves out what the map doesn't have: nobody chose those places for this map.
    others = matched.others if design is not None else []
    labels = matched.extended if design is not None else matched.index
    keep = labels >= 0
    frame, labels = labelled.frame[keep], labels[keep]
    shapes = frame.geometry.to_numpy()
    polygons = shapely.get_dimensions(shapes) == 2
    tick(0.05, "Counting the map's areas")
    _, hectares, _ = the_map.count(lambda share: tick(0.05 + 0.4 * share, "Counting the map's areas"))

    def comparing(share: float) -> None:
        tick(0.45 + 0.45 * share, "Comparing map and reference")

    k = len(the_map.classes)
    if polygons.all() and sampling == "all":
        compared = compare_polygons(the_map, shapes, labels, comparing)
        parts = _of_polygons(the_map, compared, labels, hectares)
        places = shapely.point_on_surface(shapes)
        parts.xy, parts.right = _xy(places), _majority(compared.votes) == labels
    else:
        points = np.array(shapes, dtype=object)
        points[polygons] = one_point_each(shapes[polygons], the_map.grid)
        points = shapely.centroid(points)  # a multi-point of one point is a point
        mapped = values_at(the_map, points, comparing)
        known = mapped >= 0
        matrix = error_matrix(mapped, labels, k, len(others))
        compared = Compared(matrix, int((~known).sum()), np.zeros((0, k), np.int64))
        unit = "parcels (one pixel each)" if polygons.any() else "points"
        parts = _Parts(unit, compared, {}, [], hectares, others)
        if design is not None:
            ids = frame["id"].to_numpy()
            _adjust_points(the_map, parts, design, ids[known], mapped[known], labels[known])
        parts.xy, parts.right = _xy(points[known]), (mapped == labels)[known]
    parts.notes = [*labelled.notes, *parts.notes]
    parts.unmatched = matched.unmatched
    return _report(the_map, parts, labelled.name)


def assess_raster(
    the_map: ClassMap, path: Path, table: ClassTable | None, tick: Tick
) -> AssessmentReportData:
    """Compare with a class raster, pixel by pixel of the map.

    Raises:
        InputError: as `assess_vector`.
    """
    tick(0.0, "Reading the reference")
    reference = ClassMap.open(path)
    _check_overlap(the_map, reference)
    # a raster says what a value means by its name; a class table may speak of the value instead
    names = [
        table.class_of.get(str(c.value), table.class_of.get(c.name, c.name)) if table else c.name
        for c in reference.classes
    ]
    matched = match_labels(names, the_map.classes, table, path.name)
    index_of = np.full(256, -1, np.int64)
    for one, index in zip(reference.classes, matched.extended, strict=True):
        index_of[one.value] = index
    _, hectares, _ = the_map.count(lambda share: tick(0.4 * share, "Counting the map's areas"))
    compared = compare_raster(
        the_map,
        reference,
        index_of,
        len(matched.others),
        lambda share: tick(0.4 + 0.5 * share, "Comparing map and reference"),
    )
    k = len(the_map.classes)
    seen = compared.matrix[:, k:].sum(axis=0) > 0  # a value that is named but occurs nowhere is no class
    others = [name for name, there in zip(matched.others, seen, strict=True) if there]
    matrix = np.concatenate([compared.matrix[:, :k], compared.matrix[:, k:][:, seen]], axis=1)
    compared = replace(compared, matrix=matrix)
    unmatched = {name: int(count) for name, count in zip(others, matrix[:, k:].sum(axis=0), strict=True)}
    note = (
        "The reference is a raster of known places. "
        + NOT_RANDOM
        + " Neighbouring pixels resemble each other: "
        "the true intervals are wider."
    )
    parts = _Parts("pixels", compared, unmatched, [], hectares, others)
    parts.adjusted, parts.notes = designs.from_counts(
        compared.matrix, hectares, the_map.classes, others, note, random=False
    )
    return _report(the_map, parts, path.name)


def _of_polygons(
    the_map: ClassMap, compared: Compared, labels: npt.NDArray[np.int64], hectares: npt.NDArray[np.float64]
) -> _Parts:
    """All pixels, and each parcel once, by the majority of its pixels."""
    majority = _majority(compared.votes)
    matrix = error_matrix(majority, labels, len(the_map.classes))
    warnings = []
    small = int((majority < 0).sum())
    if small:
        warnings.append(f"{small} of {len(labels)} polygons hold no mapped pixel and were left out.")
    return _Parts("pixels", compared, {}, warnings, hectares, parcel_matrix=matrix)


def _adjust_points(
    the_map: ClassMap,
    parts: _Parts,
    design: designs.Design,
    ids: npt.NDArray[np.object_],
    mapped: npt.NDArray[np.int64],
    labels: npt.NDArray[np.int64],
) -> None:
    """Adjusted figures of points by their design."""
    stratum = np.array([design.stratum_of.get(str(i), -1) for i in ids], dtype=np.int64)
    known = stratum >= 0
    if not known.all():
        parts.notes.append(
            f"{int((~known).sum())} points have no stratum; the area-adjusted figures leave them out."
        )
    drawn = len(design.stratum_of)
    if known.sum() < drawn:
        parts.notes.append(
            f"{drawn - int(known.sum())} of {drawn} points of the sample have no usable reference: the "
            "intervals hold only if these are missing by chance."
        )
    stratum, mapped, labels = stratum[known], mapped[known], labels[known]
    value_of = np.array([c.value for c in the_map.classes])
    if len(stratum) and (design.values[stratum] == value_of[mapped]).all():
        note = "Stratified random points; the strata are the classes of this map (Olofsson et al. 2014)."
        matrix = error_matrix(mapped, labels, len(the_map.classes), len(parts.others))
        parts.adjusted, warnings = designs.from_counts(
            matrix, parts.hectares, the_map.classes, parts.others, note, random=True
        )
    else:
        note = "Stratified random points; the strata come from another map (Stehman 2014)."
        parts.adjusted, warnings = designs.from_units(
            design, stratum, mapped, labels, parts.hectares, the_map.classes, parts.others, note
        )
    parts.notes += warnings


def _report(the_map: ClassMap, parts: _Parts, name: str) -> AssessmentReportData:
    matrix = parts.compared.matrix
    if matrix.sum() == 0:
        raise InputError(
            f"No reference of {name} lies on a classified pixel of {the_map.path.name}.",
            "Check that both show the same place, and that the map is not empty there.",
        )
    names, colors = [c.name for c in the_map.classes], [c.color for c in the_map.classes]
    scores = scores_of(matrix, names, colors)
    warnings = list(parts.notes)
    if parts.unmatched:
        warnings.append(_about_unmatched(parts, the_map))
    if parts.compared.unmapped:
        share = parts.compared.unmapped / (parts.compared.unmapped + matrix.sum())
        warnings.append(
            f"{parts.compared.unmapped} reference {parts.unit} ({share:.1%}) lie where the map has no class; "
            "they were left out."
        )
    thin = [c.name for c in scores.per_class if 0 < c.n_reference < 10]
    if thin:
        warnings.append(
            f"Fewer than 10 reference {parts.unit} of {', '.join(thin)}: their scores are uncertain."
        )
    xy, right = _some(parts.xy, parts.right)
    data = AssessmentReportData(
        title=f"Accuracy of {the_map.path.name}",
        unit=parts.unit,
        classes=names,
        colors=colors,
        confusion=matrix,
        overall_accuracy=scores.overall_accuracy,
        macro_f1=scores.macro_f1,
        weighted_f1=scores.weighted_f1,
        kappa=scores.kappa,
        per_class=scores.per_class,
        n_compared=scores.n,
        n_unmapped=parts.compared.unmapped,
        unmatched={} if parts.others else parts.unmatched,
        other_classes=parts.others,
        mapped_ha=[float(area) for area in parts.hectares],
        adjusted=parts.adjusted,
        not_adjusted="" if parts.adjusted is not None else NOT_ADJUSTED,
        parcel_confusion=parts.parcel_matrix,
        thumbnail=thumbnail_of(the_map),
        reference_xy=xy,
        reference_right=right,
        warnings=warnings,
    )
    if parts.parcel_matrix is not None and parts.parcel_matrix.sum():
        data.parcel_scores = _as_dict(scores_of(parts.parcel_matrix, names, colors))
    return data


def _about_unmatched(parts: _Parts, the_map: ClassMap) -> str:
    """What became of labels that no class answers to, and what to do if one is only spelled differently."""
    listed = ", ".join(f"{label} ({count})" for label, count in list(parts.unmatched.items())[:12])
    if len(parts.unmatched) > 12:
        listed += f" and {len(parts.unmatched) - 12} more"
    fate = (
        "count as mistakes of the map, because these classes grow there and the map can't show them"
        if parts.others
        else "were left out; all figures hold only for places where one of the map's classes really grows"
    )
    alike = likely_misspelt(list(parts.unmatched), the_map.classes)
    guess = "".join(f" '{label}' looks like '{name}'." for label, name in alike.items())
    return (
        f"Reference labels without a class in the map {fate}: {listed}.{guess} If a label only spells a "
        "class of the map differently, give a class table (CSV: code,class) that says which."
    )


def _as_dict(scores: Scores) -> dict[str, float]:
    return {
        "overall_accuracy": scores.overall_accuracy,
        "macro_f1": scores.macro_f1,
        "kappa": scores.kappa,
        "n": float(scores.n),
    }


def _majority(votes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """(N,) class with most pixels, -1 without any; a tie goes to the class that comes first."""
    return np.where(votes.sum(axis=1) > 0, votes.argmax(axis=1), -1)


def _xy(points: npt.NDArray[np.object_]) -> npt.NDArray[np.float64]:
    return np.column_stack([shapely.get_x(points), shapely.get_y(points)])


def _some(
    xy: npt.NDArray[np.float64] | None, right: npt.NDArray[np.bool_] | None
) -> tuple[npt.NDArray[np.float64] | None, npt.NDArray[np.bool_] | None]:
    """At most `MAX_PLACES` places, drawn with a fixed seed."""
    if xy is None or right is None or len(xy) <= MAX_PLACES:
        return xy, right
    chosen = np.sort(np.random.default_rng(0).choice(len(xy), MAX_PLACES, replace=False))
    return xy[chosen], right[chosen]


def _check_overlap(the_map: ClassMap, reference: ClassMap) -> None:
    from rasterio.warp import transform_bounds

    theirs = transform_bounds(reference.grid.crs, the_map.grid.crs, *reference.grid.bounds)
    mine = the_map.grid.bounds
    if theirs[0] >= mine[2] or theirs[2] <= mine[0] or theirs[1] >= mine[3] or theirs[3] <= mine[1]:
        shown = [", ".join(f"{v:.8g}" for v in bounds) for bounds in (theirs, mine)]
        raise InputError(
            f"The reference raster {reference.path.name} does not overlap the map: reference {shown[0]}, map "
            f"{shown[1]} (xmin, ymin, xmax, ymax in the map's CRS).",
            "Choose layers of the same place.",
        )
