"""The job from files to files: the map's numbers, its file, its region, parcels, the fast network."""

import json
import os
import subprocess
import sys
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from support.crop_maps import START, read, run
from support.maps import BANDS, CLASSES, CORNER, DAYS, parcels_file, write_model, write_series

from sits_engine.context import JobContext
from sits_engine.device import select
from sits_engine.errors import InputError
from sits_engine.mapping.class_map import ClassMap
from sits_engine.models.card import FastCard
from sits_engine.models.inference import Predictor
from sits_engine.models.model_file import load_model, save_model
from sits_engine.series.time_series import TimeSeries

X, Y = CORNER


def expected(world):
    """Class and confidence by the predictor on the whole cube, without tiles, threads or files."""
    series = TimeSeries.open(world[0])
    cube = series.read(series.grid.whole, BANDS)
    t, c, h, w = cube.values.shape
    predictor = Predictor.open(world[1], select("cpu"))
    p = predictor.predict_pixels(
        cube.values.reshape(t, c, -1), cube.valid.reshape(t, -1), cube.scale, cube.offset, series.positions
    )
    seen = p.max(axis=1) > 0
    classes = np.where(seen, p.argmax(axis=1) + 1, 0)
    confidence = np.where(seen, np.clip(np.rint(p.max(axis=1) * 100), 1, 100), 0)
    return classes.reshape(h, w), confidence.reshape(h, w), p


def test_map_is_the_models_answer_with_nodata_where_nothing_is_clear(world, tmp_path):
    result = run(world, output=tmp_path / "map.tif", probabilities=tmp_path / "p.tif", workers=3)
    classes, confidence, p = expected(world)
    assert len(np.unique(classes)) == 4  # three classes and nodata: the comparison says something
    found = read(tmp_path / "map.tif")
    assert (found[0] == classes).mean() > 0.999  # ties apart
    assert np.abs(found[1].astype(int) - confidence).max() <= 1
    assert (found[0, 60:70, :20] == 0).all()
    assert ((found[0] == 0) == (found[1] == 0)).all()
    shares = read(tmp_path / "p.tif")
    assert shares.shape == (3, 70, 90)
    nodata = classes == 0
    assert (shares[:, nodata] == 255).all()
    assert np.abs(shares[:, ~nodata] - 100 * p.T.reshape(3, 70, 90)[:, ~nodata]).max() <= 0.51
    assert result.scores["pixels"] == (classes > 0).sum()
    areas = result.scores["areas"]
    assert areas == {name: pytest.approx((found[0] == i + 1).sum() / 100) for i, name in enumerate(CLASSES)}


def test_fast_maps_pixels_with_the_fast_network_and_parcels_with_the_model(world, tmp_path):
    series, model = world
    small = tmp_path / "small.safetensors"
    write_model(small, seed=2, width="fast")
    fast, own = load_model(small)
    both = tmp_path / "both.safetensors"
    module, card = load_model(model)
    save_model(both, module, card, (fast, FastCard(hyperparameters=own.hyperparameters)))
    parcels = {"parcels": parcels_file(tmp_path / "p.gpkg")}
    run(
        (series, both), output=tmp_path / "fast.tif", output_parcels=tmp_path / "f.gpkg", fast=True, **parcels
    )
    run((series, small), output=tmp_path / "small.tif")
    run(world, output=tmp_path / "plain.tif", output_parcels=tmp_path / "q.gpkg", **parcels)
    assert (read(tmp_path / "fast.tif") == read(tmp_path / "small.tif")).all()
    assert (read(tmp_path / "fast.tif")[0] != read(tmp_path / "plain.tif")[0]).mean() > 0.2
    with rasterio.open(tmp_path / "fast.tif") as image:
        assert image.tags()["SITS_NETWORK"] == "fast"
    a, b = (gpd.read_file(tmp_path / name)["class"] for name in ("f.gpkg", "q.gpkg"))
    assert a.equals(b)
    assert a.notna().any()
    ctx = JobContext()
    run((series, both), ctx, output_parcels=tmp_path / "g.gpkg", fast=True, **parcels)
    assert any("parcels are classified by the model itself" in sentence for sentence in ctx.warnings)


