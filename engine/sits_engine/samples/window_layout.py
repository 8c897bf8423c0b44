"""Where windows lie in an image, and in which order their pixels are read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from sits_engine.errors import InputError
from sits_engine.series.types import Grid, Window

#: Largest cube that is read at once, in bytes of float32.
CUBE_BYTES = 128 * 2**20


def starts(length: int, size: int, stride: int) -> npt.NDArray[np.int32]:
    """First pixels of the windows along one side; the last one is moved inside, so that nothing is left."""
    first = np.arange(0, length - size + 1, stride, dtype=np.int32)
    if first[-1] + size < length:
        first = np.append(first, np.int32(length - size))
    return first


def check_size(grid: Grid, size: int, title: str) -> None:
    """Raise an InputError where no window fits into the image."""
    smaller = min(grid.height, grid.width)
    if smaller < size:
        raise InputError(
            f"The images of {title} have {grid.height} x {grid.width} pixels; a window of {size} x {size} "
            "doesn't fit.",
            f"Lower WINDOW to {smaller // 4 * 4 or smaller} or less, or use larger images.",
            image=[grid.height, grid.width],
            window=size,
        )


def batches(
    rows: npt.NDArray[np.int32], cols: npt.NDArray[np.int32], size: int, depth: int
) -> Iterator[tuple[Window, npt.NDArray[np.int64]]]:
    """Windows in batches that lie together: (what to read for all of them, their numbers).

    Blocks of files are decoded about once: a batch is what starts in a tile of at most 256 pixels, and its
    cube stays below `CUBE_BYTES` where a single window does.
    """
    side = 256
    while side > size and (side + size) ** 2 * depth * 4 > CUBE_BYTES:
        side //= 2
    side = max(side, 1)
    order = np.lexsort((cols, rows, cols // side, rows // side))
    tile = np.column_stack([rows // side, cols // side])[order]
    cuts = np.flatnonzero((np.diff(tile, axis=0) != 0).any(axis=1)) + 1
    for members in np.split(order, cuts) if len(order) else []:
        top, left = int(rows[members].min()), int(cols[members].min())
        bottom, right = int(rows[members].max()) + size, int(cols[members].max()) + size
        yield Window(top, left, bottom - top, right - left), members


def centres(
    rows: npt.NDArray[np.int32], cols: npt.NDArray[np.int32], size: int, grid: Grid
) -> npt.NDArray[np.float64]:
    """(N, 2) longitude and latitude of the windows' centres."""
    from pyproj import Transformer

    t = grid.transform
    across, down = cols + size / 2, rows + size / 2
    x, y = t.a * across + t.b * down + t.c, t.d * across + t.e * down + t.f
    moved: Sequence[npt.NDArray[np.float64]] = Transformer.from_crs(
        grid.crs, "EPSG:4326", always_xy=True
    ).transform(x, y)
    return np.column_stack(moved)
