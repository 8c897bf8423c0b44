"""Expected ratings as a map: early and late, the scale, the example."""

import numpy as np
import pytest
import rasterio
import torch
from support.word_maps import write_world

from sits_engine.context import JobContext
from sits_engine.device import select
from sits_engine.errors import InputError
from sits_engine.jobs.map_scenicness import MapScenicness
from sits_engine.models.clip import ClipEncoder
from sits_engine.models.photo_inference import EmbeddingPredictor
from sits_engine.samples.composites import months_of
from sits_engine.series.time_series import TimeSeries

TABLE = "prompt,rating,voter\nlake,9,a\nroad,2,a\nwood,8,b\nshed,1,b\nfield,5,b\n"
RATINGS = np.array([9, 2, 8, 1, 5])


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return write_world(
        tmp_path_factory.mktemp("world"), height=30, width=32, dark=(slice(20, 30), slice(0, 20))
    )


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "ratings.csv"
    path.write_text(TABLE, encoding="utf-8")
    return str(path)


def run(world, tmp_path, ctx=None, **params):
    given = {
        "series": str(world.series),
        "model": str(world.model),
        "device": "cpu",
        "output": str(tmp_path / "scenic.tif"),
        **params,
    }
    result = MapScenicness.parse(given).run(ctx or JobContext())
    with rasterio.open(tmp_path / "scenic.tif") as image:
        assert image.descriptions == ("expected rating",)
        return image.read(1), result


def cosines(world):
    """(5, H, W)."""
    series = TimeSeries.open(world.series)
    predictor = EmbeddingPredictor.open(world.model, select("cpu"))
    head = torch.tensor(
        ClipEncoder.open(world.clip, select("cpu")).texts(["lake", "road", "wood", "shed", "field"])
    ).T
    cube = series.read(series.grid.whole, predictor.card.band_names)
    months = months_of(series.dates)
    return predictor.predict_cube(
        cube.values, cube.valid, cube.scale, cube.offset, months, lambda x: x @ head
    )


def expectation(cosines, ratings, scale):
    e = np.exp(scale * (cosines - cosines.max(axis=0)))
    return np.tensordot(ratings, e / e.sum(axis=0), 1)


def test_early_and_late(world, tmp_path, table):
    found = cosines(world)
    scale = EmbeddingPredictor.open(world.model, select("cpu")).scale
    early, _ = run(world, tmp_path, ratings=table, ensembling="early")
    late, result = run(world, tmp_path, ratings=table)
    seen = ~np.isnan(early)
    np.testing.assert_array_equal(seen[20:, :20], False)
    assert seen.sum() == result.scores["pixels"] == 30 * 32 - 200
    np.testing.assert_allclose(early[seen], expectation(found, RATINGS, scale)[seen], atol=2e-3)
    voters = [expectation(found[part], RATINGS[part], scale) for part in (slice(0, 2), slice(2, 5))]
    np.testing.assert_allclose(late[seen], np.mean(voters, axis=0)[seen], atol=2e-3)
    assert np.abs(early - late)[seen].max() > 0.05
    assert result.scores["voters"] == 2
    assert result.scores["lowest_rating"] == 1
    assert result.scores["highest_rating"] == 9


def test_the_scale_is_a_parameter(world, tmp_path, table):
    values, result = run(world, tmp_path, ratings=table, scale=3.0, ensembling="early")
    seen = ~np.isnan(values)
    np.testing.assert_allclose(values[seen], expectation(cosines(world), RATINGS, 3.0)[seen], atol=2e-3)
    assert result.scores["scale"] == 3


def test_without_a_table_the_example_is_used_and_that_is_said(world, tmp_path):
    said = []
    ctx = JobContext(lambda kind, fields: said.append(str(fields.get("text"))))
    values, _ = run(world, tmp_path, ctx)
    assert any("voters are made up" in text for text in said)
    assert np.nanmin(values) >= 1
    assert np.nanmax(values) <= 10


@pytest.mark.parametrize(
    ("text", "words"),
    [("prompt,stars\na,1\n", "no column rating"), ("prompt,rating\na,5\nb,5\n", "All ratings")],
)
def test_bad_tables(world, tmp_path, text, words):
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=words):
        run(world, tmp_path, ratings=str(path))


def test_a_missing_table(world, tmp_path):
    with pytest.raises(InputError, match="Table of ratings not found"):
        run(world, tmp_path, ratings=str(tmp_path / "none.csv"))
