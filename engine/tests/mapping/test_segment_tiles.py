"""Tiles of segmentation maps: the same numbers for any tile, no seam, bounded reading and memory."""

import tracemalloc

import numpy as np
import pytest
from support.maps import grid
from support.segmenters import Mean, segment_card

from sits_engine.device import select
from sits_engine.mapping.pipeline import TileWork, plan, run_tiles
from sits_engine.mapping.segment_tiles import SegmentTiles, segment_tile_size
from sits_engine.mapping.tiles import tiles_of
from sits_engine.models.segment_inference import SegmentPredictor
from sits_engine.samples.region import make_region
from sits_engine.series.types import Cube, Window, intersect

CPU = select("cpu")
BANDS = ["B02", "B04", "B08"]


class Series:
    """Smooth made-up numbers with clouds; remembers what was read."""

    positions = np.array([59, 99, 139, 180, 221], np.int32)

    def __init__(self, height, width):
        self.shape = height, width
        self.read_windows = []

    def read(self, window, bands):
        self.read_windows.append(window)
        assert intersect(window, Window(0, 0, *self.shape)) == window
        y, x = np.mgrid[: window.height, : window.width]
        y, x = (y + window.row) / 30, (x + window.col) / 30
        waves = [np.sin(3 * x + i) * np.cos(2 * y + j) for i in range(5) for j in range(3)]
        values = (1800 + 900 * np.array(waves)).reshape(5, 3, *y.shape).astype(np.uint16)
        clear = np.array([np.sin(40 * x * (i + 1)) + np.sin(37 * y + i) for i in range(5)]) > -1
        values *= clear[:, None]
        return Cube(values, clear, clear, np.full((5, 3), 1e-4, np.float32), np.zeros((5, 3), np.float32))


def segments(shape, scale=1, window=16, overlap=0.5):
    predictor = SegmentPredictor(
        Mean(scale=scale), segment_card(window=window, scale=scale), CPU, overlap=overlap
    )
    return SegmentTiles(predictor, grid(*shape))


def mapped(shape, tile, scale=1, overlap=0.5):
    """(K, H * s, W * s) put together from tiles."""
    series, own = Series(*shape), segments(shape, scale, overlap=overlap)
    out = np.full((3, shape[0] * scale, shape[1] * scale), np.nan, np.float32)
    for part in tiles_of(Window(0, 0, *shape), tile):
        p = own.probabilities(series.read(own.area(part), BANDS), part, None, series.positions)
        rows = slice(part.row * scale, (part.row + part.height) * scale)
        cols = slice(part.col * scale, (part.col + part.width) * scale)
        out[:, rows, cols] = p
    return out


@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize("shape", [(60, 75), (9, 40), (16, 16), (33, 17)])
def test_probabilities_do_not_depend_on_the_tile(shape, scale):
    whole = mapped(shape, 1000, scale)
    for size in (5, 16, 32):
        np.testing.assert_allclose(mapped(shape, size, scale), whole, atol=1e-5)


def jump(p, lines):
    """Mean jump across lines of pixels, divided by that across all others."""
    across = np.abs(np.diff(p, axis=2)).mean(axis=(0, 1))
    at = np.isin(np.arange(1, p.shape[2]), lines)
    return across[at].mean() / across[~at].mean()


def test_no_seam_at_tiles_and_windows():
    shape, tile = (64, 96), 32
    p = mapped(shape, tile)
    for lines in (np.arange(tile, 96, tile), np.arange(8, 96, 8)):
        assert jump(p, lines) < 1.25
    # what shows without overlap, by the same measure
    assert jump(mapped(shape, tile, overlap=0), np.arange(16, 96, 16)) > 1.8


def test_what_is_read_beside_a_tile_is_below_a_window():
    own = segments((500, 400))
    for tile in tiles_of(Window(0, 0, 500, 400), 64):
        area = own.area(tile)
        assert intersect(area, tile) == tile
        assert max(tile.row - area.row, tile.col - area.col) < 16
        assert area.row + area.height - tile.row - tile.height < 16
        assert area.col + area.width - tile.col - tile.width < 16


def test_tile_size_keeps_memory_small_but_not_the_tile_below_a_window():
    own = segments((500, 400), window=48).predictor
    assert segment_tile_size(own, 20, 10) == 256
    assert segment_tile_size(own, 90, 10) == 128
    assert segment_tile_size(own, 2000, 10) == 64
    assert segment_tile_size(own, 20, 10, largest=100) == 100
    own.scale = 4
    own.card = own.card.model_copy(update={"classes": own.card.classes * 8})
    assert segment_tile_size(own, 20, 10) == 128


def run_map(shape, tile=32, scale=2):
    series, pixels, kept = Series(*shape), [], []
    region = make_region(grid(*shape))
    tiles = list(tiles_of(region.window, tile))
    run_tiles(
        TileWork(series, BANDS, region, segments(shape, scale), 3, 1000, want_probabilities=True),
        tiles,
        plan(True, 2),
        lambda window, result: kept.append((window, result.classes.shape, result.classes.dtype)),
        pixels.append,
    )
    return series, pixels, kept


def test_pipeline_gives_every_tile_once_on_the_finer_grid_and_counts_pixels_of_the_series():
    series, pixels, kept = run_map((50, 70))
    assert sum(pixels) == 50 * 70
    assert len(kept) == len(series.read_windows) == 2 * 3
    for window, shape, dtype in kept:
        assert shape == (2 * window.height, 2 * window.width)
        assert dtype == np.uint8


def test_memory_depends_on_the_tile_not_on_the_map():
    peaks = []
    for shape in ((64, 160), (64, 640)):
        tracemalloc.start()
        run_map(shape)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.3 * peaks[0], peaks
