"""Comparing a map with what is known on the ground, window by window."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
import shapely
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.features import rasterize
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window as RioWindow

from sits_engine.errors import InputError
from sits_engine.evaluation.metrics import Matrix, error_matrix
from sits_engine.mapping.class_map import ClassMap
from sits_engine.samples.footprints import inside_pixels
from sits_engine.series.types import Grid, Window

Tick = Callable[[float], None]


@dataclass(frozen=True)
class Compared:
    """Counts of a comparison.

    Attributes:
        matrix: (K, K + E), rows = map, columns = reference; pixels or points.
        unmapped: reference pixels or points of the map's classes where the map has no class.
        votes: (N, K) pixels of each map class in each polygon; (0, K) for points and rasters.
    """

    matrix: Matrix
    unmapped: int
    votes: npt.NDArray[np.int64]


def compare_polygons(
    the_map: ClassMap,
    polygons: npt.NDArray[np.object_],
    labels: npt.NDArray[np.int64],
    tick: Tick = lambda share: None,
) -> Compared:
    """All pixels whose centre lies in a polygon. A pixel in two polygons counts for the later one.

    Args:
        the_map: the map.
        polygons: (N,) in the map's CRS.
        labels: (N,) class of each, no negative ones.
        tick: progress, 0..1.
    """
    k = len(the_map.classes)
    matrix = np.zeros((k, k), np.int64)
    votes = np.zeros((len(polygons), k), np.int64)
    unmapped = 0
    tree = shapely.STRtree(polygons)
    windows, near = [], []
    for window in the_map.windows():
        hits = tree.query(shapely.box(*_bounds(the_map.grid, window)))
        if len(hits):
            windows.append(window)
            near.append(np.sort(hits))
    table = the_map.lookup
    for number, ((window, values), hits) in enumerate(zip(the_map.read(windows), near, strict=True)):
        ids = rasterize(
            [(polygons[i], int(i) + 1) for i in hits],
            (window.height, window.width),
            transform=the_map.grid.window_transform(window),
            dtype="int32",
        )
        inside = ids > 0
        owner, mapped = ids[inside] - 1, table[values[inside]]
        matrix += error_matrix(mapped, labels[owner], k)
        known = mapped >= 0
        unmapped += int((~known).sum())
        np.add.at(votes, (owner[known], mapped[known]), 1)
        tick((number + 1) / len(windows))
    return Compared(matrix, unmapped, votes)


def values_at(
    the_map: ClassMap, points: npt.NDArray[Any], tick: Tick = lambda share: None
) -> npt.NDArray[np.int64]:
    """(N,) class index of the pixel under each point (map's CRS), -1 where there is none."""
    found = np.full(len(points), -1, np.int64)
    x, y = shapely.get_x(points), shapely.get_y(points)
    t = ~the_map.grid.transform
    cols = np.floor(t.a * x + t.b * y + t.c).astype(np.int64)
    rows = np.floor(t.d * x + t.e * y + t.f).astype(np.int64)
    inside = (rows >= 0) & (rows < the_map.grid.height) & (cols >= 0) & (cols < the_map.grid.width)
    windows, members = [], []
    for window in the_map.windows():
        here = np.flatnonzero(
            inside
            & (rows >= window.row)
            & (rows < window.row + window.height)
            & (cols >= window.col)
            & (cols < window.col + window.width)
        )
        if len(here):
            windows.append(window)
            members.append(here)
    table = the_map.lookup
    for number, ((window, values), here) in enumerate(zip(the_map.read(windows), members, strict=True)):
        found[here] = table[values[rows[here] - window.row, cols[here] - window.col]]
        tick((number + 1) / len(windows))
    return found


def one_point_each(polygons: npt.NDArray[np.object_], grid: Grid) -> npt.NDArray[np.object_]:
    """One point in each polygon: the pixel centre nearest to its inner point, or that point itself."""
    inner = shapely.point_on_surface(polygons)
    chosen = np.array(inner, dtype=object)
    for i, polygon in enumerate(polygons):
        pixels = inside_pixels(polygon, grid)
        if len(pixels):
            cols, rows = pixels % grid.width + 0.5, pixels // grid.width + 0.5
            t = grid.transform
            x, y = t.a * cols + t.b * rows + t.c, t.d * cols + t.e * rows + t.f
            nearest = np.argmin((x - shapely.get_x(inner[i])) ** 2 + (y - shapely.get_y(inner[i])) ** 2)
            chosen[i] = shapely.Point(x[nearest], y[nearest])
    return chosen


def compare_raster(
    the_map: ClassMap,
    reference: ClassMap,
    index_of: npt.NDArray[np.int64],
    n_others: int = 0,
    tick: Tick = lambda share: None,
) -> Compared:
    """Every pixel of the map against the nearest pixel of another class raster, in any CRS and resolution.

    Args:
        the_map: the map.
        reference: the reference raster.
        index_of: (256,) class of the map (or one of the others, from K on) that each value of the
            reference means, -1 none.
        n_others: classes of the reference that the map doesn't have.
        tick: progress, 0..1.

    Raises:
        InputError: the reference is damaged.
    """
    k = len(the_map.classes)
    matrix = np.zeros((k, k + n_others), np.int64)
    unmapped = 0
    table = the_map.lookup
    windows = the_map.windows()
    grid = the_map.grid
    try:
        with (
            rasterio.open(reference.path) as image,
            WarpedVRT(
                image,
                crs=grid.crs,
                transform=grid.transform,
                width=grid.width,
                height=grid.height,
                resampling=Resampling.nearest,
                nodata=reference.nodata,
            ) as warped,
        ):
            for number, (window, values) in enumerate(the_map.read(windows)):
                truth = warped.read(1, window=RioWindow(window.col, window.row, window.width, window.height))
                truth = index_of[np.where((truth < 0) | (truth > 255), 0, truth)]
                mapped = table[values]
                matrix += error_matrix(mapped, truth, k, n_others)
                unmapped += int(((mapped < 0) & (truth >= 0) & (truth < k)).sum())
                tick((number + 1) / len(windows))
    except RasterioError as error:
        raise InputError(
            f"The reference raster {reference.path} can't be read: {error}.", "Copy it again."
        ) from error
    return Compared(matrix, unmapped, np.zeros((0, k), np.int64))


def _bounds(grid: Grid, window: Window) -> tuple[float, float, float, float]:
    return Grid(grid.crs, grid.window_transform(window), window.height, window.width).bounds
