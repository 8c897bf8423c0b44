from __future__ import annotations

import geopandas as gpd
import numpy as np
import pytest
from shapely.geometry import box

from sits_engine.errors import InputError
from sits_engine.samples.label_overlaps import overlaps

IDS = np.array(["a", "b", "c", "d"])
TICKS = np.array([[1, 0], [0, 1], [1, 0], [1, 1]], dtype=bool)


def squares(*corners):
    return gpd.GeoSeries([box(x, y, x + 10, y + 10) for x, y in corners])


def test_neighbours_that_touch_dont_overlap() -> None:
    assert overlaps(squares((0, 0), (10, 0), (0, 10), (10, 10)), IDS, TICKS, "w") == []
    # a hundredth of the area
    assert overlaps(squares((0, 0), (9.9, 0), (0, 20), (20, 0)), IDS, TICKS, "w") == []


def test_overlaps_and_different_ticks_are_counted() -> None:
    (said,) = overlaps(squares((0, 0), (8, 0), (0, 8), (40, 0)), IDS, TICKS, "w.gpkg")
    assert said.startswith(
        "w.gpkg: 3 of 4 windows overlap another one by more than a tenth of the smaller; 2 of"
    )
    # a and c are ticked alike
    (said,) = overlaps(squares((0, 0), (30, 0), (0, 8), (40, 0)), IDS, TICKS, "w.gpkg")
    assert "2 of 4 windows overlap" in said
    assert "; 0 of them have other ticks" in said


def test_a_small_window_in_a_large_polygon() -> None:
    shapes = gpd.GeoSeries([box(0, 0, 1000, 1000), box(500, 500, 510, 510)])
    (said,) = overlaps(shapes, IDS[:2], TICKS[:2], "w")
    assert "2 of 2 windows overlap" in said
    assert "the same polygon" not in said


def test_the_same_polygon_twice() -> None:
    (said,) = overlaps(squares((0, 0), (30, 0), (0, 0), (60, 0)), IDS, TICKS, "w")
    assert "1 pairs are the same polygon" in said
    with pytest.raises(InputError, match=r"twice with different ticks: a and b, a and d, b and d.") as caught:
        overlaps(squares((0, 0), (0, 0), (30, 0), (0, 1e-5)), IDS, TICKS, "w")
    assert caught.value.advice
