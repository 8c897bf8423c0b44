"""Reading a window of one scene on the grid of the series.

Four ways, the fastest that fits the file: a direct read where the file is on the grid, one with repeated
pixels where a mask has a whole multiple of the grid's pixel size, a reduced read (overviews, resolution
levels of JPEG 2000) for nearest neighbours on a much coarser grid, and GDAL's warper for everything
else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from affine import Affine
from rasterio.enums import Resampling
from rasterio.warp import reproject
from rasterio.windows import Window as RasterWindow

from sits_engine.series.clouds import MaskRule
from sits_engine.series.gridding import intersects, reproject_bounds, same_crs
from sits_engine.series.pool import DatasetPool
from sits_engine.series.scenes import Band, Scene
from sits_engine.series.types import Grid, Window

Array = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]

#: A file counts as on the grid if its pixel edges are off by less than this share of a pixel.
_ALIGNED = 1e-3


@dataclass(frozen=True)
class Placement:
    """How a file lies on a grid: its pixel (r, c) starts at (r * step + row, c * step + col) of the grid."""

    step: int
    row: int
    col: int


@lru_cache(maxsize=8192)
def placement(file: Grid, grid: Grid) -> Placement | None:
    """Placement of a file whose pixels are whole multiples of the grid's and in line with them, else None."""
    if not same_crs(file.crs, grid.crs):
        return None
    (fx, fy), (gx, gy) = file.resolution, grid.resolution
    step = round(fx / gx)
    if file.transform.e > 0 or grid.transform.e > 0 or step < 1:
        return None
    extent = max(file.width, file.height, 1)
    if abs(fx - step * gx) * extent > _ALIGNED * gx or abs(fy - step * gy) * extent > _ALIGNED * gy:
        return None
    col = (file.transform.c - grid.transform.c) / gx
    row = (grid.transform.f - file.transform.f) / gy
    if abs(col - round(col)) > _ALIGNED or abs(row - round(row)) > _ALIGNED:
        return None
    return Placement(step, round(row), round(col))


@lru_cache(maxsize=8192)
def footprint(file: Grid, grid: Grid) -> tuple[float, float, float, float]:
    """Bounds of a file in the CRS of the grid."""
    return reproject_bounds(file.bounds, file.crs, grid.crs)


def window_bounds(grid: Grid, window: Window) -> tuple[float, float, float, float]:
    """(xmin, ymin, xmax, ymax) of a window in the CRS of its grid."""
    part = Grid(grid.crs, grid.window_transform(window), window.height, window.width)
    return part.bounds


def outside_value(dtype: np.dtype[Any], nodata: float | None) -> Any:
    """The number that marks missing pixels: the file's own, else one that data can't sensibly have."""
    if nodata is not None:
        return dtype.type(nodata)
    if dtype.kind == "f":
        return dtype.type(np.nan)
    return np.iinfo(dtype).min if dtype.kind == "i" else np.iinfo(dtype).max


def present(values: Array, nodata: Any) -> Mask:
    """(H, W) True where none of the (C, H, W) bands is missing; NaN and infinity are always missing."""
    ok = np.ones(values.shape[1:], dtype=bool)
    if values.dtype.kind == "f":
        for band in values:
            ok &= np.isfinite(band)
    if nodata is None or nodata != nodata:  # NaN is handled by isfinite
        return ok
    if values.dtype.kind in "iu":
        limits = np.iinfo(values.dtype)
        if nodata != int(nodata) or not limits.min <= nodata <= limits.max:
            return ok  # a number that the type can't hold marks nothing
    missing = values.dtype.type(nodata)  # same type: four times faster than comparing with a float
    for band in values:
        ok &= band != missing
    return ok


def read_bands(
    pool: DatasetPool, bands: Sequence[Band], grid: Grid, window: Window, out: Array, *, nearest: bool
) -> Mask:
    """Read bands of one file that share nodata into `out`.

    Args:
        bands: bands of the same file.
        out: (C, H, W), overwritten; values of missing pixels are arbitrary.
        nearest: nearest neighbour instead of bilinear where the file isn't on the grid.

    Returns:
        (H, W) True where every band has data.
    """
    first = bands[0]
    indexes = [band.index for band in bands]
    place = placement(first.grid, grid)
    if place is not None and (place.step == 1 or nearest):
        return _read_direct(pool, first, indexes, place, window, out)
    return _read_warped(pool, first, indexes, grid, window, out, nearest)


