"""From images and labels to a segmentation model, its report, and a map with it."""

import json
import re

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from imagery import write_image
from support.two_regions import CROPS, FIELDS, SIDE, write_region

from sits_engine.context import JobContext
from sits_engine.errors import Cancelled, EngineError, InputError
from sits_engine.jobs import job_class
from sits_engine.jobs.export_training_windows import ExportTrainingWindows
from sits_engine.jobs.map_crops import MapCrops
from sits_engine.jobs.train_segmentation_model import TrainSegmentationModel
from sits_engine.mapping.class_map import ClassMap
from sits_engine.models.model_file import load_model
from sits_engine.outputs import numbers_beside
from sits_engine.samples.raster_classes import CLASSES_TAG, MASKS_TAG, MapClass, classes_tag
from sits_engine.samples.window_store import STORE

CORNER = (600000.0, 5600000.0)
PIXELS = FIELDS * SIDE
QUICK = {
    "architecture": "unet3d",
    "width": "small",
    "window": 16,
    "n_dates": 8,
    "epochs": 1,
    "steps_per_epoch": 2,
    "batch_size": 4,
    "device": "cpu",
}


@pytest.fixture(scope="module")
def region(tmp_path_factory):
    return write_region(tmp_path_factory.mktemp("région"), CORNER, 0, 1)


def train(region, tmp_path, ctx=None, **changes):
    given = {
        "series": [str(region)],
        "parcels": [str(region.parent / "parcels.gpkg")],
        "field": "crop",
        "output": str(tmp_path / "modèle.safetensors"),
        **QUICK,
        **changes,
    }
    given = {key: value for key, value in given.items() if value is not None}
    return TrainSegmentationModel.parse(given).run(ctx or JobContext())


def truth(region):
    """(50, 50) 1 for the first crop in the alphabet, …"""
    parcels = gpd.read_file(region.parent / "parcels.gpkg")
    names = sorted(CROPS)
    crops = np.array([names.index(c) + 1 for c in parcels["crop"]]).reshape(FIELDS, FIELDS)
    return crops.repeat(SIDE, 0).repeat(SIDE, 1)


@pytest.fixture(scope="module")
def trained(region, tmp_path_factory):
    """A model that has learned something, with pre-training, and its result."""
    folder = tmp_path_factory.mktemp("modell")
    messages = []
    ctx = JobContext(lambda kind, fields: messages.append((kind, fields)))
    result = train(
        region, folder, ctx, report=str(folder / "r.html"), epochs=8, steps_per_epoch=6, cscl=True,
        cscl_epochs=2, seed=2,
    )  # fmt: skip
    return folder, result, messages


def test_model_report_and_numbers(trained) -> None:
    folder, result, messages = trained
    assert result.scores["n_classes"] == 3
    assert result.scores["n_windows"] == 16
    module, card = load_model(folder / "modèle.safetensors")
    assert card.architecture == "unet3d"
    assert card.class_names == sorted(CROPS)
    assert card.band_names == ["B04", "B08"]
    assert card.season_year == 2019
    assert card.hyperparameters["window"] == 16
    assert card.provenance["resolution"] == pytest.approx(10, rel=0.01)
    assert card.provenance["parcels"] == ["parcels.gpkg"]
    assert card.scores["miou"] == pytest.approx(result.scores["miou"], abs=1e-5)
    assert all(parameter.isfinite().all() for parameter in module.parameters())
    numbers = json.loads(numbers_beside(folder / "r.html").read_text("utf-8"))
    assert len(numbers["pretraining"]) == 2
    assert numbers["parameters"]["cscl"]["kernel"] == 3
    assert sum(map(sum, numbers["confusion"]["counts"])) == numbers["zones"][0]["pixels"] > 50
    html = (folder / "r.html").read_text("utf-8")
    assert "blé dur" in html
    assert "First stage (CSCL)" in html
    percents = [fields["percent"] for kind, fields in messages if kind == "progress"]
    assert percents == sorted(percents)
    phases = {fields["phase"] for kind, fields in messages if kind == "progress"}
    assert any(phase.startswith("Pre-training on CPU") for phase in phases)


def test_the_published_recipe_has_its_own_rates_and_network(region, tmp_path) -> None:
    report = tmp_path / "r.html"
    train(region, tmp_path, report=str(report), published=True, cscl=True, cscl_epochs=2, epochs=3)
    _, card = load_model(tmp_path / "modèle.safetensors")
    assert card.hyperparameters["reference"] is True
    numbers = json.loads(numbers_beside(report).read_text("utf-8"))
    assert [row["learning_rate"] for row in numbers["pretraining"]] == pytest.approx(
        [1e-4, 0.975e-4], abs=1e-6
    )
    rates = [row["learning_rate"] for row in numbers["epochs"]]
    assert rates == pytest.approx([1e-4, 1e-4, 0.975e-4], abs=1e-6)


