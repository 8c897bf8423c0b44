"""Grid and region of a finer map lie exactly on those of the images."""

import numpy as np
import shapely
from support.maps import CORNER, grid

from sits_engine.mapping.finer import finer_grid, finer_region, finer_window, with_edge_pixels
from sits_engine.samples.region import Region, make_region
from sits_engine.series.types import Window

X, Y = CORNER


def test_same_place_smaller_pixels():
    coarse = grid(30, 40)
    fine = finer_grid(coarse, 4)
    assert (fine.height, fine.width) == (120, 160)
    assert fine.resolution == (2.5, 2.5)
    assert fine.bounds == coarse.bounds
    window = Window(3, 5, 7, 2)
    assert fine.window_transform(finer_window(window, 4)) * (0, 0) == coarse.window_transform(window) * (0, 0)


def test_regions():
    whole = make_region(grid(30, 40))
    assert finer_region(whole, 1) is whole
    assert finer_region(whole, 2).map_grid.bounds == whole.map_grid.bounds
    assert with_edge_pixels(whole, 2) is whole
    # A polygon that holds the centre of one pixel, and of finer pixels of its neighbours
    shape = shapely.box(X + 102, Y - 118, X + 118, Y - 102)
    one = Region(grid(30, 40), Window(10, 10, 1, 1), np.array([shape], dtype=object))
    assert with_edge_pixels(one, 1) is one
    grown = finer_region(with_edge_pixels(one, 4), 4)
    assert grown.window == Window(36, 36, 12, 12)
    assert grown.mask(grown.window).sum() == 36  # 15 m: 6 x 6 pixels of 2.5 m
    corner = Region(grid(30, 40), Window(0, 0, 1, 1), np.array([shape], dtype=object))
    assert with_edge_pixels(corner, 2).window == Window(0, 0, 2, 2)
