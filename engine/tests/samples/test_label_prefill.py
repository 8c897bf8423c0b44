from __future__ import annotations

import geopandas as gpd
import numpy as np
import pytest
from affine import Affine
from imagery import write_image
from pyproj import CRS
from shapely.geometry import Point, box

from sits_engine.errors import InputError
from sits_engine.mapping.class_map import ClassMap
from sits_engine.samples.label_grid import lay_grid
from sits_engine.samples.label_prefill import Names, from_features, from_map
from sits_engine.samples.region import make_region
from sits_engine.samples.vectors import read_labelled
from sits_engine.series.types import Grid

GRID = Grid(CRS.from_epsg(32631).to_wkt(), Affine(10, 0, 500000, 0, -10, 5600000), 20, 30)
NAMES = Names(("wheat", "Maize"), {"W1": "wheat", "W2": "wheat", "R": "rye"})


@pytest.fixture
def windows():
    """2 x 3 windows of 10 pixels, that is 100 x 100 m."""
    return lay_grid(make_region(GRID), "a", 10)[0]


def layer(tmp_path, shapes, crops, crs=32631):
    path = tmp_path / "p.gpkg"
    gpd.GeoDataFrame({"crop": crops}, geometry=shapes, crs=32631).to_crs(crs).to_file(path)
    return read_labelled(str(path), "crop")


def at(x, y, width, height):
    """A rectangle, in metres from the upper left corner of the image."""
    return box(500000 + x, 5600000 - y - height, 500000 + x + width, 5600000 - y)


def test_a_parcel_is_there_where_it_covers_more_than_a_hundredth(windows, tmp_path) -> None:
    known = layer(
        tmp_path,
        [
            at(0, 0, 10, 10),  # exactly 1 %: not more
            at(110, 0, 10, 10.5),  # a hair more
            at(205, 5, 5, 11),  # two of half a percent each, of two codes of one crop
            at(215, 5, 5, 11),
            at(95, 120, 10, 50),  # half of it left, half right of the border of two windows
            at(0, 150, 300, 50),  # no field for rye
        ],
        ["maize", "MAIZE", "W1", "W2", "maize", "R"],
    )
    ticks, notes = from_features(windows, known, NAMES, "a")
    expected = np.zeros((6, 2), dtype=bool)
    expected[1, 1] = expected[2, 0] = expected[3, 1] = expected[4, 1] = True
    np.testing.assert_array_equal(ticks, expected)
    assert notes == ["p.gpkg: 1 other crops have no field and were passed over: R."]
    ticks, _ = from_features(windows, known, NAMES, "a", least=0.02)
    assert ticks.sum() == 2


def test_one_point_is_enough_and_any_crs_will_do(windows, tmp_path) -> None:
    points = [Point(500010, 5599990), Point(500250, 5599850), Point(500260, 5599850)]
    known = layer(tmp_path, points, ["W2", "maize", "maize"], crs=4326)
    ticks, notes = from_features(windows, known, NAMES, "a")
    assert np.argwhere(ticks).tolist() == [[0, 0], [5, 1]]
    assert notes == []


def test_labels_that_name_no_crop_of_the_windows(windows, tmp_path) -> None:
    known = layer(tmp_path, [at(0, 0, 50, 50), at(60, 0, 9, 9)], ["barley", "oats"])
    with pytest.raises(
        InputError, match=r"Its labels: barley, oats. Crops of the windows: wheat, Maize"
    ) as error:
        from_features(windows, known, NAMES, "a")
    assert "class table" in error.value.advice


def coarse(tmp_path, values, corner, size, crs=None):
    options = {} if crs is None else {"crs": crs}
    write_image(tmp_path / "m.tif", np.array([values], np.uint8), None, corner=corner, size=size, **options)
    return ClassMap.open(tmp_path / "m.tif")


def test_a_coarse_map_by_the_share_of_its_pixels(windows, tmp_path) -> None:
    # pixels of 98 m from the corner of the image on: the second one begins 2 m before the second window
    found = coarse(tmp_path, [[1, 2, 0], [1, 1, 3]], (500000, 5600000), 98.0)
    labels = [("1", "W1"), ("2", "maize"), ("3",)]
    ticks, notes = from_map(windows, found, labels, NAMES, "m.tif")
    # window 0: 98 x 98 m of 1, 2 x 98 m of 2 (1.96 %); window 2: nothing but 4 % of 0 and beyond
    assert ticks.astype(int).tolist() == [[1, 1], [1, 1], [0, 0], [1, 0], [1, 0], [0, 0]]
    assert notes == ["m.tif: 1 other crops have no field and were passed over: 3."]
    ticks, _ = from_map(windows, found, labels, NAMES, "m.tif", least=0.02)
    assert ticks.astype(int).tolist() == [[1, 0], [0, 1], [0, 0], [1, 0], [1, 0], [0, 0]]


def test_a_map_in_another_crs_and_one_that_lies_elsewhere(windows, tmp_path) -> None:
    found = coarse(tmp_path, [[2]], (2.9, 50.6), 0.2, crs=CRS.from_epsg(4326))
    ticks, _ = from_map(windows, found, [("maize",)], NAMES, "m.tif")
    assert ticks.tolist() == [[False, True]] * 6
    found = coarse(tmp_path, [[2]], (500000 + 250, 5600000), 50.0)
    ticks, notes = from_map(windows, found, [("maize",)], NAMES, "m.tif")
    assert np.flatnonzero(ticks[:, 1]).tolist() == [2]
    assert notes == ["m.tif: 5 windows lie outside the map."]
    found = coarse(tmp_path, [[2]], (700000, 5600000), 50.0)
    with pytest.raises(InputError, match=r"m.tif doesn't overlap the windows"):
        from_map(windows, found, [("maize",)], NAMES, "m.tif")
