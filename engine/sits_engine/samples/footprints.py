"""Which pixels of a grid belong to which parcel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sits_engine.series.types import Grid

if TYPE_CHECKING:
    import geopandas as gpd

#: Erosion by default, in pixels: half a pixel's diagonal, so that kept pixels lie wholly inside.
ERODED_PIXELS = 0.71
#: Pixel centres tested at once: bounds the memory of huge polygons.
CENTRES_AT_ONCE = 1_000_000


@dataclass
class Footprints:
    """Pixels of N parcels, as flat indices (row * width + column), sorted within each parcel.

    Attributes:
        pixels: (P,) int64.
        sizes: (N,) int64, pixels of each parcel; 0 where nothing is left.
        found: (N,) int64, pixels before the cap `max_pixels`.
        vanished: parcels of which the erosion leaves nothing.
        contested: pixels in parcels of different labels, given to none.
    """

    pixels: npt.NDArray[np.int64]
    sizes: npt.NDArray[np.int64]
    found: npt.NDArray[np.int64]
    vanished: int = 0
    contested: int = 0


def default_buffer(grid: Grid) -> float:
    """Erosion in metres that leaves only pixels wholly inside a parcel."""
    width, height = grid.resolution
    return round(ERODED_PIXELS * max(width, height) * metres_per_unit(grid), 2)


def metres_per_unit(grid: Grid) -> float:
    """Metres of one unit of the grid's CRS (of a degree of latitude where it is geographic)."""
    import pyproj

    crs = pyproj.CRS.from_user_input(grid.crs)
    return 111_320.0 if crs.is_geographic else float(crs.axis_info[0].unit_conversion_factor)


def eroded(frame: gpd.GeoDataFrame, metres: float, grid: Grid) -> npt.NDArray[np.object_]:
    """Polygons shrunk by `metres`, in the frame's CRS (the grid's); points unchanged."""
    import shapely

    geometries = frame.geometry.to_numpy()
    polygons = shapely.get_dimensions(geometries) == 2
    if metres == 0 or not polygons.any():
        return np.asarray(geometries, dtype=object)
    out = np.array(geometries, dtype=object)
    if frame.crs.is_geographic:
        # degrees aren't equally long in both directions: shrink in metres, and come back
        part = frame.geometry[polygons]
        metric = part.estimate_utm_crs()
        out[polygons] = part.to_crs(metric).buffer(-metres).to_crs(frame.crs).to_numpy()
    else:
        out[polygons] = shapely.buffer(geometries[polygons], -metres / metres_per_unit(grid))
    return out


