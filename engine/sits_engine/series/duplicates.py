"""Several scenes of one day: parts of a mosaic, or versions of the same picture?"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from sits_engine.series.bands import is_spectral
from sits_engine.series.gridding import intersects, snap, union
from sits_engine.series.pool import DatasetPool
from sits_engine.series.reader import footprint, read_bands
from sits_engine.series.scenes import Band, Scene, is_remote
from sits_engine.series.types import Grid

#: Two scenes are versions of one picture if the smaller shares this much of its data area with the other.
_SAME = 0.9
_CELLS = 48


def drop_older_versions(scenes: Sequence[Scene], warn: Callable[[str], None]) -> list[Scene]:
    """Scenes without those that a newer version of the same day and place replaces.

    Scenes of a day that cover different places stay: they are mosaicked. So do the two halves of a tile that
    came in two products with the same outline, since it is the area with data that counts.
    """
    by_date: dict[object, list[Scene]] = {}
    for scene in scenes:
        by_date.setdefault(scene.date, []).append(scene)
    kept: list[Scene] = []
    for day in sorted(by_date, key=str):
        group = sorted(by_date[day], key=lambda scene: scene.processed, reverse=True)
        chosen: list[Scene] = []
        for scene in group:
            newer = next((other for other in chosen if _same_picture(scene, other)), None)
            if newer is None:
                chosen.append(scene)
            else:
                warn(f"{day} is there twice: {newer.id} is used, {scene.id} (processed earlier) is left out.")
        kept += chosen
    return kept


def _same_picture(older: Scene, newer: Scene) -> bool:
    one, other = _reference(older), _reference(newer)
    target = other.grid
    boxes = [footprint(one.grid, target), target.bounds]
    if not intersects(boxes[0], boxes[1]):
        return False
    overlap = _share(boxes[0], boxes[1])
    if overlap < _SAME:
        return False
    if older.geometry and newer.geometry and (is_remote(one.href) or is_remote(other.href)):
        return _geometry_share(older, newer) >= _SAME
    whole = union(boxes)
    size = ((whole[2] - whole[0]) / _CELLS, (whole[3] - whole[1]) / _CELLS)
    grid = snap(whole, target, size)
    first, second = _data_area(older, grid), _data_area(newer, grid)
    smaller = min(first.sum(), second.sum())
    return bool(smaller == 0 or (first & second).sum() >= _SAME * smaller)


def _reference(scene: Scene) -> Band:
    return next((band for band in scene.bands if is_spectral(band.name)), scene.bands[0])


def _share(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """Common area of two rectangles as a share of the smaller."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return max(0.0, width) * max(0.0, height) / min(areas)


def _geometry_share(one: Scene, other: Scene) -> float:
    from shapely.geometry import shape

    first, second = shape(one.geometry or {}).buffer(0), shape(other.geometry or {}).buffer(0)
    smaller = min(first.area, second.area)
    return float(first.intersection(second).area / smaller) if smaller else 1.0


def _data_area(scene: Scene, grid: Grid) -> npt.NDArray[np.bool_]:
    """Coarse map of where the scene has data."""
    band = _reference(scene)
    out = np.zeros((1, grid.height, grid.width), dtype=band.dtype)
    pool = DatasetPool()
    try:
        return read_bands(pool, [band], grid, grid.whole, out, nearest=True)
    finally:
        pool.close()
