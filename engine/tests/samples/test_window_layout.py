from __future__ import annotations

import numpy as np
import pytest
from affine import Affine
from support.memory_series import CRS31

from sits_engine.errors import InputError
from sits_engine.samples import window_layout
from sits_engine.samples.window_layout import batches, centres, check_size, starts
from sits_engine.series.types import Grid


def test_the_last_window_is_moved_inside() -> None:
    assert starts(64, 24, 24).tolist() == [0, 24, 40]
    assert starts(48, 24, 24).tolist() == [0, 24]
    assert starts(24, 24, 24).tolist() == [0]
    assert starts(30, 24, 12).tolist() == [0, 6]


def test_an_image_smaller_than_a_window() -> None:
    grid = Grid("EPSG:32631", Affine(10, 0, 0, 0, -10, 0), 30, 18)
    with pytest.raises(InputError) as raised:
        check_size(grid, 24, "a.json")
    assert "a.json have 30 x 18 pixels; a window of 24 x 24" in raised.value.message
    assert "Lower WINDOW to 16 or less" in raised.value.advice
    check_size(grid, 18, "a.json")


def test_each_window_is_in_one_batch_that_holds_it(monkeypatch) -> None:
    monkeypatch.setattr(window_layout, "CUBE_BYTES", 4 * 10 * 100**2)
    rng = np.random.default_rng(0)
    rows, cols = rng.integers(0, 700, 90).astype(np.int32), rng.integers(0, 900, 90).astype(np.int32)
    seen = []
    for area, members in batches(rows, cols, 24, 10):
        assert area.height <= 100
        assert area.width <= 100
        assert (rows[members] >= area.row).all()
        assert (rows[members] + 24 <= area.row + area.height).all()
        assert (cols[members] >= area.col).all()
        assert (cols[members] + 24 <= area.col + area.width).all()
        seen += members.tolist()
    assert sorted(seen) == list(range(90))
    assert list(batches(rows[:0], cols[:0], 24, 10)) == []


def test_a_window_too_large_for_the_memory_of_a_batch_is_read_alone(monkeypatch) -> None:
    monkeypatch.setattr(window_layout, "CUBE_BYTES", 1)
    rows, cols = np.array([0, 0, 24], np.int32), np.array([0, 24, 0], np.int32)
    assert [len(members) for _, members in batches(rows, cols, 24, 10)] == [1, 1, 1]


def test_centres_in_degrees() -> None:
    grid = Grid(CRS31.to_wkt(), Affine(10, 0, 500000, 0, -10, 5600000), 100, 100)
    here = centres(np.array([0], np.int32), np.array([-12], np.int32), 24, grid)
    assert here[0, 0] == pytest.approx(3.0)  # the central meridian of the zone
    assert here[0, 1] == pytest.approx(50.55, abs=0.01)
