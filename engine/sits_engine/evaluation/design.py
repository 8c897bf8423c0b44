"""Which estimator suits the reference, and what may be claimed of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyogrio

from sits_engine.evaluation import olofsson, stehman
from sits_engine.evaluation.metrics import Matrix
from sits_engine.evaluation.olofsson import Estimate
from sits_engine.evaluation.summary import AdjustedAccuracy, AdjustedClass, AdjustedOther, Interval
from sits_engine.mapping.class_map import MapClass
from sits_engine.samples.vectors import VectorSource, codes_of

#: Layers of a validation sample beside its points.
STRATA_LAYER, CLASSES_LAYER, POINTS_LAYER = "strata", "classes", "sample"
STRATUM_FIELD, AREA_FIELD = "stratum", "stratum_ha"


@dataclass(frozen=True)
class Design:
    """How a validation sample was drawn.

    Attributes:
        values: (H,) value in the map of each stratum.
        hectares: (H,) area of each stratum.
        stratum_of: id of a point -> place of its stratum.
    """

    values: npt.NDArray[np.int64]
    hectares: npt.NDArray[np.float64]
    stratum_of: dict[str, int]


def read_design(source: str) -> Design | None:
    """The design of a layer made by "Create validation sample" (or a copy of it), None for any other layer.

    Each point carries its stratum and the stratum's area, so that a copy, a selection or an export still
    knows its design; the table `strata`, if it is still there, adds strata that no point is left of.
    """
    named = VectorSource.parse(source)
    options = named.options
    try:
        fields = set(pyogrio.read_info(named.path, **options)["fields"])
        if not {"id", STRATUM_FIELD, AREA_FIELD} <= fields:
            return None
        frame = pyogrio.read_dataframe(
            named.path, columns=["id", STRATUM_FIELD, AREA_FIELD], read_geometry=False, **options
        )
        table = frame[[STRATUM_FIELD, AREA_FIELD]].set_axis(["value", "area_ha"], axis=1)
        if STRATA_LAYER in {str(row[0]) for row in pyogrio.list_layers(named.path)}:
            table = pyogrio.read_dataframe(named.path, layer=STRATA_LAYER, read_geometry=False)
        table = table[["value", "area_ha"]].dropna().drop_duplicates("value").sort_values("value")
        values = table["value"].to_numpy(np.int64)
        place = {int(value): i for i, value in enumerate(values)}
        of_point = {
            str(one): place[int(value)]
            for one, value in zip(codes_of(frame["id"].to_numpy()), frame[STRATUM_FIELD], strict=True)
            if one is not None and value == value and int(value) in place
        }
        return Design(values, table["area_ha"].to_numpy(np.float64), of_point)
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError, KeyError, ValueError, TypeError):
        return None


def from_counts(
    matrix: Matrix,
    hectares: npt.NDArray[np.float64],
    classes: Sequence[MapClass],
    others: Sequence[str],
    note: str,
    *,
    random: bool,
) -> tuple[AdjustedAccuracy | None, list[str]]:
    """Adjusted figures from counts whose rows are the map's classes, with warnings.

    The columns are the map's classes and `others`, which the map doesn't have.
    """
    if matrix.sum() == 0:
        return None, []
    found = olofsson.estimate(matrix, hectares)
    warnings = _strata_warnings(found, [c.name for c in classes], hectares)
    return _adjusted(found, matrix.sum(axis=1), hectares, classes, others, note, random), warnings


def from_units(
    design: Design,
    stratum: npt.NDArray[np.int64],
    mapped: npt.NDArray[np.int64],
    reference: npt.NDArray[np.int64],
    hectares: npt.NDArray[np.float64],
    classes: Sequence[MapClass],
    others: Sequence[str],
    note: str,
) -> tuple[AdjustedAccuracy | None, list[str]]:
    """Adjusted figures from a random sample whose strata are not the classes of this map.

    Args:
        design: how the sample was drawn.
        stratum: (N,) place in the design's strata of each point.
        mapped: (N,) classes of this map.
        reference: (N,) classes of this map, or len(classes) + place in `others`.
        hectares: (K,) mapped areas.
        classes: of this map.
        others: classes of the reference that this map doesn't have.
        note: about the design.
    """
    if len(stratum) == 0:
        return None, []
    found = stehman.estimate(stratum, mapped, reference, design.hectares, len(classes), len(others))
    warnings = _strata_warnings(found, [f"stratum {v}" for v in design.values], design.hectares)
    counts = np.bincount(mapped, minlength=len(classes))
    return _adjusted(found, counts, hectares, classes, others, note, True), warnings


def _adjusted(
    found: Estimate,
    counts: npt.NDArray[np.int64],
    hectares: npt.NDArray[np.float64],
    classes: Sequence[MapClass],
    others: Sequence[str],
    note: str,
    random: bool,
) -> AdjustedAccuracy:
    def interval(values: npt.NDArray[np.float64], halves: npt.NDArray[np.float64], i: int) -> Interval:
        return Interval(float(values[i]), float(halves[i]))

    rows = [
        AdjustedClass(
            name=one.name,
            color=one.color,
            mapped_ha=float(hectares[i]),
            area_ha=interval(found.areas, found.areas_half, i),
            n_samples=int(counts[i]),
            users=interval(found.users, found.users_half, i),
            producers=interval(found.producers, found.producers_half, i),
        )
        for i, one in enumerate(classes)
    ]
    further = [
        AdjustedOther(name, interval(found.areas, found.areas_half, len(classes) + i))
        for i, name in enumerate(others)
    ]
    return AdjustedAccuracy(
        overall=Interval(found.overall, found.overall_half),
        classes=rows,
        total_ha=float(found.areas.sum()),
        probability_sample=random,
        note=note,
        other_classes=further,
    )


def _strata_warnings(found: Estimate, names: Sequence[str], hectares: npt.NDArray[np.float64]) -> list[str]:
    warnings = []
    if found.no_sample:
        missing = ", ".join(names[i] for i in found.no_sample)
        share = hectares[found.no_sample].sum() / hectares.sum()
        warnings.append(
            f"No reference in the mapped classes {missing} ({share:.1%} of the mapped area): the "
            "area-adjusted figures leave their area out."
        )
    if found.single:
        thin = ", ".join(names[i] for i in found.single)
        warnings.append(
            f"Only one reference unit in the mapped classes {thin}: the widest possible spread was "
            "assumed there."
        )
    return warnings