def test_file_is_cloud_optimised_with_colours_names_and_units(world, tmp_path):
    run(world, output=tmp_path / "carte été.tif")
    path = tmp_path / "carte été.tif"
    with rasterio.open(path) as image:
        assert image.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert image.count == 2
        assert image.dtypes == ("uint8", "uint8")
        assert image.nodatavals == (0, 0)
        assert image.colorinterp[0].name == "palette"
        assert image.colormap(1)[1] == (0xD9, 0xA0, 0x1C, 255)
        assert image.descriptions == ("class", "confidence (%)")
        assert image.units[1] == "%"
        assert image.tags()["SITS_SEASON_START"] == "2023-03-01"
        assert image.compression.name == "deflate"
    names = Path(f"{path}.aux.xml").read_text(encoding="utf-8")
    assert "<Category>maïs</Category>" in names
    assert [c.name for c in ClassMap.open(path).classes] == list(CLASSES)
    left = {p.name for p in tmp_path.iterdir()}
    assert left == {"carte été.tif", "carte été.tif.aux.xml"}


def test_overviews_are_nearest_neighbours(tmp_path):
    folder = tmp_path / "w"
    world = (
        write_series(folder, height=600, width=560, days=DAYS[:3], block=256),
        write_model(folder / "m.safetensors"),
    )
    run(world, output=tmp_path / "map.tif", tile_size=256)
    full = read(tmp_path / "map.tif")
    with rasterio.open(tmp_path / "map.tif") as image:
        assert image.overviews(1) == [2, 4]
    half = read(tmp_path / "map.tif", overview_level=0)
    # each overview pixel is one of the four below it: no mixed classes
    four = np.stack([full[0, i::2, j::2] for i in (0, 1) for j in (0, 1)])
    assert (half[0] == four).any(axis=0).all()


def test_regions_keep_the_pixels_of_the_whole_map(world, tmp_path):
    run(world, output=tmp_path / "whole.tif")
    run(world, output=tmp_path / "part.tif", extent=f"{X + 110},{X + 600},{Y - 450},{Y - 70}")
    whole = read(tmp_path / "whole.tif")
    np.testing.assert_array_equal(read(tmp_path / "part.tif"), whole[:, 7:45, 11:60])
    circle = shapely.Point(X + 450, Y - 350).buffer(220)
    gpd.GeoDataFrame(geometry=[circle], crs="EPSG:32631").to_crs("EPSG:4326").to_file(tmp_path / "r.gpkg")
    run(world, output=tmp_path / "circle.tif", region=tmp_path / "r.gpkg")
    with rasterio.open(tmp_path / "circle.tif") as image:
        found, transform = image.read(), image.transform
    rows, cols = np.indices(found.shape[1:])
    xs, ys = transform.c + 10 * (cols + 0.5), transform.f - 10 * (rows + 0.5)
    inside = shapely.contains_xy(circle, xs, ys)
    whole_part = whole[:, round((Y - transform.f) / 10) :, round((transform.c - X) / 10) :]
    whole_part = whole_part[:, : found.shape[1], : found.shape[2]]
    assert (found == np.where(inside, whole_part, 0)).mean() > 0.999
    assert (found[0] == 0).mean() > 0.15


def test_minimum_mapping_unit(world, tmp_path):
    run(world, output=tmp_path / "plain.tif")
    result = run(world, output=tmp_path / "sieved.tif", min_mapping_unit=0.1)
    plain, sieved = read(tmp_path / "plain.tif"), read(tmp_path / "sieved.tif")
    assert (plain[0] != sieved[0]).any()
    np.testing.assert_array_equal(plain[1], sieved[1])
    np.testing.assert_array_equal(plain[0] == 0, sieved[0] == 0)
    assert result.scores["areas"] == {
        name: pytest.approx((sieved[0] == i + 1).sum() / 100) for i, name in enumerate(CLASSES)
    }


def test_parcels(world, tmp_path):
    source = parcels_file(tmp_path / "parcels.gpkg")
    result = run(world, parcels=source, output_parcels=tmp_path / "out.gpkg", id_field="name")
    frame = gpd.read_file(tmp_path / "out.gpkg")
    assert frame.crs == "EPSG:2154"
    assert list(frame["name"]) == list("abcd")
    assert list(frame["class_input"]) == ["said before"] * 4
    assert list(frame["small"]) == [False, False, True, False]
    assert frame["class"].isna().tolist() == [False, False, False, True]
    assert frame["runner_up"].isna().tolist() == [False, False, False, True]
    seen = frame[:3]
    assert (seen["class"] != seen["runner_up"]).all()
    assert (seen["confidence"] >= seen["runner_up_confidence"]).all()
    assert seen["n_dates"].between(1, len(DAYS)).all()
    assert list(frame["n_pixels"]) == [128, 128, 1, 55]
    assert result.scores["parcels"] == 4
    assert result.scores["parcels_classified"] == 3
    # the tiny parcel is the pixel under it
    classes, confidence, _ = expected(world)
    assert CLASSES[int(classes[10, 60]) - 1] == frame["class"][2]
    assert abs(frame["confidence"][2] - confidence[10, 60]) <= 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.gpkg", "parcels.gpkg"]


