"""The demo's own steps: parcels held out in blocks, and a baseline that is not made weak."""

import importlib.util

import geopandas as gpd
import layout
import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin
from shapely.geometry import box


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


split = load(layout.ROOT / "tools/demo_split.py")
forest = load(layout.ROOT / "benchmarks/forest.py")


def parcels(classes=3, side=20):
    rng = np.random.default_rng(0)
    cells = [(x, y) for x in range(side) for y in range(side)]
    geometry = [box(x * 100, y * 100, x * 100 + 90, y * 100 + 90) for x, y in cells]
    crop = rng.choice([f"crop {i}" for i in range(classes)], len(cells))
    return gpd.GeoDataFrame({"crop": crop}, geometry=geometry, crs=32631)


def test_a_block_is_on_one_side_only():
    frame = parcels()
    test = split.split(frame, "crop", side=4, share=0.25)
    blocks = frame.geometry.centroid.x // 500 * 10 + frame.geometry.centroid.y // 500
    assert set(blocks[test]) & set(blocks[~test]) == set()
    assert 0.2 < test.mean() < 0.3
    assert set(frame["crop"][test]) == set(frame["crop"][~test]) == set(frame["crop"])


def test_a_class_that_sits_in_one_block_is_an_error():
    frame = parcels()
    frame["crop"] = np.where(frame.index == 0, "only here", frame["crop"])
    with pytest.raises(SystemExit, match="larger region"):
        split.split(frame, "crop")


def test_clouds_are_filled_as_numpy_interpolates():
    rng = np.random.default_rng(1)
    values = rng.random((7, 2, 30), dtype=np.float32)
    valid = rng.random((7, 30)) < 0.5
    valid[:, 0] = False
    valid[:, 1] = True
    days = np.array([3, 10, 11, 40, 90, 100, 130])
    found = forest.fill_clouds(values, valid, days).reshape(30, 7, 2)
    for pixel in range(30):
        for band in range(2):
            clear = valid[:, pixel]
            expected = (
                np.interp(days, days[clear], values[clear, band, pixel]) if clear.any() else np.zeros(7)
            )
            np.testing.assert_allclose(found[pixel, :, band], expected, atol=1e-6)


def series_grid(height=6, width=8):
    from sits_engine.series.types import Grid

    return Grid(rasterio.crs.CRS.from_epsg(32631).to_wkt(), from_origin(500_000, 100, 10, 10), height, width)


def write_map(path, classes, west, north):
    """A crop map as `mapcrops` writes it, as far as the forest looks at it."""
    options = {"driver": "GTiff", "dtype": "uint8", "count": 1, "nodata": 0, "crs": 32631}
    transform = from_origin(west, north, 10, 10)
    with rasterio.open(
        path, "w", height=classes.shape[0], width=classes.shape[1], transform=transform, **options
    ) as image:
        image.write(classes, 1)


def test_the_forest_fills_a_map_that_is_smaller_than_the_series(tmp_path):
    values = np.arange(1, 49, dtype=np.uint8).reshape(6, 8)
    classes = np.full((5, 6), 9, dtype=np.uint8)
    classes[0, 0] = 0  # outside the region
    write_map(tmp_path / "map.tif", classes, 500_010, 90)  # one column and one row in
    forest.write_like(tmp_path / "map.tif", tmp_path / "forest.tif", values, series_grid())
    with rasterio.open(tmp_path / "forest.tif") as image:
        written = image.read(1)
    expected = values[1:6, 1:7].copy()
    expected[0, 0] = 0
    np.testing.assert_array_equal(written, expected)


@pytest.mark.parametrize(("west", "north"), [(500_005, 90), (500_030, 90), (499_990, 90), (500_010, 80)])
def test_a_map_beside_the_pixels_of_the_series_is_an_error(tmp_path, west, north):
    write_map(tmp_path / "map.tif", np.ones((5, 6), dtype=np.uint8), west, north)
    with pytest.raises(SystemExit, match="pixels of the series"):
        forest.write_like(tmp_path / "map.tif", tmp_path / "f.tif", np.ones((6, 8), np.uint8), series_grid())
