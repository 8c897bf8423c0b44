from __future__ import annotations

import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine
from pyproj import CRS
from shapely.affinity import translate

from sits_engine.errors import InputError
from sits_engine.samples.label_grid import lay_grid
from sits_engine.samples.region import make_region
from sits_engine.series.types import Grid

GRID = Grid(CRS.from_epsg(32631).to_wkt(), Affine(10, 0, 500000, 0, -10, 5600000), 100, 130)


def pixels(row, col, height, width):
    """Extent string of pixels of the grid."""
    x, y = 500000 + 10 * col, 5600000 - 10 * row
    return f"{x},{x + 10 * width},{y - 10 * height},{y} [EPSG:32631]"


def test_the_whole_image_without_the_strips_where_no_window_fits() -> None:
    windows, notes = lay_grid(make_region(GRID), "a", 24)
    assert len(windows) == 4 * 5
    assert windows.rows.max() == 72
    assert windows.cols.max() == 96
    assert notes == [
        "4 rows at the lower edge of the images, too few for a window, lie in none.",
        "10 columns at the right edge of the images, too few for a window, lie in none.",
    ]
    polygons = windows.polygons()
    image = shapely.box(*GRID.bounds)
    assert shapely.covers(image, polygons).all()
    np.testing.assert_allclose(shapely.area(polygons), 240**2)
    corners = (shapely.bounds(polygons) - [500000, 5600000] * 2) / 10
    np.testing.assert_array_equal(corners, np.rint(corners))
    assert shapely.area(shapely.union_all(polygons)) == pytest.approx(20 * 240**2)


def test_windows_of_an_extent_lie_on_the_lattice_of_the_image() -> None:
    windows, notes = lay_grid(make_region(GRID, pixels(30, 50, 18, 22)), "a", 24)
    # rows 30 to 48 touch one row of windows, columns 50 to 72 one column
    assert (windows.rows.tolist(), windows.cols.tolist()) == ([24], [48])
    assert notes == []
    windows, notes = lay_grid(make_region(GRID, pixels(30, 50, 19, 23)), "a", 24)
    assert len(windows) == 4


def test_windows_of_polygons(tmp_path) -> None:
    # an L: the lower right window of four has no part of it
    ell = shapely.difference(
        shapely.box(500000, 5599520, 500480, 5600000), shapely.box(500240, 5599520, 500480, 5599760)
    )
    gpd.GeoDataFrame(geometry=[ell], crs=32631).to_file(tmp_path / "r.gpkg")
    windows, _ = lay_grid(make_region(GRID, None, str(tmp_path / "r.gpkg")), "a", 24)
    assert list(zip(windows.rows.tolist(), windows.cols.tolist(), strict=True)) == [(0, 0), (0, 24), (24, 0)]


def test_a_draw_is_stated_and_repeats_itself() -> None:
    all_of_them, _ = lay_grid(make_region(GRID), "a", 8, max_windows=192)
    assert len(all_of_them) == 192
    one, notes = lay_grid(make_region(GRID), "a", 8, max_windows=20, seed=5)
    again, _ = lay_grid(make_region(GRID), "a", 8, max_windows=20, seed=5)
    other, _ = lay_grid(make_region(GRID), "a", 8, max_windows=20, seed=6)
    assert notes[-1].startswith("20 of the 192 windows of the region were drawn at random (seed 5).")
    place = one.rows * 1000 + one.cols
    assert (np.diff(place) > 0).all()
    np.testing.assert_array_equal(one.rows, again.rows)
    np.testing.assert_array_equal(one.cols, again.cols)
    assert (place != other.rows * 1000 + other.cols).any()


def test_no_room_for_a_window() -> None:
    with pytest.raises(InputError, match="100 x 130 pixels; a window of 128 x 128 doesn't fit"):
        lay_grid(make_region(GRID), "a", 128)
    with pytest.raises(InputError, match="covers only the edge of the images of a"):
        lay_grid(make_region(GRID, pixels(97, 0, 3, 50)), "a", 24)


def test_a_region_that_reaches_out_of_the_images_says_how_far(tmp_path) -> None:
    # of 80 x 200 pixels 80 x 50 lie inside
    _, notes = lay_grid(make_region(GRID, pixels(0, -150, 80, 200)), "the series", 24)
    assert notes[0] == "75 % of the region lie outside of the images of the series and get no windows."
    # half of one polygon, all of another one as large
    shapes = [shapely.box(499500, 5599500, 500500, 5600000), shapely.box(500600, 5599500, 501100, 5600000)]
    gpd.GeoDataFrame(geometry=[*shapes, translate(shapes[1], 0, -500)], crs=32631).to_file(
        tmp_path / "r.gpkg"
    )
    _, notes = lay_grid(make_region(GRID, None, str(tmp_path / "r.gpkg")), "a", 24)
    assert notes[0].startswith("25 % of the region lie outside")
    # a box of degrees is not one of metres: that its edges bend is no reason to speak
    box = gpd.GeoSeries([shapely.box(500100, 5599300, 500900, 5599900)], crs=32631).to_crs(4326).total_bounds
    extent = f"{box[0]},{box[2]},{box[1]},{box[3]} [EPSG:4326]"
    assert make_region(GRID, extent).outside < 1e-6