def inside_pixels(geometry: Any, grid: Grid) -> npt.NDArray[np.int64]:
    """Flat indices of the pixels whose centre lies in the polygon (or that hold the points), sorted."""
    import shapely

    if shapely.get_dimensions(geometry) == 0:
        return _pixels_of_points(geometry, grid)
    inverse = ~grid.transform
    to_pixels = [inverse.a, inverse.b, inverse.d, inverse.e]
    shape = shapely.transform(
        geometry, lambda xy: xy @ np.array(to_pixels).reshape(2, 2).T + (inverse.c, inverse.f)
    )
    left, top, right, bottom = shape.bounds
    # centre of column c is at c + 0.5
    first_col, last_col = max(0, int(np.ceil(left - 0.5))), min(grid.width - 1, int(np.floor(right - 0.5)))
    first_row, last_row = max(0, int(np.ceil(top - 0.5))), min(grid.height - 1, int(np.floor(bottom - 0.5)))
    if first_col > last_col or first_row > last_row:
        return np.empty(0, dtype=np.int64)
    shapely.prepare(shape)
    cols = np.arange(first_col, last_col + 1, dtype=np.int64)
    step = max(1, CENTRES_AT_ONCE // len(cols))
    found = []
    for start in range(first_row, last_row + 1, step):
        rows = np.arange(start, min(start + step, last_row + 1), dtype=np.int64)
        x, y = np.meshgrid(cols + 0.5, rows + 0.5)
        inside = np.flatnonzero(shapely.contains_xy(shape, x.ravel(), y.ravel()))
        found.append(rows[inside // len(cols)] * grid.width + cols[inside % len(cols)])
    return np.concatenate(found)


def _pixels_of_points(geometry: Any, grid: Grid) -> npt.NDArray[np.int64]:
    import shapely

    points = shapely.get_coordinates(geometry)
    inverse = ~grid.transform
    cols = np.floor(inverse.a * points[:, 0] + inverse.b * points[:, 1] + inverse.c).astype(np.int64)
    rows = np.floor(inverse.d * points[:, 0] + inverse.e * points[:, 1] + inverse.f).astype(np.int64)
    inside = (cols >= 0) & (cols < grid.width) & (rows >= 0) & (rows < grid.height)
    return np.unique(rows[inside] * grid.width + cols[inside])


def find_footprints(
    geometries: npt.NDArray[np.object_],
    labels: npt.NDArray[Any],
    grid: Grid,
    *,
    max_pixels: int,
    seed: int,
) -> Footprints:
    """Pixels of each geometry (in the grid's CRS), at most `max_pixels` a parcel, drawn with `seed`.

    A pixel that lies in several parcels belongs to none of them if their labels differ (its label
    isn't known), else to the first: no pixel is used twice.
    """
    import shapely

    rng = np.random.default_rng(seed)
    vanished = shapely.is_empty(geometries)
    owners = _shared_pixels(geometries, labels, grid)
    kept: list[npt.NDArray[np.int64]] = []
    found = np.zeros(len(geometries), dtype=np.int64)
    for i, geometry in enumerate(geometries):
        if vanished[i]:
            kept.append(np.empty(0, dtype=np.int64))
            continue
        pixels = inside_pixels(geometry, grid)
        given_up = owners.lost[i]
        if given_up is not None:
            pixels = np.setdiff1d(pixels, given_up, assume_unique=True)
        found[i] = len(pixels)
        if len(pixels) > max_pixels:
            pixels = np.sort(rng.choice(pixels, max_pixels, replace=False))
        kept.append(pixels)
    return Footprints(
        pixels=np.concatenate(kept) if kept else np.empty(0, dtype=np.int64),
        sizes=np.array([len(p) for p in kept], dtype=np.int64),
        found=found,
        vanished=int(vanished.sum()),
        contested=owners.contested,
    )


@dataclass
class _Shared:
    lost: list[npt.NDArray[np.int64] | None]
    contested: int


def _shared_pixels(geometries: npt.NDArray[np.object_], labels: npt.NDArray[Any], grid: Grid) -> _Shared:
    """Pixels that each parcel must give up because another one holds them too."""
    import shapely

    lost: list[npt.NDArray[np.int64] | None] = [None] * len(geometries)
    tree = shapely.STRtree(geometries)
    points = shapely.get_dimensions(geometries) == 0
    pairs = tree.query(geometries, predicate="intersects")
    suspects = np.unique(pairs[:, pairs[0] != pairs[1]])
    # points needn't touch to share a pixel
    suspects = np.union1d(suspects, np.flatnonzero(points))
    if not len(suspects):
        return _Shared(lost, 0)
    each = [inside_pixels(geometries[i], grid) for i in suspects]
    owner = np.repeat(suspects, [len(p) for p in each])
    pixel = np.concatenate(each)
    order = np.lexsort((owner, pixel))
    owner, pixel = owner[order], pixel[order]
    _, start, count = np.unique(pixel, return_index=True, return_counts=True)
    _, label = np.unique(labels[owner].astype(str), return_inverse=True)
    contested = 0
    gone: dict[int, list[int]] = {}
    for at, n in zip(start[count > 1], count[count > 1], strict=True):
        same = (label[at : at + n] == label[at]).all()
        contested += not same
        for k in range(at + int(same), at + n):
            gone.setdefault(int(owner[k]), []).append(int(pixel[k]))
    for i, pixels in gone.items():
        lost[i] = np.array(pixels, dtype=np.int64)
    return _Shared(lost, contested)
