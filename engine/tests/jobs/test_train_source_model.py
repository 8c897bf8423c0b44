from __future__ import annotations

import datetime
import json

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import torch
from imagery import write_image
from shapely.geometry import Point, Polygon, box

from sits_engine.context import JobContext
from sits_engine.errors import Cancelled, EngineError, InputError
from sits_engine.jobs import job_class
from sits_engine.jobs.build_time_series import BuildTimeSeries
from sits_engine.jobs.describe_model import DescribeModel
from sits_engine.jobs.train_source_model import TrainSourceModel
from sits_engine.learning.distill import DistillOptions
from sits_engine.models.model_file import load_fast, load_model
from sits_engine.outputs import numbers_beside

DAYS = [datetime.date(2019, 3, 1) + datetime.timedelta(days=25 * i) for i in range(7)]
CORNER = (600000.0, 5600000.0)
SIDE = 8  # pixels of a field's side
FIELDS = 12  # fields in a row
QUICK = {
    "epochs": 3,
    "steps_per_epoch": 6,
    "batch_size": 32,
    "width": "small",
    "min_parcels": 5,
    "device": "cpu",
}


def crop_of(row: int, col: int) -> int:
    return (row + 2 * col) % 3


@pytest.fixture(scope="module")
def region(tmp_path_factory):
    """12 x 12 fields of three crops that green up one after the other; their layer with a field `crop`."""
    folder = tmp_path_factory.mktemp("région 1")
    rng = np.random.default_rng(0)
    crops = np.array([[crop_of(r, c) for c in range(FIELDS)] for r in range(FIELDS)])
    crops = crops.repeat(SIDE, 0).repeat(SIDE, 1)
    for number, day in enumerate(DAYS):
        green = np.exp(-(((number - 1.5 - 1.5 * crops) / 1.2) ** 2))
        values = np.stack([800 - 500 * green, 1500 + 3000 * green]) + rng.normal(0, 60, (2, *crops.shape))
        scl = np.where(rng.random(crops.shape) < 0.1, 9, 4)
        write_image(
            folder / "images" / f"S2_{day:%Y%m%d}.tif",
            np.concatenate([values, scl[None]]).astype(np.uint16),
            ["B04", "B08", "SCL"],
            corner=CORNER,
        )
    series = folder / "série.json"
    BuildTimeSeries.parse({"input_folder": str(folder / "images"), "output": str(series)}).run(JobContext())
    shapes, names = [], []
    for r in range(FIELDS):
        for c in range(FIELDS):
            left, top = CORNER[0] + 10 * SIDE * c, CORNER[1] - 10 * SIDE * r
            shapes.append(box(left, top - 10 * SIDE, left + 10 * SIDE, top))
            names.append(["maize", "wheat", "blé dur"][crop_of(r, c)])
    layer = gpd.GeoDataFrame({"crop": names}, geometry=shapes, crs=32631)
    layer.to_file(folder / "parcels.gpkg")
    return folder, series, layer


def params(region, tmp_path, **changes):
    folder, series, _ = region
    return {
        "series": [str(series)],
        "parcels": [str(folder / "parcels.gpkg")],
        "field": "crop",
        "output": str(tmp_path / "modèle.safetensors"),
        **QUICK,
        **changes,
    }


def run(region, tmp_path, ctx=None, **changes):
    return TrainSourceModel.parse(params(region, tmp_path, **changes)).run(ctx or JobContext())


