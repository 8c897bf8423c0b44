"""From a data set of windows, exported or converted, to a segmentation model."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from support.field_windows import field_windows
from support.published_windows import write_pastis
from support.two_regions import CROPS, write_region

from sits_engine.context import JobContext
from sits_engine.errors import InputError
from sits_engine.jobs.export_training_windows import ExportTrainingWindows
from sits_engine.jobs.map_crops import MapCrops
from sits_engine.jobs.train_segmentation_model import TrainSegmentationModel
from sits_engine.models.model_file import load_model
from sits_engine.samples import window_reading

QUICK = {
    "architecture": "unet3d",
    "width": "small",
    "n_dates": 4,
    "epochs": 1,
    "steps_per_epoch": 2,
    "batch_size": 4,
    "min_pixels": 1,
    "device": "cpu",
}


@pytest.fixture(scope="module")
def region(tmp_path_factory):
    return write_region(tmp_path_factory.mktemp("région"), (600000.0, 5600000.0), 0, 1)


@pytest.fixture(scope="module")
def exported(region, tmp_path_factory):
    """Windows of 8 pixels with a class table, as 'Export training windows' writes them."""
    folder = tmp_path_factory.mktemp("données")
    table = folder / "classes.csv"
    names = sorted(CROPS)
    lines = [f"{code},{name},{color}" for code, name, color in zip(names, "ABC", COLORS, strict=True)]
    table.write_text("\n".join(["code,class,color", *lines]), encoding="utf-8")
    given = {
        "series": [str(region)],
        "parcels": [str(region.parent / "parcels.gpkg")],
        "field": "crop",
        "class_table": str(table),
        "window": 8,
        "output": str(folder / "cut.zarr"),
    }
    ExportTrainingWindows.parse(given).run(JobContext())
    return folder / "cut.zarr"


COLORS = ("#ff0000", "#00ff00", "#0000ff")


@pytest.fixture(scope="module")
def pastis(tmp_path_factory):
    """A small archive in the published layout, converted by the tool."""
    folder = tmp_path_factory.mktemp("pastis")
    write_pastis(folder / "PASTIS", side=48, folds=(1, 2, 3, 4, 5) * 2)
    tools = str(Path(__file__).resolve().parents[3] / "tools")
    sys.path.insert(0, tools)
    try:
        import convert_windows
    finally:
        sys.path.remove(tools)
    convert_windows.main(["pastis", str(folder / "p.zarr"), str(folder / "PASTIS"), "--dates", "6"])
    return folder / "p.zarr"


def train(data, tmp_path, ctx=None, **changes):
    given = {"windows": data and str(data), "output": str(tmp_path / "m.safetensors"), **QUICK, **changes}
    given = {key: value for key, value in given.items() if value is not None}
    return TrainSegmentationModel.parse(given).run(ctx or JobContext())


def test_an_exported_data_set_gives_a_model_that_maps(region, exported, tmp_path):
    result = train(exported, tmp_path, report=str(tmp_path / "r.html"))
    card = load_model(tmp_path / "m.safetensors")[1]
    assert card.hyperparameters["window"] == 8
    assert card.band_names == ["B04", "B08"]
    assert card.season_year == 2019
    assert card.mask_dates is True
    assert [(c.name, c.color, c.codes) for c in card.classes] == [
        (name, color, [code]) for name, color, code in zip("ABC", COLORS, sorted(CROPS), strict=True)
    ]
    assert card.provenance["resolution"] == pytest.approx(10, rel=0.01)
    assert card.provenance["data_sets"][0]["name"] == "cut.zarr"
    assert card.provenance["series"][0]["season_year"] == 2019
    numbers = json.loads(Path(result.outputs["numbers"]).read_text("utf-8"))
    assert numbers["split"]["kind"] == "blocks"
    assert [row["codes"] for row in numbers["classes"]] == [[code] for code in sorted(CROPS)]
    MapCrops.parse(
        {
            "series": str(region),
            "model": str(tmp_path / "m.safetensors"),
            "output": str(tmp_path / "map.tif"),
            "device": "cpu",
        }
    ).run(JobContext())
    assert (tmp_path / "map.tif").exists()


def test_windows_on_the_disk_give_the_same_model(exported, tmp_path, monkeypatch):
    sums, told = [], []
    ctx = JobContext(lambda kind, fields: told.append(fields.get("text", "")))
    for name, share in (("a", 0.4), ("b", 0.0)):
        monkeypatch.setattr(window_reading, "MEMORY_SHARE", share)
        train(exported, tmp_path, ctx, output=str(tmp_path / name))
        sums.append(load_model(tmp_path / f"{name}.safetensors")[1].tensors_sha256)
    assert sums[0] == sums[1]
    assert sum("don't fit into this machine's memory" in text for text in told) == 1


def test_pastis_by_its_folds(pastis, tmp_path):
    train(pastis, tmp_path, split="folds", report=str(tmp_path / "r.html"), validation_fold=1, test_fold=2)
    card = load_model(tmp_path / "m.safetensors")[1]
    assert card.season_year == 2019
    assert card.mask_dates is False
    assert card.provenance["resolution"] == 10
    assert card.provenance["data_sets"][0]["made_by"] == "tools/convert_windows.py pastis"
    assert "meadow" in card.class_names
    numbers = json.loads((tmp_path / "r_numbers.json").read_text("utf-8"))
    assert numbers["split"]["places"] == {"train": 24, "validation": 8, "test": 8}
    html = (tmp_path / "r.html").read_text("utf-8")
    assert "The folds that the data set comes with" in html
    assert re.search(r"patch 100(07|42), row \d+, column \d+", html)


def test_pastis_by_regions_with_a_class_table_and_some_windows(pastis, tmp_path):
    table = tmp_path / "classes.csv"
    table.write_text("code,class\nbackground,no crop\nmeadow,grass\ncorn,maize\nsorghum,maize\n")
    result = train(pastis, tmp_path, split="regions", class_table=str(table), max_windows=15)
    card = load_model(tmp_path / "m.safetensors")[1]
    assert card.class_names == ["grass", "maize", "no crop"]
    assert card.classes[1].codes == ["corn", "sorghum"]
    assert result.scores["n_windows"] <= 15


def test_several_data_sets_are_trained_on_together(pastis, tmp_path):
    result = train(pastis, tmp_path, windows=[str(pastis), str(pastis)], split="regions")
    assert result.scores["n_windows"] == 80


def test_finer_labels_set_the_scale(tmp_path):
    field_windows(n=14, size=12, scale=2).save(tmp_path / "fine.zarr", extra={"resolutions": [10]})
    train(tmp_path / "fine.zarr", tmp_path)
    assert load_model(tmp_path / "m.safetensors")[1].hyperparameters["scale"] == 2
    numbers = json.loads((tmp_path / "m_numbers.json").read_text("utf-8"))
    assert numbers["pixel_size"] == 5
    assert numbers["parameters"]["scale"] == "2"
    train(tmp_path / "fine.zarr", tmp_path, scale=2)
    with pytest.raises(InputError, match=r"SCALE is 4, but the labels of fine\.zarr are 2 times finer"):
        train(tmp_path / "fine.zarr", tmp_path, scale=4)


def test_large_windows_are_cut(tmp_path):
    field_windows(n=14, size=64, dates=4).save(tmp_path / "large.zarr")
    train(tmp_path / "large.zarr", tmp_path, steps_per_epoch=1, batch_size=1, max_windows=13)
    assert load_model(tmp_path / "m.safetensors")[1].hyperparameters["window"] == 48
    train(tmp_path / "large.zarr", tmp_path, steps_per_epoch=1, batch_size=1, window=16)
    assert load_model(tmp_path / "m.safetensors")[1].hyperparameters["window"] == 16


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"series": ["a.json"]}, "SERIES is given with WINDOWS"),
        ({"parcels": ["a.gpkg"], "field": "crop"}, "PARCELS and FIELD are given with WINDOWS"),
        ({"labels": ["a.tif"]}, "LABELS is given with WINDOWS"),
        ({"windows_store": "b.zarr"}, "WINDOWS_STORE is given with WINDOWS"),
        ({"windows": "none.zarr"}, r"not found: none\.zarr"),
        ({"windows": str(Path(__file__).parent)}, "holds no training windows"),
        ({"scale": 2}, r"labels of cut\.zarr are on the grid of the images"),
        ({"window": 16}, r"WINDOW is 16 pixels; those of cut\.zarr have 8 x 8"),
        ({"window": 10, "architecture": "tsvit"}, "WINDOW is 10"),
        ({"split": "folds"}, r"cut\.zarr has no folds"),
        ({"split": "regions"}, "are of 1 region"),
        ({"bands": "B11"}, r"cut\.zarr has no band B11\. It has: B04, B08"),
        ({"class_table": "none.csv"}, "Class table not found"),
        ({"min_pixels": 10**6}, "Fewer than two classes"),
        ({"windows": None}, "no images to learn from.*or a data set of WINDOWS"),
        ({"windows": None, "split": "folds"}, "time series have no folds"),
    ],
)
def test_bad_input_is_named_and_leaves_nothing(exported, tmp_path, changes, words):
    with pytest.raises(InputError) as raised:
        train(exported, tmp_path, **changes)
    assert re.search(words, f"{raised.value.message} {raised.value.advice}"), str(raised.value)
    assert list(tmp_path.iterdir()) == []


def test_one_fold_for_validation_and_test(pastis, tmp_path):
    with pytest.raises(InputError, match="both 4"):
        train(pastis, tmp_path, split="folds", test_fold=4)


def test_a_store_of_a_training_is_no_data_set(region, tmp_path):
    parcels = [str(region.parent / "parcels.gpkg")]
    cut = {"series": [str(region)], "parcels": parcels, "field": "crop", "window": 16}
    train(None, tmp_path, **cut, windows_store=str(tmp_path / "kept"))
    with pytest.raises(InputError, match="a training keeps windows there"):
        train(tmp_path / "kept" / "windows.zarr", tmp_path)


def test_labels_stay_as_they_are_in_the_data_set(exported, tmp_path):
    from sits_engine.samples.window_data import WindowData
    from sits_engine.samples.windows import WindowSet

    whole = WindowSet.load(exported)
    options = window_reading.DataSetOptions(min_labelled=0, max_windows=None)
    read, _ = window_reading.read_data_sets([WindowData.open(exported)], options)
    np.testing.assert_array_equal(read.labels, whole.labels)
    np.testing.assert_array_equal(read.values, whole.values)
