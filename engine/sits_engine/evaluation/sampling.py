"""Stratified random points from a map of any size, in two passes over it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyogrio

from sits_engine.errors import InputError
from sits_engine.evaluation.design import AREA_FIELD, CLASSES_LAYER, POINTS_LAYER, STRATA_LAYER, STRATUM_FIELD
from sits_engine.mapping.class_map import ClassMap
from sits_engine.outputs import atomic

Allocation = Literal["equal", "proportional", "optimal"]
#: Share of a mapped class expected to be right where the map says nothing about its confidence.
ASSUMED_ACCURACY = 0.8
#: Expected accuracies are kept in this range: no class is perfect, and confidences flatter.
ACCURACY_RANGE = (0.5, 0.95)


def allocate(
    n: int,
    pixels: npt.NDArray[np.int64],
    allocation: Allocation,
    min_per_class: int,
    confidence: npt.NDArray[np.float64],
) -> npt.NDArray[np.int64]:
    """Points of each class.

    Args:
        n: points altogether.
        pixels: (K,) pixels of each class; classes without any get no point.
        allocation: 'equal'; 'proportional' to the area; 'optimal': Neyman's rule, proportional to area
            times the standard deviation sqrt(U (1 - U)) of the class (Olofsson et al. 2014, section 5.1),
            with U, the expected user's accuracy, taken from the map's mean confidence (0.8 if unknown).
        min_per_class: each class gets so many first (fewer only where it has fewer pixels).
        confidence: (K,) mean confidence 0..1 of each class, NaN unknown.

    Returns:
        (K,) numbers that add up to n, or to fewer where the map has fewer pixels.

    Raises:
        InputError: the minima ask for more than n.
    """
    present = pixels > 0
    floor = np.where(present, np.minimum(min_per_class, pixels), 0)
    if floor.sum() > n:
        raise InputError(
            f"{int(present.sum())} classes with at least {min_per_class} points each need {int(floor.sum())} "
            f"points; N is {n}.",
            "Raise N, or lower MIN_PER_CLASS.",
        )
    if allocation == "equal":
        weight = present.astype(float)
    elif allocation == "proportional":
        weight = pixels.astype(float)
    else:
        u = np.clip(np.where(np.isnan(confidence), ASSUMED_ACCURACY, confidence), *ACCURACY_RANGE)
        weight = pixels * np.sqrt(u * (1 - u))
    points = floor.astype(np.int64)
    n = int(min(n, pixels.sum()))
    # Classes below their share by the rule are filled up towards it; those at a limit drop out of the rest.
    free = present & (points < pixels)
    ideal = np.zeros(len(pixels))
    fixed = np.zeros(len(pixels), bool)
    while True:
        open_ = free & ~fixed
        rest = n - points[~open_].sum()
        if not open_.any():
            break
        ideal = np.where(open_, rest * weight / weight[open_].sum(), points)
        low, high = open_ & (ideal < floor), open_ & (ideal > pixels)
        if not (low | high).any():
            points[open_] = _rounded(ideal[open_], int(rest))
            break
        # the lower limits first: they only take away from the others
        at_limit = low if low.any() else high
        points[at_limit] = np.where(low, floor, pixels)[at_limit]
        fixed |= at_limit
    return points


def _rounded(shares: npt.NDArray[np.float64], total: int) -> npt.NDArray[np.int64]:
    """Whole numbers near `shares` that add up to `total`: largest remainders are rounded up."""
    whole = np.floor(shares).astype(np.int64)
    up = np.argsort(-(shares - whole), kind="stable")[: total - int(whole.sum())]
    whole[up] += 1
    return whole


@dataclass(frozen=True)
class Drawn:
    """Pixels that were drawn: (N,) rows and columns of the map, and place of their class."""

    rows: npt.NDArray[np.int64]
    cols: npt.NDArray[np.int64]
    classes: npt.NDArray[np.int64]


def draw(
    the_map: ClassMap,
    points: npt.NDArray[np.int64],
    seed: int,
    tick: Callable[[float], None] = lambda share: None,
) -> Drawn:
    """Draw pixels of each class, all with the same chance, without repeats.

    The pixels of a class are numbered in reading order. The first pass counts them window by window, the
    numbers are drawn, the second pass reads only the windows that hold a drawn number.

    Args:
        the_map: the map.
        points: (K,) how many of each class.
        seed: the same seed draws the same pixels.
        tick: progress, 0..1.
    """
    rng = np.random.default_rng(seed)
    windows = the_map.windows()
    k = len(the_map.classes)
    table = the_map.lookup
    counts = np.zeros((len(windows), k), np.int64)
    for number, (_, values) in enumerate(the_map.read(windows)):
        counts[number] = np.bincount(table[values].ravel() + 1, minlength=k + 1)[1:]
        tick(0.5 * (number + 1) / len(windows))
    ends = counts.cumsum(axis=0)
    wanted: dict[int, list[tuple[int, npt.NDArray[np.int64]]]] = {}
    for c in np.flatnonzero(points).tolist():
        chosen = np.sort(rng.choice(int(ends[-1, c]), int(points[c]), replace=False))
        at = np.searchsorted(ends[:, c], chosen, side="right")
        for number in np.unique(at):
            inside = chosen[at == number] - (ends[number, c] - counts[number, c])
            wanted.setdefault(int(number), []).append((c, inside))
    rows, cols, classes = [], [], []
    order = sorted(wanted)
    for done, ((window, values), number) in enumerate(
        zip(the_map.read([windows[i] for i in order]), order, strict=True)
    ):
        index = table[values].ravel()
        for c, inside in wanted[number]:
            flat = np.flatnonzero(index == c)[inside]
            rows.append(window.row + flat // window.width)
            cols.append(window.col + flat % window.width)
            classes.append(np.full(len(flat), c, np.int64))
        tick(0.5 + 0.5 * (done + 1) / len(order))
    drawn = [np.concatenate(parts) for parts in (rows, cols, classes)]
    # Shuffled: neither number nor order may tell the interpreter what the map says.
    shuffled = rng.permutation(len(drawn[0]))
    return Drawn(drawn[0][shuffled], drawn[1][shuffled], drawn[2][shuffled])


def write_sample(
    path: Path,
    the_map: ClassMap,
    drawn: Drawn,
    pixels: npt.NDArray[np.int64],
    hectares: npt.NDArray[np.float64],
) -> None:
    """Write a GeoPackage.

    Layers: `sample` (points in the pixel centres: id, reference (empty, to be filled in), stratum (value in
    the map) and stratum_ha (area of that stratum), which a form should hide); tables `strata` (value, class,
    pixels, area_ha, n) and `classes` (value, class, color), for the form's list.
    """
    t = the_map.grid.transform
    x = t.a * (drawn.cols + 0.5) + t.b * (drawn.rows + 0.5) + t.c
    y = t.d * (drawn.cols + 0.5) + t.e * (drawn.rows + 0.5) + t.f
    values = np.array([c.value for c in the_map.classes], dtype=np.int32)
    points = gpd.GeoDataFrame(
        {
            "id": np.arange(1, len(x) + 1, dtype=np.int32),
            "reference": pd.array([None] * len(x), dtype="string"),
            STRATUM_FIELD: values[drawn.classes],
            AREA_FIELD: hectares[drawn.classes],
        },
        geometry=gpd.points_from_xy(x, y),
        crs=the_map.grid.crs,
    )
    names = [c.name for c in the_map.classes]
    strata = pd.DataFrame(
        {
            "value": values,
            "class": names,
            "pixels": pixels,
            "area_ha": hectares,
            "n": np.bincount(drawn.classes, minlength=len(values)),
        }
    )
    classes = pd.DataFrame({"value": values, "class": names, "color": [c.color for c in the_map.classes]})
    with atomic(path) as temporary:
        # 1.2: QGIS 3.22 warns about newer ones
        pyogrio.write_dataframe(
            points, temporary, layer=POINTS_LAYER, driver="GPKG", dataset_options={"VERSION": "1.2"}
        )
        for layer, table in ((STRATA_LAYER, strata), (CLASSES_LAYER, classes)):
            pyogrio.write_dataframe(table, temporary, layer=layer, driver="GPKG", append=True)
