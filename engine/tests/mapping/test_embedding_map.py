"""Tiles of vectors: margins, regions, nodata, heads, and the sample that normalised maps divide by."""

import geopandas as gpd
import numpy as np
import pytest
import shapely
import torch
from support.photo_series import year_series
from support.tiny_clip import tiny_clip
from support.word_maps import photo_card, spread_encoder

from sits_engine.device import select
from sits_engine.errors import Cancelled, InputError
from sits_engine.learning.scenicness import expected
from sits_engine.learning.zeroshot import level_factors, normalised
from sits_engine.mapping.classify import TileModel
from sits_engine.mapping.embedding_map import (
    STEP,
    ClassHead,
    EmbeddingTiles,
    RatingHead,
    SimilarityHead,
    embedding_tile_size,
)
from sits_engine.mapping.pipeline import TileWork, plan, run_tiles
from sits_engine.mapping.region_sample import SIDE, WINDOWS, mean_scores, sample_windows
from sits_engine.mapping.tiles import tiles_of
from sits_engine.models.photo_inference import EmbeddingPredictor
from sits_engine.samples.composites import months_of
from sits_engine.samples.region import Region, make_region
from sits_engine.series.types import Grid, Window

BANDS = ("B02", "B04", "B08")
VECTORS = np.linalg.qr(np.random.default_rng(0).normal(size=(16, 5)))[0].T.astype(np.float32)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return tiny_clip(tmp_path_factory.mktemp("clip"), dim=16)


def predictor(clip, context):
    module = spread_encoder(context)
    return EmbeddingPredictor(module, photo_card(module, clip), select("cpu"))


def tiles_with(clip, series, context=1, head=None):
    run = predictor(clip, context)
    return EmbeddingTiles(run, head or ClassHead(VECTORS, run.scale), months_of(series.dates))


def computed(tiles, series, region, side):
    """(5, H, W) cosines and (H, W) classes of a region, tile by tile, through the pipeline."""
    window = region.window
    classes = np.zeros((window.height, window.width), np.uint8)
    values = np.zeros((5, window.height, window.width), np.float32)
    pixels = []

    def keep(tile, result):
        at = np.s_[
            tile.row - window.row : tile.row - window.row + tile.height,
            tile.col - window.col : tile.col - window.col + tile.width,
        ]
        classes[at], values[:, *at] = result.classes, result.probabilities

    job = TileWork(series, BANDS, region, tiles, 5, 1000, want_probabilities=True)
    run_tiles(job, list(tiles_of(window, side)), plan(True, 1), keep, pixels.append)
    assert sum(pixels) == window.height * window.width
    return values, classes


@pytest.mark.parametrize("context", [1, 3, 9])
def test_tiles_are_parts_of_the_whole(clip, context):
    series = year_series(20, 26, clear=0.3)
    tiles = tiles_with(clip, series, context)
    assert isinstance(tiles, TileModel)
    region = make_region(series.grid)
    one, classes = computed(tiles, series, region, 64)
    several, same = computed(tiles, series, region, 7)
    assert len(np.unique(classes)) > 3
    np.testing.assert_allclose(several, one, atol=2 * STEP)
    assert (same == classes).mean() > 0.998


def test_a_part_of_the_images_sees_what_lies_around_it(clip):
    series = year_series(20, 26, clear=0.5)
    tiles = tiles_with(clip, series, 5)
    whole, _ = computed(tiles, series, make_region(series.grid), 64)
    t = series.grid.transform
    x0, y0 = t * (4, 16)
    x1, y1 = t * (18, 5)
    part = make_region(series.grid, f"{x0},{x1},{y0},{y1}")
    assert (part.window.row, part.window.col) == (5, 4)
    found, _ = computed(tiles, series, part, 6)
    np.testing.assert_allclose(found, whole[:, 5:16, 4:18], atol=2 * STEP)


def test_outside_of_polygons_nothing_is_computed_but_seen_by_neighbours(clip, tmp_path):
    series = year_series(20, 26, clear=0.5)
    x, y = series.grid.transform * (13, 10)
    gpd.GeoDataFrame(geometry=[shapely.Point(x, y).buffer(60)], crs=32631).to_file(tmp_path / "p.gpkg")
    region = make_region(series.grid, None, str(tmp_path / "p.gpkg"))
    tiles = tiles_with(clip, series, 3)
    whole, _ = computed(tiles, series, make_region(series.grid), 64)
    found, classes = computed(tiles, series, region, 4)
    w = region.window
    inside = region.mask(w)
    assert 0 < inside.sum() < inside.size
    assert np.isnan(found[:, ~inside]).all()
    assert (classes[~inside] == 0).all()
    part = whole[:, w.row : w.row + w.height, w.col : w.col + w.width]
    np.testing.assert_allclose(found[:, inside], part[:, inside], atol=2 * STEP)


def test_pixels_without_a_clear_date_are_nodata(clip):
    series = year_series(8, 9, clear=0.6)
    series.clear[:, 2:5, 3] = False
    values, classes = computed(tiles_with(clip, series, 3), series, make_region(series.grid), 4)
    dark = ~series.clear.any(axis=0)
    assert dark.sum() >= 3
    assert np.isnan(values[:, dark]).all()
    assert not np.isnan(values[:, ~dark]).any()
    np.testing.assert_array_equal(classes == 0, dark)


