import geopandas as gpd
import numpy as np
import pytest
import shapely
from support.maps import CORNER, grid

from sits_engine.errors import InputError
from sits_engine.samples.region import make_region
from sits_engine.series.types import Window

X, Y = CORNER
GRID = grid(100, 120)


def polygon_file(path, *polygons, crs="EPSG:32631"):
    gpd.GeoDataFrame({"a": range(len(polygons))}, geometry=list(polygons), crs="EPSG:32631").to_crs(
        crs
    ).to_file(path)
    return str(path)


def test_whole_grid():
    region = make_region(GRID)
    assert region.window == GRID.whole
    assert region.mask(Window(0, 0, 10, 10)) is None


def test_extent_in_the_grids_crs_is_cut_at_its_edge():
    region = make_region(GRID, f"{X + 100},{X + 9999},{Y - 350},{Y - 50} [EPSG:32631]")
    assert region.window == Window(5, 10, 30, 110)
    assert region.map_grid.bounds == (X + 100, Y - 350, X + 1200, Y - 50)


def test_extent_in_another_crs_becomes_a_mask():
    box = gpd.GeoSeries([shapely.box(X + 200, Y - 700, X + 900, Y - 200)], crs="EPSG:32631").to_crs(
        "EPSG:4326"
    )
    x0, y0, x1, y1 = box.total_bounds
    region = make_region(GRID, f"{x0},{x1},{y0},{y1} [EPSG:4326]")
    mask = region.mask(region.window)
    assert mask is not None
    assert 0.9 < mask.mean() < 1
    lon_lat = shapely.box(x0, y0, x1, y1)
    rows, cols = np.indices(mask.shape)
    xs, ys = region.map_grid.transform * (cols + 0.5, rows + 0.5)
    places = gpd.GeoSeries(gpd.points_from_xy(xs.ravel(), ys.ravel()), crs="EPSG:32631").to_crs("EPSG:4326")
    wrong = places.within(lon_lat).to_numpy() != mask.ravel()
    assert wrong.mean() < 0.002  # bent edges are followed to a fraction of a pixel


def test_polygons_tile_by_tile_are_the_polygons(tmp_path):
    shapes = [shapely.Point(X + 300, Y - 300).buffer(177), shapely.box(X + 800, Y - 950, X + 1010, Y - 600)]
    region = make_region(GRID, polygons=polygon_file(tmp_path / "r.gpkg", *shapes, crs="EPSG:3857"))
    full = np.zeros((100, 120), bool)
    for row in range(0, 100, 32):
        for col in range(0, 120, 32):
            window = Window(row, col, min(32, 100 - row), min(32, 120 - col))
            mask = region.mask(window)
            full[row : row + 32, col : col + 32] = True if mask is None else mask
    rows, cols = np.indices(full.shape)
    xs, ys = GRID.transform * (cols + 0.5, rows + 0.5)
    expected = shapely.contains_xy(shapely.union_all(shapes), xs, ys)
    assert (full != expected).mean() < 0.001
    assert expected.sum() > 800


def test_extent_and_polygons_are_intersected(tmp_path):
    path = polygon_file(tmp_path / "r.gpkg", shapely.box(X, Y - 500, X + 500, Y))
    region = make_region(GRID, f"{X + 400},{X + 800},{Y - 900},{Y - 400}", path)
    assert region.window == Window(40, 40, 10, 10)


def test_no_overlap_names_both_extents(tmp_path):
    with pytest.raises(InputError) as caught:
        make_region(GRID, f"{X - 900},{X - 100},{Y - 350},{Y - 50}")
    assert "599100" in caught.value.message
    assert "600000" in caught.value.message
    with pytest.raises(InputError, match="does not overlap"):
        make_region(
            GRID, polygons=polygon_file(tmp_path / "r.gpkg", shapely.box(X + 5000, Y, X + 5100, Y + 50))
        )


def test_disjoint_extent_and_polygons(tmp_path):
    path = polygon_file(tmp_path / "r.gpkg", shapely.box(X, Y - 100, X + 100, Y))
    with pytest.raises(InputError, match="no common part"):
        make_region(GRID, f"{X + 400},{X + 800},{Y - 900},{Y - 400}", path)


def test_smaller_than_a_pixel():
    with pytest.raises(InputError, match="smaller than one pixel"):
        make_region(GRID, f"{X + 401},{X + 402},{Y - 402},{Y - 401}")


def test_region_of_points(tmp_path):
    gpd.GeoDataFrame(geometry=[shapely.Point(X, Y)], crs="EPSG:32631").to_file(tmp_path / "p.gpkg")
    with pytest.raises(InputError, match="no polygons"):
        make_region(GRID, polygons=str(tmp_path / "p.gpkg"))


def test_fingerprint_follows_the_region():
    a, b = (
        make_region(GRID, f"{X},{X + 500},{Y - 500},{Y}"),
        make_region(GRID, f"{X},{X + 510},{Y - 500},{Y}"),
    )
    assert a.fingerprint() != b.fingerprint()
    assert a.fingerprint() == make_region(GRID, f"{X},{X + 500},{Y - 500},{Y}").fingerprint()
