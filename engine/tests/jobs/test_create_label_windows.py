"""From a time series to windows that can be ticked, and what is ticked beforehand."""

import geopandas as gpd
import numpy as np
import pytest
from imagery import write_image
from support.two_regions import CROPS, write_region

from sits_engine.context import JobContext
from sits_engine.errors import Cancelled, EngineError, InputError
from sits_engine.jobs import job_class
from sits_engine.samples.label_windows import LabelWindows

CORNER = (600000.0, 5600000.0)


@pytest.fixture(scope="module")
def region(tmp_path_factory):
    """50 x 50 pixels, fields of 5 x 5."""
    return write_region(tmp_path_factory.mktemp("région"), CORNER, 0, 1)


@pytest.fixture
def messages():
    return []


@pytest.fixture
def create(region, tmp_path, messages):
    def run(ctx=None, **params):
        given = {"series": str(region), "output": str(tmp_path / "w.gpkg"), "window": 8, **params}
        ctx = ctx or JobContext(lambda kind, fields: messages.append(fields.get("text", "")))
        return job_class("label-windows").parse(given).run(ctx)

    return run


def parcels(region):
    return {"parcels": str(region.parent / "parcels.gpkg"), "field": "crop"}


def test_a_list_of_crops(create, tmp_path, messages) -> None:
    result = create(classes="Maize, wheat, blé dur")
    assert result.scores == {"n_windows": 36, "n_classes": 3, "n_prefilled": 0}
    frame = gpd.read_file(tmp_path / "w.gpkg", layer="windows")
    assert list(frame.columns) == ["window", "done", "maize", "wheat", "ble_dur", "geometry"]
    assert not frame[["done", "maize", "wheat", "ble_dur"]].to_numpy().any()
    assert frame.crs.to_epsg() == 32631
    assert frame.geometry[0].bounds == (600000, 5599920, 600080, 5600000)
    table = gpd.read_file(tmp_path / "w.gpkg", layer="classes")
    assert table["class"].tolist() == ["Maize", "wheat", "blé dur"]
    assert table["color"].is_unique
    assert "36 windows of 8 x 8 pixels with a yes/no field for each of 3 crops." in messages
    assert any("2 rows at the lower edge" in text for text in messages)


def test_parcels_name_and_tick_the_crops(create, region, tmp_path, messages) -> None:
    result = create(**parcels(region))
    assert result.scores["n_prefilled"] == 36
    found = LabelWindows.read(str(tmp_path / "w.gpkg") + "|layername=windows")
    assert found.classes == tuple(sorted(CROPS))
    crops = gpd.read_file(region.parent / "parcels.gpkg")["crop"].to_numpy().reshape(10, 10)
    wide = crops.repeat(5, 0).repeat(5, 1)
    for i in range(36):
        row, col = i // 6 * 8, i % 6 * 8
        own = wide[row : row + 8, col : col + 8]
        assert found.ticks[i].tolist() == [(own == name).mean() > 0.01 for name in found.classes]
    assert "not marked as done" in found.notes[0]
    assert any(text.startswith("Ticked beforehand: blé dur") for text in messages)
    # these ticks are still those of the job: it may make them anew, now as done and fewer windows
    result = create(mark_done=True, max_windows=7, seed=2, **parcels(region))
    assert result.scores["n_windows"] == 7
    assert gpd.read_file(tmp_path / "w.gpkg", layer="windows")["done"].all()
    assert any("7 of the 36 windows of the region were drawn at random (seed 2)" in text for text in messages)


