"""The size of a network's windows that suits polygons with ticks."""

from __future__ import annotations

import numpy as np
import shapely

from sits_engine.samples.area_fractions import to_pixels
from sits_engine.samples.label_windows import LabelWindows
from sits_engine.series.gridding import same_crs
from sits_engine.series.types import Grid

#: Side of a window in pixels (published), and the range in which that of squares is taken over.
USUAL, LEAST, MOST = 24, 8, 48
#: Of a side: how far a polygon may be from a square of whole pixels.
SLACK = 0.05


def suitable_size(grid: Grid, label_windows: LabelWindows) -> int:
    """Side of the squares in pixels, where most polygons are squares of one even size; else 24.

    Args:
        grid: of the images.
        label_windows: polygons in any CRS.
    """
    frame = label_windows.frame
    if not same_crs(frame.crs.to_wkt(), grid.crs):
        frame = frame.to_crs(grid.crs)
    shapes = to_pixels(np.asarray(frame.to_numpy(), dtype=object), grid)
    bounds = shapely.bounds(shapes)
    sides = bounds[:, 2:] - bounds[:, :2]
    size = np.rint(sides.mean(axis=1))
    square = (np.abs(sides - size[:, None]) <= SLACK * size[:, None]).all(axis=1)
    square &= shapely.area(shapes) >= (1 - 2 * SLACK) * size**2
    fitting = square & (size % 2 == 0) & (size >= LEAST) & (size <= MOST)
    found, count = np.unique(size[fitting], return_counts=True)
    if not len(found) or 2 * count.max() < len(shapes):
        return USUAL
    return int(found[count.argmax()])
