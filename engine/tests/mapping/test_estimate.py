"""How the cost of tiles becomes the time of a map."""

from types import SimpleNamespace

import numpy as np
import pytest
import shapely
from support.maps import CORNER, grid

from sits_engine.mapping.estimate import FINISHING, Cost, Extent, _spots, extent_of, from_copy, measure
from sits_engine.mapping.pipeline import Plan, TileWork
from sits_engine.mapping.tiles import tiles_of
from sits_engine.samples.region import Region, make_region
from sits_engine.series.clip import CopySample
from sits_engine.series.types import Cube

X, Y = CORNER
HERE, CARD = Plan(2, 4096), Plan(2, 4096, card=True)


def test_stages_wait_for_the_slowest():
    timings = Cost(reading=9, computing=4, writing=1, read_processor=2, compute_processor=4).timings(HERE, 2)
    assert timings.elapsed == 9
    assert timings.starved == 5
    assert max(timings.shares(), key=timings.shares().get) == "reading"


def test_on_one_machine_stages_share_the_processors():
    cost = Cost(reading=6, computing=5, writing=1, read_processor=12, compute_processor=9)
    timings = cost.timings(HERE, 2)
    assert timings.elapsed == 11
    assert timings.saturated
    assert timings.shares()["reading"] == pytest.approx(12 / 22)
    # the card takes its part away
    assert cost.timings(CARD, 2).elapsed == 6.5


def test_cost_grows_with_tiles_and_wanted_pixels():
    cost = Cost(1, 2, 3, 4, 5).scaled(10, 100)
    assert cost == Cost(10, 200, 30, 40, 500)
    assert cost + cost == Cost(20, 400, 60, 80, 1000)


def test_a_copy_is_read_by_all_processors():
    cost = from_copy(Cost(100, 5, 1, 200, 10), CopySample(3.0, 2e-6, 1e-6), 24, 1_000_000, 4)
    assert cost.reading == pytest.approx(6)
    assert cost.read_processor == pytest.approx(24)
    assert cost.computing == 5


def test_spots_begin_in_the_middle_and_no_tile_is_measured_twice():
    assert [list(spot) for spot in _spots(3)] == [[0, 1, 2]]
    spots = [list(spot) for spot in _spots(100)]
    assert spots[0] == [48, 49, 50, 51]
    every = [tile for spot in spots for tile in spot]
    assert len(every) == len(set(every)) == 20
    assert max(every) < 100


def test_extent_of_polygons():
    whole = grid(100, 100)
    tiles = list(tiles_of(whole.whole, 25))
    assert extent_of(make_region(whole), tiles) == Extent(tiles, 10_000, 10_000)
    square = shapely.box(X + 250, Y - 500, X + 500, Y - 250)
    found = extent_of(Region(whole, whole.whole, np.array([square], object)), tiles)
    assert (found.tiles, found.pixels, found.wanted) == ([tiles[5]], 625, 625)


def test_a_map_is_judged_by_the_tiles_that_were_measured(monkeypatch):
    """A reader that takes twice as long in the lower half: low and high tell."""
    now = [0.0]

    class Series:
        positions = np.zeros(3, np.int32)

        def read(self, window, bands):
            now[0] += 2.0 if window.row >= 64 else 1.0
            values = np.zeros((3, 1, window.height, window.width), np.uint16)
            yes = np.ones((3, window.height, window.width), bool)
            return Cube(values, yes, yes, np.ones((3, 1), np.float32), np.zeros((3, 1), np.float32))

    class Predictor:
        def predict_pixels(self, values, *rest):
            now[0] += 0.5
            return np.ones((values.shape[2], 1), np.float32)

    fake = SimpleNamespace(perf_counter=lambda: now[0], process_time=lambda: now[0])
    monkeypatch.setattr("sits_engine.mapping.estimate.time", fake)
    monkeypatch.setattr("sits_engine.mapping.estimate.ENOUGH", 1000)
    whole = grid(128, 128)
    tiles = list(tiles_of(whole.whole, 16))
    work = TileWork(Series(), ["a"], make_region(whole), Predictor(), 1, 4096)
    found = measure(work, Extent(tiles, 128 * 128, 128 * 128), HERE, 4, 0.0, 0.0, lambda share: None)
    assert found.tiles == 20
    assert found.low == pytest.approx(64 * 1.0 + 0.75 * FINISHING, rel=0.01)
    assert found.high == pytest.approx(64 * 2.0 + 1.25 * FINISHING, rel=0.01)
    assert found.low < found.seconds < found.high
    assert found.cube_bytes == 16 * 16 * (3 * 2 + 3 + 3)


def test_what_is_done_once_is_told_apart(monkeypatch):
    """A network that takes 5 s to prepare and files that take 3 s to open: at the same time in a map."""
    now = [0.0]

    class Series:
        positions = np.zeros(1, np.int32)
        opened = False

        def read(self, window, bands):
            now[0] += 0.1 if self.opened else 3.1
            self.opened = True
            yes = np.ones((1, window.height, window.width), bool)
            ones, zeros = np.ones((1, 1), np.float32), np.zeros((1, 1), np.float32)
            return Cube(yes[:, None].astype(np.uint16), yes, yes, ones, zeros)

    class Predictor:
        def start(self):
            now[0] += 5.0

        def predict_pixels(self, values, *rest):
            now[0] += 0.2
            return np.ones((values.shape[2], 1), np.float32)

    fake = SimpleNamespace(perf_counter=lambda: now[0], process_time=lambda: now[0])
    monkeypatch.setattr("sits_engine.mapping.estimate.time", fake)
    whole = grid(32, 32)
    tiles = list(tiles_of(whole.whole, 16))
    ticks = []
    work = TileWork(Series(), ["a"], make_region(whole), Predictor(), 1, 4096)
    found = measure(work, Extent(tiles, 1024, 1024), Plan(2, 4096, card=True), 2, 0.0, 2.0, ticks.append)
    assert found.opening == pytest.approx(3)
    assert found.timings.starting == pytest.approx(5)
    assert found.timings.elapsed == pytest.approx(5 + 4 * 0.2)
    assert found.timings.mostly_starting
    assert found.once == pytest.approx(2 + 5)
    assert found.seconds == pytest.approx(2 + 5 + 4 * 0.2 + FINISHING)
    assert found.low < found.seconds < found.high
    assert ticks == [tick for tick in ticks if 0 <= tick <= 1]