def test_a_class_table_joins_codes_and_gives_colours(create, region, tmp_path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("code;class;color\nwheat;Cereals;#112233\nblé dur;Cereals\nmaize;Maize\n", "utf-8")
    create(class_table=str(table), min_share=0.5, **parcels(region))
    found = gpd.read_file(tmp_path / "w.gpkg", layer="classes")
    assert found["field"].tolist() == ["cereals", "maize"]
    assert found["color"][0] == "#112233"
    ticks = gpd.read_file(tmp_path / "w.gpkg", layer="windows")[["cereals", "maize"]].to_numpy(bool)
    assert (ticks.sum(axis=1) <= 1).all()
    assert ticks.any(axis=0).all()


def test_points_and_a_coarse_map(create, region, tmp_path, messages) -> None:
    frame = gpd.read_file(region.parent / "parcels.gpkg").iloc[[0, 99]]
    frame["crop"] = ["rye", "oats"]
    frame.set_geometry(frame.geometry.centroid).to_file(tmp_path / "points.gpkg")
    given = {"parcels": str(tmp_path / "points.gpkg"), "field": "crop", "mark_done": True}
    result = create(classes="Rye, oats", **given)
    # the last field is the remainder in the corner, where no window fits: its centre lies in the last window
    frame = gpd.read_file(tmp_path / "w.gpkg", layer="windows")
    assert np.flatnonzero(frame["rye"]).tolist() == [0]
    assert np.flatnonzero(frame["oats"]).tolist() == [35]
    assert np.flatnonzero(frame["done"]).tolist() == [0, 35]
    assert any("Points show what is in a window, not what is missing" in text for text in result.warnings)
    values = np.full((1, 2, 2), 7, np.uint8)
    values[0, 0, 0] = 9
    write_image(tmp_path / "m.tif", values, None, corner=CORNER, size=250.0)
    result = create(map=str(tmp_path / "m.tif"), output=str(tmp_path / "m.gpkg"))
    frame = gpd.read_file(tmp_path / "m.gpkg", layer="windows")
    assert list(frame.columns)[2:4] == ["crop_7", "crop_9"]
    # 250 m are 3.125 windows
    nine = np.zeros((6, 6), dtype=bool)
    nine[:4, :4] = True
    assert (frame["crop_9"].to_numpy(bool).reshape(6, 6) == nine).all()
    seven = ~nine
    seven[3], seven[:, 3] = True, True
    assert (frame["crop_7"].to_numpy(bool).reshape(6, 6) == seven).all()
    assert result.warnings == []
    create(
        map=str(tmp_path / "m.tif"),
        output=str(tmp_path / "n.gpkg"),
        classes="7, barley",
        extent="600000,600050,5599950,5600000",
    )
    assert any(text.startswith("Nothing was ticked beforehand") for text in messages)


def test_ticks_are_never_overwritten(create, tmp_path) -> None:
    create(classes="wheat, maize")
    create(classes="wheat, maize, rye")  # nothing ticked: may be made anew
    path = tmp_path / "w.gpkg"
    frame = gpd.read_file(path, layer="windows")
    frame.loc[3, "maize"] = True
    frame.to_file(path, layer="windows")
    before = path.read_bytes()
    with pytest.raises(InputError, match=r"w.gpkg holds 1 windows that are ticked") as caught:
        create(classes="wheat, maize")
    assert "another name" in caught.value.advice
    assert path.read_bytes() == before


def test_an_input_is_not_the_output(create, region) -> None:
    with pytest.raises(InputError, match="is an input of this run"):
        create(output=parcels(region)["parcels"], **parcels(region))


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({}, "No crops are given"),
        ({"classes": "wheat"}, "one crop only, 'wheat'"),
        ({"classes": "wheat,Wheat"}, "are one field, 'wheat'"),
        ({"classes": "wheat, rye", "window": 64}, "a window of 64 x 64 doesn't fit"),
        ({"classes": "wheat, rye", "window": 3}, "Parameter WINDOW"),
        ({"classes": "wheat, rye", "min_share": 1}, "Parameter MIN_SHARE"),
        ({"classes": "wheat, rye", "output": "w.shp"}, "w.shp must be a GeoPackage"),
        ({"classes": "wheat, rye", "extent": "0,1,0,1"}, "does not overlap the images"),
        ({"classes": "wheat, rye", "parcels": "x.gpkg"}, "Parcels are given without FIELD"),
        ({"parcels": "x.gpkg", "field": "crop"}, "Vector layer not found: x.gpkg"),
        ({"map": "x.tif"}, "Map not found: x.tif"),
        ({"class_table": "x.csv"}, "class table x.csv can't be read"),
        ({"classes": "barley, oats", "theirs": True}, "none of its labels is a crop of the windows"),
        ({"theirs": True, "field": "plot"}, "windows hold 100 at most|wrong one"),
    ],
)
def test_bad_input(create, region, tmp_path, params, words) -> None:
    if params.pop("theirs", False):
        params = {**parcels(region), **params}
    if params.get("field") == "plot":
        more = gpd.read_file(region.parent / "parcels.gpkg")
        more = gpd.GeoDataFrame(
            {"plot": [f"p{i}" for i in range(101)]}, geometry=[more.geometry[0]] * 101, crs=more.crs
        )
        more.to_file(tmp_path / "many.gpkg")
        params["parcels"] = str(tmp_path / "many.gpkg")
    with pytest.raises(EngineError, match=words) as caught:
        create(**params)
    assert caught.value.advice
    assert not (tmp_path / "w.gpkg").exists()


def test_cancelling_leaves_nothing(create, region, tmp_path) -> None:
    ctx = JobContext(lambda kind, fields: ctx.cancel() if fields.get("percent", 0) > 5 else None)
    with pytest.raises(Cancelled):
        create(ctx, **parcels(region))
    assert list(tmp_path.glob("*.gpkg")) == []
