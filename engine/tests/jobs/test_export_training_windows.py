"""From images and parcels to a data set of windows."""

import json

import geopandas as gpd
import numpy as np
import pytest
import zarr
from imagery import UTM32, write_image
from support.two_regions import FIELDS, SIDE, write_region

from sits_engine.context import JobContext
from sits_engine.errors import Cancelled, EngineError, InputError
from sits_engine.jobs import job_class
from sits_engine.jobs.export_training_windows import ExportTrainingWindows
from sits_engine.samples.windows import WindowSet

CORNER = (600000.0, 5600000.0)
PIXELS = FIELDS * SIDE


@pytest.fixture(scope="module")
def region(tmp_path_factory):
    return write_region(tmp_path_factory.mktemp("région"), CORNER, 0, 1)


def export(region, output, ctx=None, **params):
    given = {
        "series": [str(region)],
        "parcels": [str(region.parent / "parcels.gpkg")],
        "field": "crop",
        "output": str(output),
        "window": 16,
    }
    given = {key: value for key, value in {**given, **params}.items() if value is not None}
    return job_class("export-windows").parse(given).run(ctx or JobContext())


def test_windows_of_parcels(region, tmp_path) -> None:
    result = export(region, tmp_path / "w.zarr")
    windows = WindowSet.load(tmp_path / "w.zarr")
    # 50 pixels: 0, 16, 32 and one moved inside to 34
    assert len(windows) == 16
    assert windows.classes == ("blé dur", "maize", "wheat")
    assert windows.bands == ("B04", "B08")
    assert windows.values.shape == (16, 13, 2, 16, 16)
    assert result.scores["n_windows"] == 16
    assert result.scores["labelled_share"] == 1
    parcels = gpd.read_file(region.parent / "parcels.gpkg")
    truth = np.array([windows.classes.index(c) for c in parcels["crop"]]).reshape(FIELDS, FIELDS)
    truth = truth.repeat(SIDE, 0).repeat(SIDE, 1)
    number = np.arange(1, FIELDS**2 + 1).reshape(FIELDS, FIELDS).repeat(SIDE, 0).repeat(SIDE, 1)
    for i in range(16):
        at = np.s_[windows.rows[i] : windows.rows[i] + 16, windows.cols[i] : windows.cols[i] + 16]
        np.testing.assert_array_equal(windows.labels[i], truth[at])
        np.testing.assert_array_equal(windows.parcels[i], number[at])
    assert not windows.mixed.any()
    assert windows.valid.mean() == pytest.approx(0.9, abs=0.02)
    assert list(result.outputs) == ["output"]


def test_the_store_says_what_it_is_and_what_it_is_made_of(region, tmp_path) -> None:
    messages = []
    ctx = JobContext(lambda kind, fields: messages.append((kind, fields)))
    result = export(region, tmp_path / "w", ctx, max_windows="3", scale="2", window="20")
    assert result.outputs["output"] == str(tmp_path / "w.zarr")
    attributes = dict(zarr.open_group(tmp_path / "w.zarr", mode="r").attrs)
    assert "Training windows" in attributes["description"]
    extra = attributes["extra"]
    assert len(extra["series"][0]["dates"]) == 13
    assert extra["labels"] == ["parcels.gpkg"]
    assert int(extra["parameters"]["scale"]) == attributes["scale"] == 2
    assert [c["codes"] for c in extra["classes"]] == [["blé dur"], ["maize"], ["wheat"]]
    assert any("drawn at random" in note for note in extra["notes"])
    json.dumps(attributes)
    assert any("drawn at random" in fields.get("text", "") for kind, fields in messages if kind == "log")
    windows = WindowSet.load(tmp_path / "w.zarr")
    assert windows.labels.shape == (3, 40, 40)