def _read_warped(
    pool: DatasetPool,
    first: Band,
    indexes: list[int],
    grid: Grid,
    window: Window,
    out: Array,
    nearest: bool,
) -> Mask:
    """Read through GDAL's warper."""
    dtype = np.dtype(first.dtype)
    fill = outside_value(dtype, first.nodata)
    warped = np.empty(out.shape, dtype=dtype)
    part = _reduced(first.grid, grid, window) if nearest else None
    part = part or _beneath(first.grid, grid, window)

    def warp(source: Any) -> None:
        nodata = first.nodata
        placed: dict[str, Any] = {}
        if part is None:
            pixels: Any = rasterio.band(source, indexes)
        else:
            pixels = source.read(indexes, window=part.window, out_shape=(len(indexes), *part.shape))
            placed = {"src_transform": part.transform, "src_crs": source.crs}
            if present(pixels, nodata).all():
                nodata = None  # the same result, more than twice as fast
        warped.fill(fill)
        reproject(
            pixels,
            warped,
            **placed,
            src_nodata=nodata,
            dst_nodata=nodata,
            dst_transform=grid.window_transform(window),
            dst_crs=grid.crs,
            resampling=Resampling.nearest if nearest else Resampling.bilinear,
            init_dest_nodata=False,
        )

    pool.read(first.href, warp)
    out[:] = warped
    return present(warped, fill)


@dataclass(frozen=True)
class _Part:
    """A part of a file, the (height, width) it is read as, and the transform of that."""

    window: RasterWindow
    shape: tuple[int, int]
    transform: Affine


def rectangle(file: Grid, grid: Grid, window: Window, margin: float) -> tuple[int, int, int, int] | None:
    """(first row, end row, first column, end column) of a file under a window; None if there is nothing."""
    box = reproject_bounds(window_bounds(grid, window), grid.crs, file.crs)
    x_size, y_size = file.resolution
    left, top = file.bounds[0], file.bounds[3]
    col0, col1 = int((box[0] - left) / x_size - margin), int((box[2] - left) / x_size + margin) + 1
    row0, row1 = int((top - box[3]) / y_size - margin), int((top - box[1]) / y_size + margin) + 1
    col0, col1, row0, row1 = max(0, col0), min(file.width, col1), max(0, row0), min(file.height, row1)
    if file.transform.e > 0 or col0 >= col1 or row0 >= row1:
        return None
    return row0, row1, col0, col1


def _beneath(file: Grid, grid: Grid, window: Window) -> _Part | None:
    """The part of a file that bilinear resampling of a window needs.

    None where there is none, or where it is so large (a much coarser grid) that the warper should read it
    piece by piece.
    """
    ratio = max(1.0, _pixels_per_cell(file, grid, window))
    found = rectangle(file, grid, window, 2 * ratio + 2)
    if found is None or ratio > 3:
        return None
    row0, row1, col0, col1 = found
    shape = row1 - row0, col1 - col0
    return _Part(
        RasterWindow(col0, row0, shape[1], shape[0]), shape, file.transform * Affine.translation(col0, row0)
    )


def _pixels_per_cell(file: Grid, grid: Grid, window: Window) -> float:
    """Pixels of a file along one side of a cell of the grid."""
    box = reproject_bounds(window_bounds(grid, window), grid.crs, file.crs)
    x_size, y_size = file.resolution
    return min((box[2] - box[0]) / x_size / window.width, (box[3] - box[1]) / y_size / window.height)


def _reduced(file: Grid, grid: Grid, window: Window) -> _Part | None:
    """The part of a file under a window, reduced to two pixels a cell; None if it hasn't as many."""
    per_cell = _pixels_per_cell(file, grid, window)
    found = rectangle(file, grid, window, 0)
    if found is None or per_cell < 2:
        return None
    row0, row1, col0, col1 = found
    # Two pixels a cell, so that the neighbour that is taken lies well inside the cell.
    height, width = (max(1, round(2 * n / per_cell)) for n in (row1 - row0, col1 - col0))
    corner = file.transform * Affine.translation(col0, row0)
    scaled = corner * Affine.scale((col1 - col0) / width, (row1 - row0) / height)
    return _Part(RasterWindow(col0, row0, col1 - col0, row1 - row0), (height, width), scaled)