def test_from_parcels_to_model_report_and_numbers(region, tmp_path) -> None:
    messages = []
    ctx = JobContext(lambda kind, fields: messages.append((kind, fields)))
    result = run(region, tmp_path, ctx, epochs=8, steps_per_epoch=12, report=str(tmp_path / "r.html"))
    assert result.scores["macro_f1"] > 0.8
    assert result.scores["n_classes"] == 3
    assert result.scores["n_parcels"] == FIELDS * FIELDS
    module, card = load_model(tmp_path / "modèle.safetensors")
    assert card.class_names == ["blé dur", "maize", "wheat"]
    assert card.band_names == ["B04", "B08"]
    assert card.season_year == 2019
    assert card.positions[0] == 59
    assert card.scores["macro_f1"] == pytest.approx(result.scores["macro_f1"])
    assert card.provenance["parcels"] == ["parcels.gpkg"]
    assert card.provenance["series"][0]["dates"][0] == "2019-03-01"
    assert 0.2 <= card.temperature <= 10
    assert all(parameter.isfinite().all() for parameter in module.parameters())
    numbers = json.loads(numbers_beside(tmp_path / "r.html").read_text("utf-8"))
    assert sum(map(sum, numbers["confusion"]["counts"])) == numbers["split"]["parcels"]["test"] > 10
    assert numbers["split"]["kind"] == "blocks"
    assert len(numbers["profiles"]["positions"]) == 7
    html = (tmp_path / "r.html").read_text()
    assert "blé dur" in html
    assert 'src="http' not in html
    percents = [fields["percent"] for kind, fields in messages if kind == "progress"]
    assert percents == sorted(percents)
    phases = {fields["phase"] for kind, fields in messages if kind == "progress"}
    assert any(phase.startswith("Training on CPU (") for phase in phases)
    assert any(kind == "metric" and fields["name"] == "validation_macro_f1" for kind, fields in messages)
    lines = []
    told = DescribeModel.parse(
        {"model": str(tmp_path / "modèle.safetensors"), "output_html": str(tmp_path / "d.html")}
    ).run(JobContext(lambda kind, fields: lines.append(fields.get("text", ""))))
    assert any("blé dur (#" in line for line in lines)
    assert any("B04, B08" in line for line in lines)
    assert any("macro f1" in line for line in lines)
    assert told.scores["classes"] == "blé dur, maize, wheat"
    assert "blé dur" in (tmp_path / "d.html").read_text()


def test_a_fast_network_goes_into_the_file_the_report_and_the_scores(region, tmp_path, monkeypatch) -> None:
    short = classmethod(lambda cls, shift, seed: cls(steps=60, batch_size=64, seed=seed))
    monkeypatch.setattr(DistillOptions, "near", short)
    plain = run(region, tmp_path, output=str(tmp_path / "plain.safetensors"))
    found = run(region, tmp_path, fast=True, report=str(tmp_path / "r.html"))
    module, card = load_model(tmp_path / "modèle.safetensors")
    first, _ = load_model(tmp_path / "plain.safetensors")
    assert all(torch.equal(a, b) for a, b in zip(module.parameters(), first.parameters(), strict=True))
    fast, own = load_fast(tmp_path / "modèle.safetensors")
    assert own.scores == found.scores["fast"]
    assert own.scores["agreement"] > 0.4
    assert own.scores["teacher_macro_f1"] > 0
    assert all(parameter.isfinite().all() for parameter in fast.parameters())
    assert {name: v for name, v in found.scores.items() if name != "fast"} == plain.scores
    assert "The fast network" in (tmp_path / "r.html").read_text("utf-8")
    numbers = json.loads(numbers_beside(tmp_path / "r.html").read_text("utf-8"))
    assert numbers["fast"]["macro_f1"] == own.scores["macro_f1"]
    assert len(numbers["fast"]["f1"]) == len(card.classes)


def test_tiny_data_give_a_model_and_no_figures(region, tmp_path) -> None:
    few = tmp_path / "few.gpkg"
    region[2].iloc[[0, 1, 30, 31, 60, 61, 90, 91]].to_file(few)
    report = tmp_path / "r.html"
    result = run(region, tmp_path, parcels=[str(few)], min_parcels=2, report=str(report))
    assert result.scores["n_parcels"] == 8
    for name in ("macro_f1", "weighted_f1", "accuracy", "kappa", "calibration_error"):
        assert result.scores[name] is None
    assert any("no accuracy is given. Label more parcels" in text for text in result.warnings)
    card = load_model(tmp_path / "modèle.safetensors")[1]
    assert set(card.scores) == {"per_class_f1"}
    assert not any(card.scores["per_class_f1"].values())
    assert card.temperature == 1.0
    numbers = json.loads(numbers_beside(report).read_text("utf-8"))
    assert not any(numbers["scores"].values())
    assert "could be held out for a test: too few" in report.read_text()


def test_same_seed_on_the_cpu_gives_the_same_model(region, tmp_path) -> None:
    tensors = []
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        run(region, tmp_path, output=str(tmp_path / f"{name}.safetensors"), seed=seed)
        tensors.append(load_model(tmp_path / f"{name}.safetensors"))
    (a, card_a), (b, card_b), (_, card_c) = tensors
    assert all(torch.equal(value, b.state_dict()[name]) for name, value in a.state_dict().items())
    assert card_a.tensors_sha256 == card_b.tensors_sha256 != card_c.tensors_sha256


