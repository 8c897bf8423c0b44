"""Reader, worker and writer: everything once, bounded, and one error ends all of them."""

import threading
import time

import numpy as np
import pytest
from support.maps import grid

from sits_engine.errors import InputError
from sits_engine.mapping.pipeline import QUEUE, Plan, TileWork, plan, run_tiles
from sits_engine.mapping.tiles import tiles_of
from sits_engine.samples.region import make_region
from sits_engine.series.types import Cube, Window

GRID = grid(64, 96)
ALONE = plan(True, 1)


class Series:
    """Values count the pixels of the grid; records how many windows are alive."""

    positions = np.array([0, 10, 20], np.int32)

    def __init__(self, fail_at=None):
        self.fail_at, self.reads, self.kept, self.most = fail_at, 0, 0, 0

    def read(self, window, bands):
        self.reads += 1
        self.most = max(self.most, self.reads - self.kept)
        if self.reads == self.fail_at:
            raise InputError("image 7 is damaged")
        number = np.arange(64 * 96).reshape(64, 96)
        part = number[window.row : window.row + window.height, window.col : window.col + window.width]
        values = np.broadcast_to(part, (3, 2, *part.shape)).astype(np.uint16)
        yes = np.ones((3, *part.shape), bool)
        return Cube(values, yes, yes, np.ones((3, 2), np.float32), np.zeros((3, 2), np.float32))


class Predictor:
    def __init__(self, delay=0.0, fail=False):
        self.delay, self.fail = delay, fail

    def predict_pixels(self, values, valid, scale, offset, positions):
        time.sleep(self.delay)
        if self.fail:
            raise MemoryError
        k = values[0, 0] % 3
        return np.eye(3, dtype=np.float32)[k] * 0.75


def run(series, predictor, tick=lambda pixels: None, keep=None, probabilities=False, how=ALONE):
    out = np.zeros((64, 96), np.uint8)
    seen = []

    def store(window, result):
        series.kept += 1
        seen.append(window)
        out[window.row : window.row + window.height, window.col : window.col + window.width] = result.classes

    tiles = list(tiles_of(GRID.whole, 16))
    job = TileWork(series, ["a", "b"], make_region(GRID), predictor, 3, 100, probabilities)
    series.timings = run_tiles(job, tiles, how, keep or store, tick)
    assert sorted(seen, key=lambda w: (w.row, w.col)) == tiles
    return out


def test_every_pixel_once_and_counted():
    pixels = []
    out = run(Series(), Predictor(), pixels.append)
    np.testing.assert_array_equal(out, np.arange(64 * 96).reshape(64, 96) % 3 + 1)
    assert sum(pixels) == 64 * 96
    assert all(p >= 0 for p in pixels)


def test_few_windows_are_alive_at_a_time():
    series = Series()
    run(series, Predictor(delay=0.001))
    # those that are read or wait, and one in worker, those in the second queue and one in the writer
    assert series.most <= ALONE.readers + (QUEUE - 1) + 1 + QUEUE + 1


@pytest.mark.parametrize(
    "how", [Plan(1, 4096, readers=1), Plan(1, 4096, readers=5), Plan(1, 4096, workers=3)]
)
def test_results_do_not_depend_on_the_numbers_of_threads(how):
    expected = np.arange(64 * 96).reshape(64, 96) % 3 + 1
    np.testing.assert_array_equal(run(Series(), Predictor(), how=how), expected)


def test_several_readers_read_at_the_same_time_but_not_more_than_may_wait():
    class Together(Series):
        """A window is there only when another reader has come as well."""

        gate = threading.Barrier(2)

        def read(self, window, bands):
            self.gate.wait(20)
            return super().read(window, bands)

    run(Together(), Predictor(), how=Plan(1, 4096, readers=2))


@pytest.mark.parametrize(
    ("slow", "stage"), [("reader", "reading"), ("network", "computing"), ("disk", "writing")]
)
def test_timings_name_the_slow_stage(slow, stage):
    class Late(Series):
        def read(self, window, bands):
            time.sleep(0.04 if slow == "reader" else 0)
            return super().read(window, bands)

    def keep(window, result):
        series.kept += 1
        time.sleep(0.04 if slow == "disk" else 0)

    series = Late()
    tiles = list(tiles_of(GRID.whole, 16))
    job = TileWork(series, ["a", "b"], make_region(GRID), Predictor(0.04 * (slow == "network")), 3, 4096)
    timings = run_tiles(job, tiles, Plan(1, 100, readers=1), keep, lambda pixels: None)
    shares = timings.shares()
    assert max(shares, key=shares.get) == stage
    assert sum(shares.values()) == pytest.approx(1)


@pytest.mark.parametrize("what", ["reader", "predictor", "writer", "tick"])
def test_first_error_is_raised_and_all_threads_end(what):
    def broken(*arguments):
        raise OSError(28, "No space left on device")

    before = threading.active_count()
    expected = {"reader": InputError, "predictor": MemoryError}.get(what, OSError)
    with pytest.raises(expected):
        run(
            Series(fail_at=3 if what == "reader" else None),
            Predictor(fail=what == "predictor"),
            tick=broken if what == "tick" else lambda pixels: None,
            keep=broken if what == "writer" else None,
        )
    assert threading.active_count() <= before


def test_tick_comes_while_the_predictor_is_slow():
    times = []
    series = Series()
    run(series, Predictor(delay=0.02), lambda pixels: times.append(time.monotonic()))
    assert np.diff(times).max() < 0.45


def test_plan():
    assert plan(True, 8).threads == 8
    assert plan(True, 8, 3).threads == 3
    assert plan(True, 1).chunk == 8192
    assert plan(False, 8).chunk > plan(True, 8).chunk
    assert (plan(False, 8).card, plan(True, 8).card) == (True, False)
    assert (plan(True, 2).readers, plan(True, 16).readers) == (1, 2)


def test_tiles_outside_the_region_are_not_read():
    series = Series()
    region = make_region(GRID, "600000,600160,5599840,5600000")
    found = []
    tile = [Window(0, 0, 16, 16)]

    def run_in(where, probabilities=False):
        job = TileWork(series, ["a", "b"], where, Predictor(), 3, 100, probabilities)
        run_tiles(job, tile, plan(True, 1), lambda window, result: found.append(result), lambda pixels: None)

    run_in(region)
    assert series.reads == 1
    from dataclasses import replace

    import shapely

    far = replace(
        region, polygons=np.array([shapely.box(600_500, 5_599_500, 600_600, 5_599_600)], dtype=object)
    )
    run_in(far, True)
    assert series.reads == 1
    assert (found[1].classes == 0).all()
    assert (found[1].probabilities == 255).all()