def test_the_model_maps_the_land_that_it_knows(region, trained, tmp_path) -> None:
    result = MapCrops.parse(
        {
            "series": str(region),
            "model": str(trained[0] / "modèle.safetensors"),
            "output": str(tmp_path / "map.tif"),
            "output_polygons": str(tmp_path / "fields.gpkg"),
            "device": "cpu",
        }
    ).run(JobContext())
    with rasterio.open(tmp_path / "map.tif") as file:
        found = file.read(1)
    assert found.shape == (PIXELS, PIXELS)
    assert (found == truth(region)).mean() > 0.6  # a third by chance
    fields = gpd.read_file(tmp_path / "fields.gpkg")
    assert len(fields) == result.scores["polygons"]
    assert fields["area_ha"].sum() == pytest.approx(PIXELS**2 / 100, rel=0.01)


def test_labels_of_a_raster_and_a_finer_grid(region, tmp_path) -> None:
    raster = tmp_path / "labels.tif"
    values = truth(region).repeat(2, 0).repeat(2, 1).astype(np.uint8)
    values[:7] = 0
    write_image(raster, values[None], ["class"], corner=CORNER, size=5.0)
    table = tmp_path / "classes.csv"
    table.write_text("code,class,color\n1,durum,#ff0000\n2,maize,#00ff00\n3,wheat,#0000ff\n")
    train(
        region, tmp_path, parcels=None, field=None, labels=[str(raster)], scale=2, class_table=str(table),
        split="inside",
    )  # fmt: skip
    card = load_model(tmp_path / "modèle.safetensors")[1]
    assert card.hyperparameters["scale"] == 2
    assert (card.classes[0].name, card.classes[0].color) == ("durum", "#ff0000")
    MapCrops.parse(
        {
            "series": str(region),
            "model": str(tmp_path / "modèle.safetensors"),
            "output": str(tmp_path / "map.tif"),
            "device": "cpu",
        }
    ).run(JobContext())
    finer = ClassMap.open(tmp_path / "map.tif")
    assert (finer.grid.height, finer.grid.width) == (2 * PIXELS, 2 * PIXELS)
    numbers = json.loads((tmp_path / "modèle_numbers.json").read_text("utf-8"))
    assert numbers["pixel_size"] == pytest.approx(5, rel=0.01)
    assert numbers["split"]["kind"] == "tiles"


def test_classes_and_colours_that_travel_inside_of_a_raster(region, tmp_path) -> None:
    """As in masks: no class table is needed, and a second band (confidence) doesn't matter."""
    named = [MapClass(1, "durum", "#ff0000"), MapClass(2, "maize", "#00ff00"), MapClass(3, "any", "#0000ff")]
    values = np.stack([truth(region), np.full((PIXELS, PIXELS), 70)]).astype(np.uint8)
    raster = write_image(
        tmp_path / "masks.tif", values, None, corner=CORNER,
        tags={CLASSES_TAG: classes_tag(named), MASKS_TAG: "0.3"},
    )  # fmt: skip
    given = {"parcels": None, "field": None, "labels": [str(raster)], "epochs": 1}
    result = train(region, tmp_path, **given)
    assert "masks that were drawn from ticks" in result.warnings[0]
    card = load_model(tmp_path / "modèle.safetensors")[1]
    assert {(one.name, one.color) for one in card.classes} == {(one.name, one.color) for one in named}
    ExportTrainingWindows.parse(
        {
            "series": [str(region)], "labels": [str(raster)], "window": 16,
            "output": str(tmp_path / "w.zarr"),
        }
    ).run(JobContext())  # fmt: skip
    assert {(one["name"], one["color"]) for one in STORE.facts(tmp_path / "w.zarr")[1]["classes"]} == {
        (one.name, one.color) for one in named
    }
    table = tmp_path / "classes.csv"
    table.write_text("code,class\n1,cereals\n2,maize\n3,cereals\n")
    train(region, tmp_path, class_table=str(table), **given)
    names = [one.name for one in load_model(tmp_path / "modèle.safetensors")[1].classes]
    assert names == ["cereals", "maize"]


def test_same_seed_same_model_from_kept_windows(region, tmp_path) -> None:
    cards, told = [], []
    ctx = JobContext(lambda kind, fields: told.append(fields.get("text", "")))
    for name in ("a", "b"):
        train(region, tmp_path, ctx, output=str(tmp_path / name), windows_store=str(tmp_path))
        cards.append(load_model(tmp_path / f"{name}.safetensors")[1])
    assert cards[0].tensors_sha256 == cards[1].tensors_sha256
    assert sum("Windows taken from" in text for text in told) == 1
    train(region, tmp_path, ctx, min_labelled=0.5, windows_store=str(tmp_path), epochs=1)
    assert sum("Windows taken from" in text for text in told) == 1  # cut in another way: read again