def test_store_is_reused_for_the_same_inputs_only(region, tmp_path) -> None:
    said = []
    ctx = JobContext(lambda kind, fields: said.append(fields.get("text", "")))
    store = str(tmp_path / "store")
    for _ in range(2):
        run(region, tmp_path, ctx, samples_store=store)
    assert sum("the inputs haven't changed" in line for line in said) == 1
    run(region, tmp_path, ctx, samples_store=store, buffer=20)
    assert sum("the inputs haven't changed" in line for line in said) == 1


def test_two_regions_class_table_and_another_crs(region, tmp_path) -> None:
    folder, series, layer = region
    layer.to_crs(4326).to_file(tmp_path / "b.gpkg")
    (tmp_path / "classes.csv").write_text(
        "code,class,color\nmaize,Mais,#00ff00\nwheat,Getreide,\nblé dur,Getreide,\n"
    )
    result = run(
        region,
        tmp_path,
        series=[str(series)] * 2,
        parcels=[str(folder / "parcels.gpkg"), str(tmp_path / "b.gpkg")],
        class_table=str(tmp_path / "classes.csv"),
    )
    _, card = load_model(tmp_path / "modèle.safetensors")
    assert [(c.name, c.codes) for c in card.classes] == [
        ("Getreide", ["blé dur", "wheat"]),
        ("Mais", ["maize"]),
    ]
    assert card.classes[1].color == "#00ff00"
    assert result.scores["n_parcels"] == 2 * FIELDS * FIELDS


def test_points_and_a_table_of_series(region, tmp_path) -> None:
    layer = region[2]
    points = gpd.GeoDataFrame({"crop": layer["crop"]}, geometry=layer.centroid, crs=layer.crs)
    points.to_file(tmp_path / "points.gpkg")
    rows = [
        {"id": i, "date": day, "crop": ["maize", "wheat"][i % 2], "nir": 0.2 + 0.1 * (i % 2), "red": 0.1}
        for i in range(30)
        for day in DAYS
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "series.csv", index=False)
    both = run(
        region,
        tmp_path,
        parcels=[str(tmp_path / "points.gpkg")],
        labelled_series=str(tmp_path / "series.csv"),
    )
    assert both.scores["n_parcels"] == FIELDS * FIELDS + 30
    assert any("samples without place were split at random" in text for text in both.warnings)
    alone = run(region, tmp_path, series=[], parcels=[], labelled_series=str(tmp_path / "series.csv"))
    assert alone.scores["n_parcels"] == 30
    _, card = load_model(tmp_path / "modèle.safetensors")
    assert card.season_year == 2019
    assert card.band_names == ["B08", "B04"]


def test_published_behaviour_is_an_option(region, tmp_path) -> None:
    run(region, tmp_path, mask_clouds=False, normalisation="published", shift_augmentation=60, buffer=20)
    _, card = load_model(tmp_path / "modèle.safetensors")
    assert card.mask_dates is False
    assert {band.std for band in card.bands} == {6.5535}


def far(layer, path):
    layer.translate(1e6, 0).to_frame("geometry").assign(crop=layer["crop"]).to_file(path)


def one_class(layer, path):
    layer.assign(crop="maize").to_file(path)


def nulls(layer, path):
    layer.assign(crop=None).astype({"crop": "object"}).to_file(path)


def empty(layer, path):
    layer.iloc[:0].to_file(path)


def tiny(layer, path):
    gpd.GeoDataFrame({"crop": layer["crop"]}, geometry=layer.centroid.buffer(3), crs=layer.crs).to_file(path)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (far, "don't overlap the images"),
        (one_class, "only one class, 'maize'"),
        (nulls, "'crop' of bad.gpkg is empty for every feature"),
        (empty, "bad.gpkg is empty: it has no features"),
        (tiny, "No parcel of bad.gpkg is large enough"),
    ],
)
def test_bad_parcels_name_the_thing_and_leave_nothing(region, tmp_path, make, message) -> None:
    make(region[2], tmp_path / "bad.gpkg")
    with pytest.raises(InputError) as caught:
        run(region, tmp_path, parcels=[str(tmp_path / "bad.gpkg")])
    assert message in caught.value.message
    assert caught.value.advice
    assert [p.name for p in tmp_path.iterdir()] == ["bad.gpkg"]


