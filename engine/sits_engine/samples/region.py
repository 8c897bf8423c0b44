"""The region of interest: an extent or polygons in any CRS, as a mask on the grid of a series."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import shapely
from pyproj import CRS
from pyproj.exceptions import CRSError
from rasterio.features import rasterize

from sits_engine.errors import InputError
from sits_engine.samples.vectors import read_vector, repaired
from sits_engine.series.gridding import parse_extent
from sits_engine.series.types import Grid, Window, intersect


@dataclass(frozen=True)
class Region:
    """What is to be mapped on a grid.

    Attributes:
        grid: grid of the series.
        window: smallest window that holds the region; the map has its size.
        polygons: (N,) shapely polygons in the grid's CRS, None if the whole window belongs to it.
        outside: share of the area that was asked for that lies outside of the images, 0..1.
    """

    grid: Grid
    window: Window
    polygons: npt.NDArray[np.object_] | None = None
    outside: float = 0.0

    @property
    def map_grid(self) -> Grid:
        """Grid of the map: the region's window of the series' grid."""
        return Grid(
            self.grid.crs, self.grid.window_transform(self.window), self.window.height, self.window.width
        )

    def mask(self, window: Window) -> npt.NDArray[np.bool_] | None:
        """(H, W) bool, pixels whose centre lies in the region; None if all do."""
        if self.polygons is None:
            return None
        transform = self.grid.window_transform(window)
        box = shapely.box(*Grid(self.grid.crs, transform, window.height, window.width).bounds)
        near = self.polygons[shapely.intersects(self.polygons, box)]
        if len(near) == 0:
            return np.zeros((window.height, window.width), bool)
        # Clipping first keeps a country-sized polygon from being walked again for each tile.
        parts = shapely.intersection(near, box)
        shapes = [(part, 1) for part in parts if part.area > 0]
        if not shapes:
            return np.zeros((window.height, window.width), bool)
        burnt = rasterize(shapes, (window.height, window.width), transform=transform, dtype="uint8")
        inside: npt.NDArray[np.bool_] = burnt.astype(bool)
        return None if inside.all() else inside

    def fingerprint(self) -> str:
        """Changes when window or polygons change."""
        digest = hashlib.sha256(repr(self.window).encode())
        for polygon in () if self.polygons is None else self.polygons:
            digest.update(shapely.to_wkb(polygon))
        return digest.hexdigest()


def make_region(grid: Grid, extent: str | None = None, polygons: str | None = None) -> Region:
    """Region from an extent, from polygons, from both (their common part), or the whole grid.

    Args:
        grid: grid of the series.
        extent: QGIS extent string; without a CRS it is in the grid's CRS.
        polygons: `path` or `path|layername=NAME` of a polygon layer.

    Raises:
        InputError: unreadable, or no overlap with the images (both extents are named).
    """
    shapes: npt.NDArray[np.object_] | None = None
    if polygons:
        frame = read_polygons(polygons, "The region")
        shapes = np.asarray(frame.to_crs(_crs(grid.crs, "the series")).geometry.values)
    if extent:
        bounds, name = parse_extent(extent)
        series_crs = _crs(grid.crs, "the series")
        box = shapely.box(*bounds)
        same = name is None or _crs(name, "the extent").equals(series_crs, ignore_axis_order=True)
        if not same:
            # Straight edges bend under reprojection: follow them with many points.
            box = shapely.segmentize(box, max(bounds[2] - bounds[0], bounds[3] - bounds[1]) / 64)
            box = gpd.GeoSeries([box], crs=name).to_crs(series_crs).iloc[0]
        if shapes is None:
            shapes = np.array([box], dtype=object)
            if same:  # the window says it all
                return Region(grid, _window(grid, shapes), None, _outside(grid, shapes))
        else:
            shapes = shapely.intersection(shapes, box)
            shapes = shapes[shapely.area(shapes) > 0]
            if len(shapes) == 0:
                raise InputError(
                    "Extent and region polygons have no common part.",
                    "Give only one of them, or correct one.",
                )
    if shapes is None:
        return Region(grid, grid.whole, None)
    return Region(grid, _window(grid, shapes), shapes, _outside(grid, shapes))


def read_polygons(source: str, what: str) -> gpd.GeoDataFrame:
    """Polygons of a vector string (`path|layername=NAME`), repaired, with a CRS; attributes are kept.

    Raises:
        InputError: not found, unreadable, no CRS, no polygons.
    """
    frame = read_vector(source)
    geometries = frame.geometry.to_numpy()
    kept = frame[(shapely.get_dimensions(geometries) == 2) & ~shapely.is_empty(geometries)]
    if len(kept) == 0:
        raise InputError(f"{what}: {source} has no polygons.", "Give a polygon layer.")
    return repaired(kept)[0]


def _crs(text: str, what: str) -> CRS:
    try:
        return CRS.from_user_input(text)
    except CRSError as error:
        raise InputError(f"Unknown CRS '{text}' of {what}.", "Use a code such as EPSG:32631.") from error


def _outside(grid: Grid, shapes: npt.NDArray[np.object_]) -> float:
    """Share of the shapes' area outside of the images."""
    # polygons that reprojection broke do no harm here, as they would in an intersection
    within = shapely.area(shapely.clip_by_rect(shapes, *grid.bounds)).sum()
    return float(np.clip(1 - within / shapely.area(shapes).sum(), 0, 1))


def _window(grid: Grid, shapes: npt.NDArray[np.object_]) -> Window:
    """Smallest window of the grid that holds the pixel centres inside the bounds of `shapes`."""
    x0, y0, x1, y1 = shapely.total_bounds(shapes)
    wanted = None
    if np.isfinite([x0, y0, x1, y1]).all():
        inverse = ~grid.transform
        corners = [inverse * point for point in ((x0, y0), (x0, y1), (x1, y0), (x1, y1))]
        cols, rows = [c for c, _ in corners], [r for _, r in corners]
        # A pixel belongs to the region if its centre does; a hair of tolerance for float noise.
        row, col = math.ceil(min(rows) - 0.5 - 1e-6), math.ceil(min(cols) - 0.5 - 1e-6)
        bottom, right = math.floor(max(rows) - 0.5 + 1e-6) + 1, math.floor(max(cols) - 0.5 + 1e-6) + 1
        if bottom > row and right > col:
            wanted = intersect(Window(row, col, bottom - row, right - col), grid.whole)
        elif intersect(Window(math.floor(min(rows)), math.floor(min(cols)), 1, 1), grid.whole):
            raise InputError(
                "The region is smaller than one pixel of the images.", "Draw a larger region of interest."
            )
    if wanted is None:
        theirs = ", ".join(f"{value:.8g}" for value in grid.bounds)
        mine = ", ".join(f"{value:.8g}" for value in (x0, y0, x1, y1))
        raise InputError(
            f"The region of interest does not overlap the images: region {mine}, images {theirs} "
            f"(xmin, ymin, xmax, ymax in {CRS.from_user_input(grid.crs).name}).",
            "Choose a region inside the images, or the series of this region.",
        )
    return wanted