def test_dates_classes_and_masks(region, tmp_path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("code,class\nmaize,maize\nwheat,cereal\nblé dur,cereal\n", encoding="utf-8")
    export(region, tmp_path / "a.zarr", n_dates=5, class_table=str(table), mask_clouds=False)
    windows = WindowSet.load(tmp_path / "a.zarr")
    assert windows.classes == ("cereal", "maize")
    assert windows.values.shape[1] == 5
    assert windows.valid.all()
    gaps = np.diff(windows.positions[0])
    assert gaps.min() == gaps.max() == 45
    export(region, tmp_path / "a.zarr", bands="nir, red")  # replaces it
    assert WindowSet.load(tmp_path / "a.zarr").bands == ("B08", "B04")


def test_a_label_raster(region, tmp_path) -> None:
    values = np.zeros((1, PIXELS * 2, PIXELS * 2), np.uint8)
    values[0, :40], values[0, 40:, 33:] = 4, 9
    path = write_image(tmp_path / "labels.tif", values, None, corner=CORNER, size=5.0)
    raster = {"parcels": None, "field": None, "labels": str(path)}
    export(region, tmp_path / "w.zarr", scale=2, **raster)
    windows = WindowSet.load(tmp_path / "w.zarr")
    assert windows.classes == ("4", "9")
    at = np.flatnonzero((windows.rows == 16) & (windows.cols == 0))[0]
    codes = np.array([4, 9, 0])[windows.labels[at]]
    np.testing.assert_array_equal(codes, values[0, 32:64, :32])
    with pytest.raises(InputError, match="doesn't lie on the grid"):
        export(region, tmp_path / "w.zarr", **raster)
    write_image(path, values, None, corner=CORNER, size=5.0, crs=UTM32)
    with pytest.raises(InputError, match="CRS EPSG:32632, images EPSG:32631"):
        export(region, tmp_path / "w.zarr", scale=2, **raster)
    assert len(WindowSet.load(tmp_path / "w.zarr")) == len(windows)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"window": 64}, r"have 50 x 50 pixels; a window of 64 x 64 doesn't fit.*Lower WINDOW to 48"),
        ({"scale": 3}, "SCALE: Input should be '1', '2' or '4'"),
        ({"scale": "two"}, "SCALE"),
        ({"field": None}, "without FIELD"),
        ({"field": "plot", "min_windows": 20}, "hardly any value comes twice"),
        ({"parcels": None}, "no parcels or label raster are given"),
        ({"series": None}, "no time series are given"),
        ({"series": ["none.json"]}, "Time series not found"),
        ({"class_table": "none.csv"}, "Class table not found"),
        ({"labels": ["l.tif"]}, "both given"),
        ({"min_windows": 17}, "at least 17 of 16 windows"),
        ({"bands": "B11"}, "no band B11"),
        ({"window": 2}, "WINDOW"),
    ],
)
def test_bad_input_leaves_nothing(region, tmp_path, params, words) -> None:
    with pytest.raises(InputError, match=words):
        export(region, tmp_path / "w.zarr", **params)
    assert list(tmp_path.iterdir()) == []


def test_nothing_else_is_replaced(region, tmp_path) -> None:
    (tmp_path / "w.zarr").mkdir()
    (tmp_path / "w.zarr" / "thesis.txt").write_text("…", encoding="utf-8")
    with pytest.raises(EngineError, match="something else than training windows"):
        export(region, tmp_path / "w.zarr")
    assert [p.name for p in (tmp_path / "w.zarr").iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("phase", ["Opening images and labels", "Cutting windows", "Writing the windows"])
def test_cancel_leaves_nothing(region, tmp_path, phase) -> None:
    ctx = JobContext()
    ctx._send = lambda kind, fields: ctx.cancel() if fields.get("phase") == phase else None
    with pytest.raises(Cancelled):
        export(region, tmp_path / "w.zarr", ctx)
    assert list(tmp_path.iterdir()) == []


def test_title_and_name() -> None:
    assert ExportTrainingWindows.title == "Export training windows"
    assert job_class("exporttrainingwindows") is ExportTrainingWindows
