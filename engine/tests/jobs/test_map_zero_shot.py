"""Class maps from words, from files to files: numbers, files, resuming, seams, bad input."""

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from support.locks import written_by_another
from support.tiny_clip import tiny_clip
from support.word_maps import World, write_photo_model, write_world

from sits_engine.context import JobContext, counted
from sits_engine.device import select
from sits_engine.errors import Cancelled, InputError, ModelError
from sits_engine.jobs import job_class
from sits_engine.jobs.map_zero_shot import MapZeroShot
from sits_engine.learning.zeroshot import normalised
from sits_engine.mapping.class_map import ClassMap
from sits_engine.models.clip import ClipEncoder
from sits_engine.models.clip.prompts import KINDS, class_vectors, read_classes
from sits_engine.models.photo_inference import EmbeddingPredictor
from sits_engine.samples.composites import months_of
from sits_engine.series.time_series import TimeSeries

CLASSES = "wheat\nvineyard: rows of vines; vines in autumn\na wet meadow\nwater"


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> World:
    folder = tmp_path_factory.mktemp("mots et photos")
    return write_world(folder, dark=(slice(60, 70), slice(0, 20)))


def run(world, ctx=None, job=MapZeroShot, **params):
    given = {
        "series": str(world.series),
        "model": str(world.model),
        "tile_size": 32,
        "device": "cpu",
        "classes": CLASSES,
        **params,
    }
    given = {k: str(v) if isinstance(v, Path) else v for k, v in given.items()}
    return job.parse(given).run(ctx or JobContext())


def read(path):
    with rasterio.open(path) as image:
        return image.read()


def cosines(world, classes=CLASSES, steps=12) -> np.ndarray:
    """(K, H, W) of the whole image at once, without tiles, threads or files."""
    series = TimeSeries.open(world.series)
    predictor = EmbeddingPredictor.open(world.model, select("cpu"), steps=steps)
    vectors = class_vectors(
        ClipEncoder.open(world.clip, select("cpu")), read_classes(classes, None, "name", None)
    )
    cube = series.read(series.grid.whole, predictor.card.band_names)
    months = months_of(series.dates)
    head = torch.tensor(vectors).T
    return predictor.predict_cube(
        cube.values, cube.valid, cube.scale, cube.offset, months, lambda x: x @ head
    )


def test_the_map_is_the_most_similar_class(world, tmp_path):
    result = run(world, output=tmp_path / "map.tif", similarities=tmp_path / "s.tif", workers=2)
    found, values = cosines(world), read(tmp_path / "s.tif")
    expected = found.argmax(axis=0) + 1
    expected[60:, :20] = 0
    got = read(tmp_path / "map.tif")
    assert len(np.unique(expected)) >= 4  # several classes and nodata: the comparison says something
    assert (got[0] == expected).mean() > 0.999  # ties apart
    nothing = expected == 0
    assert (got[:, nothing] == 0).all()
    assert np.isnan(values[:, nothing]).all()
    np.testing.assert_allclose(values[:, ~nothing], found[:, ~nothing], atol=2e-4)
    scale = EmbeddingPredictor.open(world.model, select("cpu")).scale
    share = np.exp(scale * found) / np.exp(scale * found).sum(axis=0)
    assert np.abs(got[1][~nothing] - 100 * share.max(axis=0)[~nothing]).max() <= 1
    with rasterio.open(tmp_path / "s.tif") as image:
        assert image.descriptions == ("wheat", "vineyard", "a wet meadow", "water")
        assert image.dtypes[0] == "float32"
        assert image.overviews(1) == []  # as small as a block
        assert json.loads(image.tags()["SITS_PROMPTS"])["vineyard"] == ["rows of vines", "vines in autumn"]
    table = ClassMap.open(tmp_path / "map.tif")
    assert [c.name for c in table.classes] == ["wheat", "vineyard", "a wet meadow", "water"]
    assert len({c.color for c in table.classes}) == 4
    assert result.scores["pixels"] == (~nothing).sum()
    assert sum(result.scores["areas"].values()) == pytest.approx((~nothing).sum() / 100)
    assert not list(tmp_path.glob(".*"))


def test_normalised_scores_divide_by_the_mean_of_the_region(world, tmp_path):
    result = run(world, output=tmp_path / "map.tif", scoring="normalised")
    found = cosines(world).reshape(4, -1).T
    seen = np.ones((70, 90), bool)
    seen[60:, :20] = False
    # the region is smaller than the sample: all of its pixels are in it, as in the published form
    expected = normalised(found[seen.ravel()]).argmax(axis=1) + 1
    got = read(tmp_path / "map.tif")[0][seen]
    assert result.scores["sample_pixels"] == seen.sum()
    assert (got == expected).mean() > 0.999
    assert (got != found[seen.ravel()].argmax(axis=1) + 1).any()


def test_background_is_a_class_of_its_own(world, tmp_path):
    result = run(world, output=tmp_path / "map.tif", classes="wheat\nwater", background="none of these")
    assert [c["name"] for c in result.scores["classes"]] == ["wheat", "water", "none of these"]
    expected = cosines(world, "wheat\nwater\nnone of these").argmax(axis=0) + 1
    got = read(tmp_path / "map.tif")[0]
    assert (got == np.where(got == 0, 0, expected)).mean() > 0.999
    assert (got == 3).any()


@pytest.mark.parametrize("steps", ["4", "1"])
def test_fewer_steps(world, tmp_path, steps):
    run(world, output=tmp_path / "map.tif", steps=int(steps))
    got = read(tmp_path / "map.tif")[0]
    seen = got > 0
    found = cosines(world, steps=int(steps)).argmax(axis=0) + 1
    assert (got[seen] == found[seen]).mean() > 0.999
    assert (found[seen] != (cosines(world).argmax(axis=0) + 1)[seen]).any()


