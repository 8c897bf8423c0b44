from __future__ import annotations

import geopandas as gpd
import pytest
from shapely.geometry import Point, box
from support.memory_series import series

from sits_engine.samples.bag_size import suitable_size
from sits_engine.samples.label_windows import LabelWindows


def square(row, col, side, height=None):
    x, y = 500000 + 10 * col, 5600000 - 10 * row
    return box(x, y - 10 * (height or side), x + 10 * side, y)


def size_of(tmp_path, shapes, crs=32631) -> int:
    n = len(shapes)
    ticks = {"wheat": [True] * (n - 1) + [False], "maize": [i == n - 1 or i % 2 == 0 for i in range(n)]}
    gpd.GeoDataFrame(ticks, geometry=shapes, crs=32631).to_crs(crs).to_file(tmp_path / "w.gpkg")
    return suitable_size(series().grid, LabelWindows.read(str(tmp_path / "w.gpkg")))


@pytest.mark.parametrize("crs", [32631, 4326, 3035])
def test_squares_of_one_size_set_it(tmp_path, crs) -> None:
    assert size_of(tmp_path, [square(0, 16 * i, 16) for i in range(3)], crs) == 16


@pytest.mark.parametrize(
    "shapes",
    [
        [square(0, 0, 15), square(0, 20, 15)],  # odd: no whole patches
        [square(0, 0, 4), square(0, 20, 4)],
        [square(0, 0, 60), square(0, 20, 60)],  # communes, say
        [square(0, 0, 16, 20), square(0, 20, 16, 20)],
        [Point(500300, 5599700).buffer(80), Point(500500, 5599700).buffer(80)],  # as wide as high, no square
        [square(0, 0, 16), square(0, 20, 12, 30), square(0, 40, 30, 12)],
    ],
    ids=["odd", "tiny", "large", "rectangles", "circles", "mixed"],
)
def test_all_else_gets_the_usual_size(tmp_path, shapes) -> None:
    assert size_of(tmp_path, shapes) == 24
