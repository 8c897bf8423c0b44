"""Windows that lie on each other: the same land with the same or with other ticks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import shapely

from sits_engine.errors import InputError
from sits_engine.samples.window_classes import listed

if TYPE_CHECKING:
    import geopandas as gpd

#: Two polygons overlap that share more than this part of the smaller one, and are one from the second on.
OVERLAP, SAME = 0.1, 0.999


def overlaps(
    polygons: gpd.GeoSeries, ids: npt.NDArray[np.str_], ticks: npt.NDArray[np.bool_], name: str
) -> list[str]:
    """Sentences on windows that overlap.

    Args:
        polygons: N of them.
        ids: (N,).
        ticks: (N, K).
        name: of the layer, for messages.

    Raises:
        InputError: the same polygon is there twice with different ticks: names their ids.
    """
    one, other, same = _pairs(polygons.to_numpy())
    if not len(one):
        return []
    differ = (ticks[one] != ticks[other]).any(axis=1)
    clash = np.flatnonzero(same & differ)
    if len(clash):
        pairs = [f"{ids[one[i]]} and {ids[other[i]]}" for i in clash]
        raise InputError(
            f"{name} holds windows twice with different ticks: {listed(pairs)}.",
            "Delete one window of each pair, or tick both alike.",
        )
    involved = len(np.union1d(one, other))
    unlike = len(np.union1d(one[differ], other[differ]))
    twice = f" {int(same.sum())} pairs are the same polygon." if same.any() else ""
    return [
        f"{name}: {involved} of {len(ids)} windows overlap another one by more than a tenth of the smaller; "
        f"{unlike} of them have other ticks than a window that they overlap.{twice} What is ticked on the "
        "same land counts more than once, and where ticks differ they may contradict each other."
    ]


def _pairs(
    polygons: npt.NDArray[np.object_],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Pairs that overlap, and (P,) whether both are one polygon."""
    one, other = shapely.STRtree(polygons).query(polygons)
    first = one < other
    one, other = one[first], other[first]
    # neighbours touch: no need to cut them
    bounds, area = shapely.bounds(polygons), shapely.area(polygons)
    low = np.maximum(bounds[one, :2], bounds[other, :2])
    high = np.minimum(bounds[one, 2:], bounds[other, 2:])
    smaller = np.minimum(area[one], area[other])
    near = (high - low).clip(0).prod(axis=1) > OVERLAP * smaller
    one, other, smaller = one[near], other[near], smaller[near]
    common = shapely.area(shapely.intersection(polygons[one], polygons[other]))
    found = common > OVERLAP * smaller
    one, other, common = one[found], other[found], common[found]
    return one, other, common >= SAME * np.maximum(area[one], area[other])