def _read_direct(
    pool: DatasetPool, first: Band, indexes: list[int], place: Placement, window: Window, out: Array
) -> Mask:
    """Read from a file in line with the grid; pixels are repeated `step` times."""
    step, file = place.step, first.grid
    top, left = window.row - place.row, window.col - place.col  # of the window, in grid pixels of the file
    row0, row1 = max(0, top), min(file.height * step, top + window.height)
    col0, col1 = max(0, left), min(file.width * step, left + window.width)
    if row0 >= row1 or col0 >= col1:
        return np.zeros(out.shape[1:], dtype=bool)
    inside = (slice(row0 - top, row1 - top), slice(col0 - left, col1 - left))
    r0, r1, c0, c1 = row0 // step, -(-row1 // step), col0 // step, -(-col1 // step)
    part = RasterWindow(c0, r0, c1 - c0, r1 - r0)
    whole = step == 1 and (row1 - row0, col1 - col0) == out.shape[1:]
    if whole and out.flags.c_contiguous:
        pool.read(first.href, lambda source: source.read(indexes, window=part, out=out))
        return present(out, first.nodata)
    values = pool.read(first.href, lambda source: source.read(indexes, window=part, out_dtype=out.dtype))
    ok = present(values, first.nodata)
    if step > 1:
        cut = (slice(row0 - r0 * step, row1 - r0 * step), slice(col0 - c0 * step, col1 - c0 * step))
        values = values.repeat(step, axis=1).repeat(step, axis=2)[(slice(None), *cut)]
        ok = ok.repeat(step, axis=0).repeat(step, axis=1)[cut]
    out[(slice(None), *inside)] = values
    observed = np.zeros(out.shape[1:], dtype=bool)
    observed[inside] = ok
    return observed


def read_scene(
    pool: DatasetPool,
    scene: Scene,
    names: Sequence[str],
    rule: MaskRule | None,
    grid: Grid,
    window: Window,
    out: Array,
    *,
    nearest: bool = False,
) -> tuple[Mask, Mask, Array | None] | None:
    """Read a window of a scene into `out` (C, H, W), which must be zeros.

    Args:
        nearest: nearest neighbour instead of bilinear for bands that aren't on the grid (masks always).

    Returns:
        (observed, clear, values of the mask band if the scene has it), each (H, W); None if the scene lies
        elsewhere.
    """
    by_name = {band.name: band for band in scene.bands}
    bands = [by_name[name] for name in names]
    if not touches(scene, names, grid, window):
        return None
    observed = np.ones(out.shape[1:], dtype=bool)
    for start, stop in _runs(bands):
        observed &= read_bands(pool, bands[start:stop], grid, window, out[start:stop], nearest=nearest)
    if rule is None or rule.band not in by_name:
        return observed, observed, None
    mask_band = by_name[rule.band]
    mask = np.zeros((1, *out.shape[1:]), dtype=mask_band.dtype)
    observed &= read_bands(pool, [mask_band], grid, window, mask, nearest=True)
    return observed, observed & rule.clear(mask[0]), mask[0]


def touches(scene: Scene, names: Sequence[str], grid: Grid, window: Window) -> bool:
    """Whether all of these bands of a scene reach into a window."""
    box = window_bounds(grid, window)
    places = {band.grid for band in scene.bands if band.name in names}
    return all(intersects(footprint(place, grid), box) for place in places)


def _runs(bands: Sequence[Band]) -> list[tuple[int, int]]:
    """Stretches of neighbouring bands that can be read with one call."""
    runs: list[tuple[int, int]] = []
    start = 0
    for stop in range(1, len(bands) + 1):
        last = stop == len(bands)
        if last or (bands[stop].href, bands[stop].nodata) != (bands[start].href, bands[start].nodata):
            runs.append((start, stop))
            start = stop
    return runs