def test_a_field_of_identifiers_is_the_wrong_one(region, tmp_path) -> None:
    layer = region[2].assign(number=range(len(region[2])))
    layer.to_file(tmp_path / "p.gpkg")
    with pytest.raises(InputError, match="Field 'number': fewer than two classes") as caught:
        run(region, tmp_path, parcels=[str(tmp_path / "p.gpkg")], field="number")
    assert "139 more." in caught.value.message
    assert caught.value.advice.endswith("choose the field with the crop. Its other fields: crop.")


def test_some_bad_parcels_are_dropped_or_repaired_with_counts(region, tmp_path) -> None:
    layer = region[2].copy()
    shapes, crops = layer.geometry.to_list(), layer["crop"].to_list()
    west, south, east, north = shapes[0].bounds
    shapes[0] = Polygon([(west, south), (east, north), (east, south), (west, north)])
    shapes[1] = Point(shapes[1].centroid).buffer(2)
    crops[2] = None
    gpd.GeoDataFrame({"crop": crops}, geometry=shapes, crs=layer.crs).to_file(tmp_path / "some.gpkg")
    run(region, tmp_path, parcels=[str(tmp_path / "some.gpkg")])
    numbers = json.loads(numbers_beside(tmp_path / "modèle.safetensors").read_text("utf-8"))
    notes = " ".join(numbers["notes"])
    assert "1 invalid polygons were repaired" in notes
    assert "1 of 144 features have no value in 'crop'" in notes
    assert "1 of 143 parcels vanish when eroded" in notes


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"field": "culture"}, "no field 'culture'. Its fields: crop"),
        ({"bands": "B04, B11"}, "has no band B11"),
        ({"series": []}, "SERIES is empty"),
        ({"parcels": []}, "PARCELS is empty"),
        ({"series": [], "parcels": []}, "nothing to train on"),
        ({"series": ["none.json"]}, "Time series not found: none.json"),
        ({"class_table": "none.csv"}, "Class table not found"),
        ({"labels_table": "l.csv"}, "LABELS_TABLE is given without LABELLED_SERIES"),
        ({"block_size": 1e6}, "in 1 spatial blocks"),
        ({"min_parcels": 100}, "Fewer than two classes have at least 100 parcels"),
    ],
)
def test_bad_parameters(region, tmp_path, changes, message) -> None:
    with pytest.raises(InputError) as caught:
        run(region, tmp_path, **changes)
    assert message in caught.value.message
    assert list(tmp_path.iterdir()) == []


def test_values_out_of_range_name_the_parameter() -> None:
    given = {"field": "crop", "output": "m.safetensors", "learning_rate": -1}
    with pytest.raises(InputError, match="LEARNING_RATE"):
        job_class("train").parse(given)
    with pytest.raises(InputError, match="EFFORT"):
        job_class("train").parse({**given, "learning_rate": 0.1, "effort": "extreme"})


def test_an_input_is_never_overwritten(region, tmp_path) -> None:
    series = region[1]
    before = series.read_bytes()
    with pytest.raises(InputError, match="is an input of this run"):
        run(region, tmp_path, numbers=str(series))
    assert series.read_bytes() == before
    (tmp_path / "folder.safetensors").mkdir()
    with pytest.raises(EngineError, match="is a folder"):
        run(region, tmp_path, output=str(tmp_path / "folder.safetensors"))


def test_cancel_leaves_nothing(region, tmp_path) -> None:
    ctx = JobContext()
    ctx._send = lambda kind, fields: (
        ctx.cancel() if fields.get("phase", "").startswith("Training on") else None
    )
    with pytest.raises(Cancelled):
        run(region, tmp_path, ctx, epochs=500)
    assert list(tmp_path.iterdir()) == []


def test_french_environment_is_harmless(region, tmp_path, monkeypatch) -> None:
    import locale

    for name in ("LANG", "LC_ALL", "LC_NUMERIC"):
        monkeypatch.setenv(name, "fr_FR.UTF-8")
    try:
        locale.setlocale(locale.LC_ALL, "")
    except locale.Error:
        locale.setlocale(locale.LC_ALL, "C")
    try:
        assert run(region, tmp_path).scores["n_classes"] == 3
    finally:
        locale.setlocale(locale.LC_ALL, "C")
