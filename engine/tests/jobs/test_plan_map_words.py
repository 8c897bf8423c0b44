"""Plans of maps by photo models: what they say holds against the maps of words themselves."""

import shutil

import pytest
from support.disks import mounted
from support.maps import write_model
from support.word_maps import DAYS, write_world

from sits_engine.context import JobContext
from sits_engine.errors import EngineError, InputError
from sits_engine.jobs import job_class
from sits_engine.jobs.plan_map import PlanMap

SIDE = 96
WORDS = {
    "mapzeroshot": {"classes": "wheat\nmeadow\nvineyard"},
    "mapsimilarity": {"text": "a vineyard"},
    "mapscenicness": {},
}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return write_world(tmp_path_factory.mktemp("world"), height=SIDE, width=SIDE)


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    """One spot is enough here."""
    monkeypatch.setattr("sits_engine.mapping.estimate.ENOUGH", 0.1)


def planned(world, **inputs):
    said = []
    ctx = JobContext(lambda kind, fields: said.append(fields["text"]) if kind == "log" else None)
    params = {
        "series": str(world.series),
        "model": str(world.model),
        "device": "cpu",
        "tile_size": 32,
        **inputs,
    }
    return PlanMap.parse(params).run(ctx), " ".join(said)


def made(job, world, output, **inputs):
    params = {
        "series": str(world.series), "model": str(world.model), "device": "cpu", "tile_size": 32,
        "output": str(output), **WORDS[job], **inputs,
    }  # fmt: skip
    return job_class(job).parse(params).run(JobContext())


def test_a_photo_model_is_known_by_its_file(world, tmp_path):
    result, said = planned(world, folder=str(tmp_path), classes=3)
    scores = result.scores
    assert (scores["pixels"], scores["dates"], scores["tiles"]) == (SIDE * SIDE, len(DAYS), 9)
    assert 0 < scores["seconds_once"] < scores["seconds"]
    assert scores["disk_needed"] > scores["disk_kept"] > 0
    assert scores["bytes_to_read"] > 0
    assert "Polygons" not in said
    assert "CLIP" not in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("job", "asked", "inputs", "also"),
    [
        ("mapsimilarity", {}, {}, ()),
        ("mapscenicness", {}, {}, ()),
        ("mapzeroshot", {"classes": 3}, {}, ()),
        ("mapzeroshot", {"classes": 3, "min_mapping_unit": 0.05}, {"min_mapping_unit": 0.05}, ()),
        ("mapzeroshot", {"classes": 3, "probabilities": True}, {}, ("similarities",)),
    ],
)
def test_what_is_planned_is_enough_for_the_map(world, tmp_path, job, asked, inputs, also):
    scores = planned(world, folder=str(tmp_path), **asked)[0].scores
    with mounted(tmp_path / "disk", f"size={scores['disk_needed'] + 4096}") as disk:
        files = {name: str(disk / f"{name}.tif") for name in also}
        made(job, world, disk / "map.tif", **inputs, **files)
        assert 0 < sum(path.stat().st_size for path in disk.iterdir()) <= scores["disk_kept"]
    with mounted(tmp_path / "half", f"size={scores['disk_needed'] // 2}") as disk:
        files = {name: str(disk / f"{name}.tif") for name in also}
        with pytest.raises(EngineError) as error:
            made(job, world, disk / "map.tif", **inputs, **files)
        assert error.value.code == "DISK_FULL"
        assert "The map needs about " in error.value.message
        assert f" in {disk} (map.tif" in error.value.message
        assert list(disk.iterdir()) == []


def test_places_take_space(world, tmp_path):
    with mounted(tmp_path / "disk", "size=64k") as disk:
        with pytest.raises(EngineError) as error:
            made("mapsimilarity", world, tmp_path / "map.tif", output_places=str(disk / "places.gpkg"))
        assert error.value.code == "DISK_FULL"
        assert f"in {disk} (places.gpkg)" in error.value.message


def test_fewer_steps_and_more_classes_change_the_plan(world):
    few, many = (planned(world, classes=n, probabilities=True)[0].scores for n in (2, 20))
    assert many["disk_needed"] > 4 * few["disk_needed"]
    assert planned(world, steps=1)[0].scores["seconds"] > 0


def test_similarities_are_those_of_classes(world):
    with pytest.raises(InputError, match="how many CLASSES"):
        planned(world, probabilities=True)


def test_what_no_map_of_words_takes_is_refused_in_its_words(world, tmp_path):
    with pytest.raises(InputError, match=r"only one class in CLASSES, .*: every pixel") as planning:
        planned(world, classes=1)
    with pytest.raises(InputError, match=r"only one class in .*: every pixel would get it") as mapping:
        made("mapzeroshot", world, tmp_path / "map.tif", classes="wheat")
    assert planning.value.advice == mapping.value.advice
    with pytest.raises(InputError, match="at most 1024"):
        planned(world, classes=2, min_mapping_unit=1000)


def test_maps_without_classes_have_no_smallest_area(world):
    assert "MIN_MAPPING_UNIT: for maps of classes only" in planned(world, min_mapping_unit=0.1)[1]


def test_fields_of_other_models_are_named(world, tmp_path):
    _, said = planned(world, fast=True, overlap=25)
    assert "FAST and OVERLAP: for models of crops only" in said
    crops = write_model(tmp_path / "m.safetensors")
    _, said = planned(world, model=str(crops), steps="4", classes=3)
    assert "CLASSES and STEPS: for photo models only" in said


def test_a_clip_model_that_is_gone_is_no_reason_not_to_plan(tmp_path, monkeypatch):
    monkeypatch.setenv("SITS_QGIS_HOME", str(tmp_path / "home"))
    world = write_world(tmp_path / "w", height=32, width=32)
    shutil.rmtree(world.clip)
    result, said = planned(world)
    assert "was not found" in said
    assert "The plan lacks the time and the memory to open it." in said
    assert "1 tile of at most 32 x 32 pixels" in said
    assert "judged by 1 tile." in said
    assert result.scores["tiles"] == 1
