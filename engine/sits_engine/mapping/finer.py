"""Grid, windows and region of a map that is finer than its images (super-resolution)."""

from __future__ import annotations

from affine import Affine

from sits_engine.samples.region import Region
from sits_engine.series.types import Grid, Window, intersect


def finer_window(window: Window, scale: int) -> Window:
    """The same place on the grid `scale` times finer."""
    return Window(window.row * scale, window.col * scale, window.height * scale, window.width * scale)


def finer_grid(grid: Grid, scale: int) -> Grid:
    """The grid whose pixels are `scale` times smaller."""
    return Grid(grid.crs, grid.transform * Affine.scale(1 / scale), grid.height * scale, grid.width * scale)


def finer_region(region: Region, scale: int) -> Region:
    """The region on the grid `scale` times finer; its window covers that of `region` exactly."""
    if scale == 1:
        return region
    return Region(finer_grid(region.grid, scale), finer_window(region.window, scale), region.polygons)


def with_edge_pixels(region: Region, scale: int) -> Region:
    """The region with one pixel more on every side, where it has polygons and the map is finer.

    Its window holds the pixels whose centres lie inside; centres of finer pixels may lie beyond it.
    """
    if scale == 1 or region.polygons is None:
        return region
    w = region.window
    grown = intersect(Window(w.row - 1, w.col - 1, w.height + 2, w.width + 2), region.grid.whole)
    return Region(region.grid, grown or w, region.polygons)