def test_cancelling_inside_of_a_tile(clip):
    series = year_series(20, 26)
    tiles = tiles_with(clip, series)
    tile = Window(0, 0, 20, 26)
    cube = series.read(tiles.area(tile), BANDS)
    calls = []

    def step(pixels):
        calls.append(pixels)
        if sum(calls) > 200:
            raise Cancelled

    with pytest.raises(Cancelled):
        tiles.classify(cube, tile, None, series.positions, step=step)
    assert sum(calls) < 20 * 26  # long before its end


def test_normalised_classes(clip):
    rng = np.random.default_rng(3)
    answers = rng.uniform(-0.2, 0.3, (5, 6, 7)).astype(np.float32)
    means = np.array([1.0, 1.1, 0.9, 1.05, 1.2])
    seen = rng.random((6, 7)) < 0.8
    result = ClassHead(VECTORS, 14.0, level_factors(means)).result(answers, seen, True)
    flat = normalised(answers.reshape(5, -1).T, means)
    expected_ = np.where(seen, flat.argmax(axis=1).reshape(6, 7) + 1, 0)
    np.testing.assert_array_equal(result.classes, expected_)
    np.testing.assert_allclose(result.probabilities[:, seen], answers[:, seen], atol=STEP)  # raw cosines
    assert ((result.confidence > 0) == seen).all()


def test_confidence_is_the_soft_max_in_percent():
    answers = np.array([0.3, 0.2, 0.1], np.float32)[:, None, None]
    result = ClassHead(VECTORS[:3], 10.0).result(answers, np.ones((1, 1), bool), False)
    share = 1 / (1 + np.exp(-1) + np.exp(-2))
    assert result.confidence[0, 0] == round(100 * share)
    assert result.probabilities is None


def test_heads_of_numbers():
    vectors = torch.nn.functional.normalize(torch.randn(9, 16), dim=1)
    found = SimilarityHead(VECTORS[0]).answers(vectors)
    np.testing.assert_allclose(found[:, 0], vectors.numpy() @ VECTORS[0], atol=1e-6)
    ratings = np.array([1, 5, 9, 2, 4], np.float32)
    cosines = vectors @ torch.tensor(VECTORS).T
    voter = np.array([0, 0, 1, 1, 1])
    for given in (None, voter):
        own = RatingHead(VECTORS, ratings, 20.0, given).answers(vectors)
        by_hand = expected(cosines, ratings, 20.0, () if given is None else given)
        np.testing.assert_allclose(own[:, 0], by_hand, rtol=1e-6)
    result = RatingHead(VECTORS, ratings, 1.0, None).result(
        np.full((1, 2, 2), 5.4321, np.float32), np.array([[True, False], [True, True]]), True
    )
    assert np.isnan(result.probabilities[0, 0, 1])
    assert abs(result.probabilities[0, 0, 0] - 5.4321) <= STEP / 2


def test_tiles_shrink_with_classes():
    class Any:
        context = 1

    assert embedding_tile_size(Any(), 30, 10, 8) == 256
    assert embedding_tile_size(Any(), 30, 10, 255) == 128
    assert embedding_tile_size(Any(), 30, 10, 8, largest=40) == 40


def large(height, width, polygons=None):
    grid = Grid(year_series(2, 2).grid.crs, year_series(2, 2).grid.transform, height, width)
    return Region(grid, grid.whole, polygons)


def test_the_sample_is_regular_and_bounded():
    windows = sample_windows(large(10980, 10980))
    assert len(windows) == WINDOWS
    assert {(w.height, w.width) for w in windows} == {(SIDE, SIDE)}
    rows = sorted({w.row for w in windows})
    assert len(rows) == 10
    assert np.ptp(np.diff(rows)) <= 1  # evenly spread
    long = sample_windows(large(100, 40_000))
    assert 80 <= len(long) <= 120
    assert all(w.row >= 0 and w.row + w.height <= 100 and w.col + w.width <= 40_000 for w in long)


def test_a_small_region_is_its_own_sample():
    windows = sample_windows(large(60, 70))
    seen = np.zeros((60, 70), int)
    for w in windows:
        seen[w.row : w.row + w.height, w.col : w.col + w.width] += 1
    assert (seen == 1).all()


def test_a_small_polygon_in_a_large_region_gets_a_denser_lattice():
    grid = large(5000, 5000).grid
    x, y = grid.transform * (700, 900)
    far = shapely.Point(*(grid.transform * (4900, 4900))).buffer(50)
    region = large(5000, 5000, np.array([shapely.Point(x, y).buffer(3000), far], dtype=object))
    windows = sample_windows(region)
    assert 30 <= len(windows) <= 2 * WINDOWS
    assert all(region.mask(w) is None or region.mask(w).any() for w in windows)


def test_mean_scores_are_those_of_clear_pixels(clip):
    series = year_series(30, 30, clear=0.1)
    tiles = tiles_with(clip, series)
    region = make_region(series.grid)
    values, _ = computed(tiles, series, region, 64)
    shares = []
    sample = mean_scores(series, BANDS, region, tiles, shares.append)
    seen = ~np.isnan(values[0])
    assert 0 < sample.pixels == seen.sum() < 900
    np.testing.assert_allclose(sample.means, (values[:, seen] / 2 + 1).mean(axis=1), atol=STEP)
    assert shares[-1] == 1


def test_a_sample_without_a_clear_pixel_is_an_error(clip):
    series = year_series(8, 8, clear=0)
    with pytest.raises(InputError, match="has a clear pixel"):
        mean_scores(series, BANDS, make_region(series.grid), tiles_with(clip, series), lambda share: None)
