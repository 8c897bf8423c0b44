"""Similarity to a text or a photo, and the best places."""

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from PIL import Image
from support.word_maps import write_world

from sits_engine.context import JobContext
from sits_engine.device import select
from sits_engine.errors import InputError
from sits_engine.jobs.map_similarity import MapSimilarity
from sits_engine.models.clip import ClipEncoder
from sits_engine.models.photo_inference import EmbeddingPredictor
from sits_engine.samples.composites import months_of
from sits_engine.series.time_series import TimeSeries


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return write_world(
        tmp_path_factory.mktemp("world"), height=40, width=50, dark=(slice(30, 40), slice(0, 20))
    )


def run(world, tmp_path, ctx=None, **params):
    given = {
        "series": str(world.series),
        "model": str(world.model),
        "device": "cpu",
        "tile_size": 32,
        "output": str(tmp_path / "similarity.tif"),
        **params,
    }
    return MapSimilarity.parse(given).run(ctx or JobContext())


def cosines(world, vector):
    series = TimeSeries.open(world.series)
    predictor = EmbeddingPredictor.open(world.model, select("cpu"))
    cube = series.read(series.grid.whole, predictor.card.band_names)
    months = months_of(series.dates)
    import torch

    head = torch.tensor(vector)[:, None]
    return predictor.predict_cube(
        cube.values, cube.valid, cube.scale, cube.offset, months, lambda x: x @ head
    )[0]


def read(tmp_path):
    with rasterio.open(tmp_path / "similarity.tif") as image:
        assert image.count == 1
        assert image.dtypes == ("float32",)
        return image.read(1), image.descriptions[0], image.tags()


def encoder(world):
    return ClipEncoder.open(world.clip, select("cpu"))


def test_a_text(world, tmp_path):
    result = run(world, tmp_path, text="a vineyard in autumn")
    values, name, tags = read(tmp_path)
    seen = ~np.isnan(values)
    assert (~seen[30:, :20]).all()
    expected = cosines(world, encoder(world).texts(["a vineyard in autumn"])[0])
    np.testing.assert_allclose(values[seen], expected[seen], atol=2e-4)
    assert np.ptp(values[seen]) > 0.1
    assert name == "similarity to a vineyard in autumn"
    assert tags["SITS_QUERY"] == "a vineyard in autumn"
    assert result.scores["pixels"] == seen.sum() == 40 * 50 - 200
    assert "output_places" not in result.outputs


def test_several_texts_are_averaged(world, tmp_path):
    run(world, tmp_path, text="one; two\nthree")
    vectors = encoder(world).texts(["one", "two", "three"])
    mean = vectors.mean(axis=0) / np.linalg.norm(vectors.mean(axis=0))
    values = read(tmp_path)[0]
    seen = ~np.isnan(values)
    np.testing.assert_allclose(values[seen], cosines(world, mean.astype(np.float32))[seen], atol=2e-4)


def test_a_photo_and_its_places(world, tmp_path):
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (40, 60, 3)).astype(np.uint8)).save(tmp_path / "été.jpg")
    result = run(
        world,
        tmp_path,
        photo=str(tmp_path / "été.jpg"),
        k=4,
        distance=100,
        output_places=str(tmp_path / "places.gpkg"),
    )
    values, name, _ = read(tmp_path)
    seen = ~np.isnan(values)
    expected = cosines(world, encoder(world).images([tmp_path / "été.jpg"]).vectors[0])
    np.testing.assert_allclose(values[seen], expected[seen], atol=2e-4)
    assert name == "similarity to été.jpg"
    places = gpd.read_file(tmp_path / "places.gpkg")
    assert places["rank"].tolist() == [1, 2, 3, 4]
    assert places.similarity[0] == pytest.approx(np.nanmax(values), abs=1e-5)
    apart = [a.distance(b) for i, a in enumerate(places.geometry) for b in places.geometry[i + 1 :]]
    assert min(apart) >= 100
    assert result.scores["places"] == 4
    assert result.scores["best"] == pytest.approx(float(np.nanmax(values)), abs=1e-3)


def test_too_many_places_are_a_warning(world, tmp_path):
    said = []
    ctx = JobContext(lambda kind, fields: said.append(str(fields.get("text"))))
    run(world, tmp_path, ctx, text="x", k=5, distance=1e5, output_places=str(tmp_path / "p.gpkg"))
    assert any("1 best places instead of 5" in text for text in said)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({}, "nothing to look for"),
        ({"text": " ;\n"}, "nothing to look for"),
        ({"text": "x", "photo": "a.jpg"}, "A text and a photo"),
        ({"photo": "none.jpg"}, "Photo not found: none.jpg"),
        ({"text": "word " * 300}, "too long"),
        ({"text": "x", "output": "a.jpg"}, "must end in .tif"),
        ({"text": "x", "output_places": "a.shp"}, "must end in .gpkg"),
    ],
)
def test_bad_input(world, tmp_path, params, words):
    with pytest.raises(InputError) as caught:
        run(world, tmp_path, **params)
    assert words in caught.value.message
    assert caught.value.advice


def test_a_photo_that_is_none(world, tmp_path):
    (tmp_path / "a.jpg").write_text("no photo")
    with pytest.raises(InputError, match=r"a\.jpg"):
        run(world, tmp_path, photo=str(tmp_path / "a.jpg"))