def test_an_exported_data_set_is_not_overwritten(region, tmp_path) -> None:
    target = tmp_path / "mine.zarr"
    given = {"series": [str(region)], "parcels": [str(region.parent / "parcels.gpkg")], "field": "crop"}
    ExportTrainingWindows.parse({**given, "window": 16, "output": str(target)}).run(JobContext())
    before = (target / "zarr.json").read_bytes()
    with pytest.raises(InputError, match=r"mine\.zarr is a data set of windows"):
        train(region, tmp_path, windows_store=str(target))
    assert (target / "zarr.json").read_bytes() == before


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"window": 64}, r"have 50 x 50 pixels; a window of 64 x 64 doesn't fit.*Lower WINDOW to 48"),
        ({"window": 18}, "multiple of 4"),
        ({"cscl_kernel": 4}, "CSCL_KERNEL.*odd number"),
        ({"field": "nothing"}, "nothing.*crop"),
        (
            {"field": "plot", "min_pixels": 1},
            r"Field 'plot': 100 parcels have 100 different values: .* and 80 more.*Its other fields: crop",
        ),
        ({"field": None}, "FIELD"),
        ({"series": []}, "no images"),
        ({"min_pixels": 100_000}, "fewer than two classes have at least 100000"),
        ({"labels": ["a.tif"]}, "PARCELS and LABELS are both given"),
        ({"scale": 3}, "SCALE"),
        ({"bands": "B11"}, "no band B11"),
        ({"class_table": "none.csv"}, "Class table not found"),
    ],
)
def test_bad_input_is_named_and_leaves_nothing(region, tmp_path, changes, words) -> None:
    with pytest.raises(EngineError) as raised:
        train(region, tmp_path, **changes)
    assert re.search(words, f"{raised.value.message} {raised.value.advice}"), str(raised.value)
    assert list(tmp_path.iterdir()) == []


def test_a_raster_off_the_grid_is_refused(region, tmp_path) -> None:
    raster = tmp_path / "labels.tif"
    write_image(raster, truth(region)[None].astype(np.uint8), ["class"], corner=(600005.0, 5600000.0))
    with pytest.raises(InputError, match="upper left corner at 600005"):
        train(region, tmp_path, parcels=None, field=None, labels=[str(raster)])


def test_codes_that_the_table_does_not_know_are_told(region, tmp_path) -> None:
    table = tmp_path / "classes.csv"
    table.write_text("code,class,color\nmaize,maize,#ff0000\nwheat,wheat,#00ff00\n")
    result = train(region, tmp_path, class_table=str(table))
    assert any("not in classes.csv" in text and "blé dur" in text for text in result.warnings)
    assert result.scores["n_classes"] == 2


def test_series_of_other_pixel_sizes_are_refused(region, tmp_path) -> None:
    from sits_engine.jobs.build_time_series import BuildTimeSeries

    other = tmp_path / "other.json"
    images = {"input_folder": str(region.parent / "images"), "output": str(other), "resolution": 20}
    BuildTimeSeries.parse(images).run(JobContext())
    with pytest.raises(InputError, match=r"different sizes \(.*: 10 m; other: 20 m\)"):
        train(region, tmp_path, series=[str(region), str(other)])


def test_cancelling_leaves_nothing(region, tmp_path) -> None:
    def stop(kind, fields):
        if kind == "progress" and fields["phase"].startswith("Training on"):
            ctx.cancel()

    ctx = JobContext(stop)
    with pytest.raises(Cancelled):
        train(region, tmp_path, ctx, report=str(tmp_path / "r.html"), epochs=50)
    assert list(tmp_path.iterdir()) == []


def test_the_command_line_has_a_short_name() -> None:
    assert job_class("train-segmentation") is TrainSegmentationModel


def test_an_interrupted_run_goes_on_and_leaves_only_its_outputs(region, tmp_path) -> None:
    def interrupt(kind, fields) -> None:
        if kind == "metric" and fields["name"] == "validation_miou":
            ctx.cancel()

    ctx = JobContext(interrupt)
    with pytest.raises(Cancelled) as caught:
        train(region, tmp_path, ctx, cscl=True, cscl_epochs=1, epochs=2)
    states = sorted(path.name for path in tmp_path.iterdir())
    assert [name.split(".", 1)[1] for name in states] == ["cscl.resume.safetensors", "resume.safetensors"]
    assert "The state after epoch 1 is kept" in caught.value.advice
    said = []
    train(
        region,
        tmp_path,
        JobContext(lambda kind, fields: said.append(fields.get("text"))),
        cscl=True,
        cscl_epochs=1,
        epochs=2,
    )
    assert "Going on with pre-training after epoch 1, where an earlier run was interrupted." in said
    assert "Going on with training after epoch 1, where an earlier run was interrupted." in said
    assert not [path for path in tmp_path.iterdir() if ".resume" in path.name]
