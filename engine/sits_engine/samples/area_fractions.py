"""The exact share of each pixel's area that lies inside a polygon.

Instead of cutting each polygon with each pixel, the shares follow from the outline alone (Green's theorem):
a piece of outline within one pixel adds the area to its right, in its own pixel and in all that follow in the
row, with the sign of its direction. Holes run the other way round and take their area away again. The work
grows with the length of the outline, not with the number of pixels, and nothing is rounded to pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import shapely

from sits_engine.series.types import Grid, Window

Floats = npt.NDArray[np.float64]
#: Shares nearer to 0 or 1 than this differ from them by rounding only.
ROUNDING = 1e-9


@dataclass(frozen=True)
class Patch:
    """Shares of one polygon in the pixels around it.

    Attributes:
        row, col: of the first pixel, counted in the window.
        shares: (h, w) float64, 0 to 1.
    """

    row: int
    col: int
    shares: Floats

    @property
    def place(self) -> tuple[slice, slice]:
        """Where the patch lies in an array of the window."""
        height, width = self.shares.shape
        return slice(self.row, self.row + height), slice(self.col, self.col + width)


def to_pixels(geometries: npt.NDArray[np.object_], grid: Grid) -> npt.NDArray[np.object_]:
    """Geometries in the grid's CRS as (column, row): pixel (r, c) is the square from (c, r) to (c+1, r+1)."""
    inverse = ~grid.transform
    turn = np.array([[inverse.a, inverse.d], [inverse.b, inverse.e]])
    return np.asarray(shapely.transform(geometries, lambda xy: xy @ turn + (inverse.c, inverse.f)))


def area_fractions(shapes: npt.NDArray[np.object_], window: Window) -> list[Patch | None]:
    """Share of each pixel of `window` inside each polygon.

    Args:
        shapes: (P,) valid polygons or multi-polygons in pixel coordinates (`to_pixels`).
        window: pixels wanted.

    Returns:
        A patch a polygon, None where it has no area in the window.
    """
    frame = shapely.box(window.col, window.row, window.col + window.width, window.row + window.height)
    cut = shapely.intersection(shapes, frame)
    parts, owner = shapely.get_parts(cut, return_index=True)
    areal = (shapely.get_dimensions(parts) == 2) & (shapely.area(parts) > 0)
    parts, owner = parts[areal], owner[areal]
    found: list[Patch | None] = [None] * len(shapes)
    if not len(parts):
        return found
    x0, y0, x1, y1, edge_owner = _edges(parts, owner)
    here = np.unique(owner)
    # what only touches the window in a line may reach further than the polygon's area: no harm
    bounds = shapely.bounds(cut[here]) - np.array([window.col, window.row] * 2)
    most = np.array([window.width, window.height])
    corner = np.clip(np.floor(bounds[:, :2]), 0, most - 1).astype(np.int64)
    sides = np.maximum(np.minimum(np.ceil(bounds[:, 2:]), most).astype(np.int64) - corner, 1)
    block = np.searchsorted(here, edge_owner)
    left, top = window.col + corner[block, 0], window.row + corner[block, 1]
    shares = _accumulate(x0 - left, y0 - top, x1 - left, y1 - top, block, sides[:, 1], sides[:, 0])
    for i, (col, row), own in zip(here, corner.tolist(), shares, strict=True):
        found[i] = Patch(row, col, own)
    return found


def _edges(
    parts: npt.NDArray[np.object_], owner: npt.NDArray[np.int64]
) -> tuple[Floats, Floats, Floats, Floats, npt.NDArray[np.int64]]:
    """x0, y0, x1, y1, owner of all edges; the area lies at larger x than an edge towards larger y."""
    rings, part = shapely.get_rings(parts, return_index=True)
    xy, ring = shapely.get_coordinates(rings, return_index=True)
    same = ring[1:] == ring[:-1]
    a, b, ring = xy[:-1][same], xy[1:][same], ring[:-1][same]
    twice_area = np.bincount(ring, a[:, 0] * b[:, 1] - b[:, 0] * a[:, 1], minlength=len(rings))
    hole = np.diff(part, prepend=-1) == 0  # the first ring of a part is its outer one
    swap = ((twice_area > 0) != hole)[ring]
    start, end = np.where(swap[:, None], b, a), np.where(swap[:, None], a, b)
    return start[:, 0], start[:, 1], end[:, 0], end[:, 1], owner[part[ring]]


def _accumulate(
    x0: Floats,
    y0: Floats,
    x1: Floats,
    y1: Floats,
    block: npt.NDArray[np.int64],
    heights: npt.NDArray[np.int64],
    widths: npt.NDArray[np.int64],
) -> list[Floats]:
    """Shares of each block of pixels, from edges whose coordinates lie within their block.

    Args:
        x0, y0, x1, y1: (E,) edges, counted from the corner of the block.
        block: (E,) number of the block.
        heights, widths: (B,) pixels of each.
    """
    upright = y0 != y1
    x0, y0, x1, y1, block = x0[upright], y0[upright], x1[upright], y1[upright], block[upright]
    edges = len(x0)
    edge_x, t_x = _crossings(x0, x1)
    edge_y, t_y = _crossings(y0, y1)
    each = np.arange(edges)
    edge = np.concatenate([each, edge_x, edge_y, each])
    t = np.concatenate([np.zeros(edges), t_x, t_y, np.ones(edges)])
    order = np.lexsort((t, edge))
    edge, t = edge[order], t[order]
    # consecutive cuts of an edge bound a piece that lies within one pixel
    piece = edge[1:] == edge[:-1]
    edge, first, last = edge[:-1][piece], t[:-1][piece], t[1:][piece]
    drop = (last - first) * (y1[edge] - y0[edge])
    middle = (first + last) / 2
    x = x0[edge] + middle * (x1[edge] - x0[edge])
    y = y0[edge] + middle * (y1[edge] - y0[edge])
    own = block[edge]
    col = np.clip(np.floor(x), 0, widths[own] - 1).astype(np.int64)
    row = np.clip(np.floor(y), 0, heights[own] - 1).astype(np.int64)
    right = np.clip(x - col, 0, 1)
    # one column more takes what lies to the right of the last pixel; rings are closed, so that the sum of a
    # row ends at 0 there and all rows of all blocks can be summed in one go
    ends = np.cumsum(heights * (widths + 1))
    at = (ends - heights * (widths + 1))[own] + row * (widths[own] + 1) + col
    added = np.bincount(at, drop * (1 - right), minlength=int(ends[-1]))
    added += np.bincount(at + 1, drop * right, minlength=int(ends[-1]))
    shares: Floats = np.cumsum(added, dtype=np.float64)
    shares[np.abs(shares) < ROUNDING] = 0
    shares[np.abs(shares - 1) < ROUNDING] = 1
    np.clip(shares, 0, 1, out=shares)
    blocks: list[Floats] = np.split(shares, ends[:-1])
    return [b.reshape(h, w + 1)[:, :w] for b, h, w in zip(blocks, heights, widths, strict=True)]


def _crossings(a: Floats, b: Floats) -> tuple[npt.NDArray[np.int64], Floats]:
    """Where edges from `a` to `b` cross whole numbers: (number of the edge, place along it from 0 to 1)."""
    low, high = np.minimum(a, b), np.maximum(a, b)
    first = np.floor(low) + 1
    n = np.maximum(0, np.ceil(high) - first).astype(np.int64)
    edge = np.repeat(np.arange(len(a)), n)
    within = np.arange(len(edge)) - np.repeat(np.cumsum(n) - n, n)
    return edge, (first[edge] + within - a[edge]) / (b[edge] - a[edge])
