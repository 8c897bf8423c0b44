"""Windows that a person ticks: squares on the pixels of a series, over a region of interest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import shapely

from sits_engine.errors import InputError
from sits_engine.samples.region import Region
from sits_engine.samples.window_layout import check_size
from sits_engine.series.types import Grid

#: Corners and sides of a square, as (column, row) in sides: clockwise from the upper left.
_RING = np.array([[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]], dtype=np.float64)
#: Of the region: a smaller share outside of the images isn't worth a word.
LITTLE = 0.001


@dataclass(frozen=True)
class LabelGrid:
    """N squares of `size` x `size` pixels; none overlaps another, all lie inside the image.

    Attributes:
        grid: of the series.
        size: pixels along a side.
        rows, cols: (N,) int32, upper left pixel, in reading order.
    """

    grid: Grid
    size: int
    rows: npt.NDArray[np.int32]
    cols: npt.NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.rows)

    def squares(self) -> npt.NDArray[np.object_]:
        """(N,) polygons in pixel coordinates (column, row)."""
        corner = np.stack([self.cols, self.rows], axis=1)[:, None, :]
        return np.asarray(shapely.polygons(corner + _RING * self.size), dtype=object)

    def polygons(self) -> npt.NDArray[np.object_]:
        """(N,) polygons in the CRS of the grid."""
        t = self.grid.transform
        turn = np.array([[t.a, t.d], [t.b, t.e]])
        moved = shapely.transform(self.squares(), lambda xy: xy @ turn + (t.c, t.f))
        return np.asarray(moved, dtype=object)


def lay_grid(
    region: Region, title: str, size: int = 24, *, max_windows: int | None = None, seed: int = 1
) -> tuple[LabelGrid, list[str]]:
    """The windows that cover a region.

    They lie on one lattice from the upper left corner of the image, so that grids of neighbouring regions
    fit together, and are taken where they have a part of the region.

    Args:
        region: where, on the grid of the series.
        title: of the series, for messages.
        size: pixels along a side.
        max_windows: draw so many at random; None takes all.
        seed: of the draw.

    Returns:
        The grid, and sentences on what it leaves out.

    Raises:
        InputError: no window fits into the image, or none into the region's part of it.
    """
    grid, area = region.grid, region.window
    check_size(grid, size, title)
    down, notes_down = _starts(area.row, area.height, grid.height, size, "rows at the lower edge")
    across, notes_across = _starts(area.col, area.width, grid.width, size, "columns at the right edge")
    rows, cols = np.repeat(down, len(across)), np.tile(across, len(down))
    if region.polygons is not None and len(rows):
        found = _within(LabelGrid(grid, size, rows, cols), region.polygons)
        rows, cols = rows[found], cols[found]
    if not len(rows):
        raise InputError(
            f"No window of {size} x {size} pixels lies in the region: it covers only the edge of the images "
            f"of {title}, where no whole window fits.",
            "Choose a larger region, or a smaller WINDOW.",
        )
    notes = [*notes_down, *notes_across]
    if region.outside > LITTLE:
        share = max(1, min(99, round(100 * region.outside)))
        notes.insert(0, f"{share} % of the region lie outside of the images of {title} and get no windows.")
    if max_windows is not None and max_windows < len(rows):
        notes.append(
            f"{max_windows} of the {len(rows)} windows of the region were drawn at random (seed {seed}). "
            "Raise MAX_WINDOWS for more."
        )
        drawn = np.random.default_rng(seed).choice(len(rows), max_windows, replace=False)
        drawn.sort()
        rows, cols = rows[drawn], cols[drawn]
    return LabelGrid(grid, size, rows, cols), notes


def _starts(
    first: int, length: int, whole: int, size: int, edge: str
) -> tuple[npt.NDArray[np.int32], list[str]]:
    """Starts of the windows that reach into `first` .. `first + length` and end inside the image."""
    begin, end = first // size, -(-(first + length) // size)
    fitting = min(end, whole // size)
    left = first + length - fitting * size if end > fitting else 0
    notes = [f"{left} {edge} of the images, too few for a window, lie in none."] if left else []
    return np.arange(begin, fitting, dtype=np.int32) * np.int32(size), notes


def _within(squares: LabelGrid, polygons: npt.NDArray[np.object_]) -> npt.NDArray[np.bool_]:
    """(N,) bool: has the window a part of one of the polygons?"""
    from sits_engine.samples.area_fractions import to_pixels

    tree = shapely.STRtree(squares.squares())
    found = np.zeros(len(squares), dtype=bool)
    shapes = to_pixels(polygons, squares.grid)
    # a hair smaller: a region that ends where the window begins has no part in it
    inner = shapely.buffer(shapes, -1e-6)
    inner = np.where(shapely.is_empty(inner), shapes, inner)
    found[tree.query(inner, predicate="intersects")[1]] = True
    return found