def test_tiles_of_a_model_with_context_leave_no_seams(world, tmp_path):
    wide = World(world.series, write_photo_model(tmp_path / "wide.safetensors", world.clip, 5), world.clip)
    run(wide, output=tmp_path / "map.tif", similarities=tmp_path / "s.tif", tile_size=32)
    values = read(tmp_path / "s.tif")
    np.testing.assert_allclose(np.nan_to_num(values), cosines(wide), atol=2e-4)


def test_a_resumed_map_is_that_of_one_run(world, tmp_path):
    def stopping(limit):
        ctx = JobContext()
        seen = ctx.progress

        def progress(done, phase=""):
            if phase.startswith("Mapping") and done > limit:
                raise Cancelled
            seen(done, phase)

        ctx.progress = progress
        return ctx

    whole = {"output": tmp_path / "a.tif", "similarities": tmp_path / "as.tif", "scoring": "normalised"}
    run(world, **whole)
    pieces = {"output": tmp_path / "b.tif", "similarities": tmp_path / "bs.tif", "scoring": "normalised"}
    with pytest.raises(Cancelled):
        run(world, stopping(0.4), **pieces)
    kept = sorted(path.name for path in (tmp_path / ".b.tif.work").glob("tile-*.npz"))
    assert 0 < len(kept) < 9
    assert not (tmp_path / "b.tif").exists()
    said = []
    run(world, JobContext(lambda kind, fields: said.append(str(fields.get("text")))), **pieces)
    assert any(f"Going on with {counted(len(kept), 'finished tile')}" in text for text in said)
    for one in ("tif", "s.tif"):
        assert (tmp_path / f"a{'' if one == 'tif' else 's'}.tif").read_bytes() == (
            tmp_path / f"b{'' if one == 'tif' else 's'}.tif"
        ).read_bytes()
    assert not (tmp_path / ".b.tif.work").exists()


def test_region_and_minimum_mapping_unit(world, tmp_path):
    params = {"extent": "600100,600400,5599500,5599800 [EPSG:32631]"}
    run(world, output=tmp_path / "part.tif", **params)
    run(world, output=tmp_path / "map.tif")
    part, whole = read(tmp_path / "part.tif")[0], read(tmp_path / "map.tif")[0]
    np.testing.assert_array_equal(part, whole[20:50, 10:40])
    result = run(world, output=tmp_path / "sieved.tif", min_mapping_unit=0.05, **params)
    sieved = read(tmp_path / "sieved.tif")[0]
    assert (sieved != part).any()
    assert result.scores["pixels"] == (part > 0).sum()


def test_a_built_in_set(world, tmp_path):
    result = run(world, output=tmp_path / "map.tif", classes=None, prompts="lucas_land_cover", tile_size=64)
    assert len(result.scores["classes"]) == 8
    with rasterio.open(tmp_path / "map.tif") as image:
        assert all(len(own) == 5 for own in json.loads(image.tags()["SITS_PROMPTS"]).values())


def test_prompts_are_those_that_the_engine_knows():
    assert tuple(MapZeroShot.model_fields["prompts"].annotation.__args__) == KINDS
    assert job_class("map-zero-shot") is MapZeroShot


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"classes": None}, "No class is given"),
        ({"classes": " \n "}, "No class is given"),
        ({"classes": "wheat"}, "only one class in the list of classes, 'wheat'"),
        ({"classes": "wheat\nmaize\nWheat"}, "'Wheat' stands twice"),
        ({"classes": "wheat\nmaize:"}, "prompt of the class 'maize' is empty"),
        ({"classes": "wheat\n" + "very " * 200 + "green"}, "too long"),
        ({"output": "map.png"}, "must end in .tif"),
        ({"similarities": "map.tif"}, "same file"),
        ({"class_table": "classes.csv"}, "given twice"),
        ({"scoring": "best"}, "Parameter SCORING"),
        ({"steps": 3}, "Parameter STEPS"),
    ],
)
def test_bad_input(world, tmp_path, params, words, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as caught:
        run(world, **{"output": "map.tif", **params})
    assert words in caught.value.message
    assert caught.value.advice
    assert not (tmp_path / "map.tif").exists()


def test_another_clip_model_is_refused_with_the_way_out(world, tmp_path):
    other = tiny_clip(tmp_path / "other", dim=16, seed=5)
    with pytest.raises(ModelError, match="not the one that the satellite model was trained with") as caught:
        run(world, output=tmp_path / "map.tif", clip=other)
    assert "Choose the folder of 'clip'" in caught.value.advice


def test_a_copy_of_the_clip_model_does(world, tmp_path):
    copy = tiny_clip(tmp_path / "moved", dim=16)
    run(world, output=tmp_path / "map.tif", clip=copy, extent="600100,600200,5599700,5599800 [EPSG:32631]")
    assert (tmp_path / "map.tif").exists()


def test_a_series_without_the_bands(world, tmp_path):
    from support.maps import write_series

    other = write_series(tmp_path, bands=("B03", "B11"), height=16, width=16)
    with pytest.raises(ModelError, match="needs B02, B04, B08"):
        run(World(other, world.model, world.clip), output=tmp_path / "map.tif")


def test_similarities_that_another_run_writes_are_refused(world, tmp_path):
    with (
        written_by_another(tmp_path / "shares.tif"),
        pytest.raises(InputError, match="Another run is writing the same output"),
    ):
        run(world, output=tmp_path / "map.tif", similarities=tmp_path / "shares.tif")