def test_parcels_by_their_identifier(world, tmp_path):
    source = parcels_file(tmp_path / "parcels.gpkg", parcel_id=["old"] * 5)
    run(world, parcels=source, output_parcels=tmp_path / "out.gpkg", id_field="name")
    frame = gpd.read_file(tmp_path / "out.gpkg")
    assert list(frame["parcel_id"]) == list("abcd") == list(frame["name"])
    assert list(frame["parcel_id_input"]) == ["old"] * 4
    assert frame.columns[0] == "parcel_id"
    # QGIS offers the number of the feature as a field
    run(world, parcels=source, output_parcels=tmp_path / "out.gpkg", id_field="fid")
    assert list(gpd.read_file(tmp_path / "out.gpkg")["parcel_id"]) == [1, 2, 3, 4]
    ctx = JobContext()
    run(world, ctx, parcels=source, output_parcels=tmp_path / "out.gpkg", id_field="class")
    assert any("4 of 4 parcels have no value of their own in 'class'" in text for text in ctx.warnings)
    with pytest.raises(InputError, match=r"no field 'nummer'\. Its fields: name, class, parcel_id"):
        run(world, parcels=source, output_parcels=tmp_path / "out.gpkg", id_field="nummer")


def test_pixels_and_parcels_together(world, tmp_path):
    result = run(
        world,
        output=tmp_path / "map.tif",
        parcels=parcels_file(tmp_path / "p.gpkg"),
        output_parcels=tmp_path / "out.gpkg",
    )
    assert set(result.outputs) == {"output", "output_parcels"}


def test_a_model_that_learnt_with_clouds_maps_with_clouds(world, tmp_path):
    module, card = load_model(world[1])
    save_model(tmp_path / "published.safetensors", module, card.model_copy(update={"mask_dates": False}))
    published = (world[0], tmp_path / "published.safetensors")
    parcels = parcels_file(tmp_path / "parcels.gpkg")
    run(published, output=tmp_path / "m.tif", parcels=parcels, output_parcels=tmp_path / "p.gpkg")
    series = TimeSeries.open(world[0])
    cube = series.read(series.grid.whole, BANDS, keep_clouds=True)
    t, c, h, w = cube.values.shape
    numbers = cube.values.reshape(t, c, -1), cube.valid.reshape(t, -1), cube.scale, cube.offset
    p = Predictor.open(published[1], select("cpu")).predict_pixels(*numbers, series.positions)
    np.testing.assert_array_equal(read(tmp_path / "m.tif")[0], (p.argmax(axis=1) + 1).reshape(h, w))
    frame = gpd.read_file(tmp_path / "p.gpkg")
    assert frame.set_index("name").loc["d", "n_dates"] == len(DAYS)  # clouded at all dates


def test_other_season_is_said(world, tmp_path):
    model = write_model(tmp_path / "m.safetensors", positions=tuple(range(250, 360, 10)))
    ctx = JobContext()
    run((world[0], model), ctx, output=tmp_path / "m.tif")
    assert any("outside the dates" in text for text in ctx.warnings)
    ctx = JobContext()
    run(world, ctx, output=tmp_path / "n.tif")
    assert ctx.warnings == []


def test_same_map_from_the_command_line_in_french(world, tmp_path):
    environment = {**os.environ, "LANG": "fr_FR.UTF-8", "LC_ALL": "C"}
    target = tmp_path / "carte.tif"
    command = [sys.executable, "-s", str(START), "map", "--series", str(world[0]), "--model", str(world[1])]
    command += ["--output", str(target), "--tile-size", "32", "--device", "cpu"]
    done = subprocess.run(
        command, capture_output=True, text=True, encoding="utf-8", env=environment, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["outputs"]["output"] == str(target)
    run(world, output=tmp_path / "here.tif")
    assert target.read_bytes() == (tmp_path / "here.tif").read_bytes()


def test_a_compiler_that_does_not_work_is_said(world, tmp_path):
    code = "import sys; from sits_engine.cli import main; sys.exit(main(sys.argv[1:]))"
    files = ["--series", world[0], "--model", world[1], "--output", tmp_path / "map.tif"]
    command = [sys.executable, "-c", code, "map", *map(str, files), "--device", "cpu"]
    env = {**os.environ, "CXX": "nosuch -O1", "PYTHONPATH": str(START.parent)}
    done = subprocess.run(command, env=env, capture_output=True, text=True, encoding="utf-8", check=True)
    assert "No C++ compiler works" in done.stderr + done.stdout
    assert "nosuch -O1: there is no such program (CXX)" in done.stderr + done.stdout
