"""The job from files to files: the map's numbers, its file, its region, resuming, parcels, bad input."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from support.maps import BANDS, CLASSES, CORNER, DAYS, parcels_file, write_model, write_series

from sits_engine.context import JobContext
from sits_engine.device import select
from sits_engine.errors import Cancelled, EngineError, InputError, ModelError, from_exception
from sits_engine.jobs.map_crops import MapCrops
from sits_engine.mapping.class_map import ClassMap
from sits_engine.models.card import FastCard
from sits_engine.models.inference import Predictor
from sits_engine.models.model_file import load_model, save_model
from sits_engine.series.time_series import TimeSeries

START = Path(__file__).parents[2] / "start.py"
X, Y = CORNER


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A series (70 x 90 pixels, a corner clouded for good) and a model, in a folder with an accent."""
    folder = tmp_path_factory.mktemp("été 1")
    dark = (slice(60, 70), slice(0, 20))
    return write_series(folder, dark=dark), write_model(folder / "modèle.safetensors")


def run(world, ctx=None, **params):
    series, model = world
    given = {"series": str(series), "model": str(model), "tile_size": 32, "device": "cpu", **params}
    return MapCrops.parse({k: str(v) if isinstance(v, Path) else v for k, v in given.items()}).run(
        ctx or JobContext()
    )


def read(path, **options):
    with rasterio.open(path, **options) as image:
        return image.read()


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


def test_fast_without_a_fast_network_says_the_way_out(world, tmp_path):
    with pytest.raises(InputError, match="holds no fast network") as refused:
        run(world, output=tmp_path / "map.tif", fast=True)
    assert "FAST" in refused.value.advice


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


def test_threads_tiles_and_a_cancelled_run_do_not_change_a_byte(world, tmp_path):
    run(world, output=tmp_path / "a" / "map.tif", workers=1)
    run(world, output=tmp_path / "b" / "map.tif", workers=4)
    ctx = JobContext(lambda kind, fields: ctx.cancel() if fields.get("percent", 0) > 40 else None)
    with pytest.raises(Cancelled) as stopped:
        run(world, ctx, output=tmp_path / "c" / "map.tif", workers=1)
    assert "kept in .map.tif.work beside the output: the same run goes on" in stopped.value.advice
    assert not (tmp_path / "c" / "map.tif").exists()
    assert len(list((tmp_path / "c" / ".map.tif.work").glob("tile-*.npz"))) > 0
    run(world, output=tmp_path / "c" / "map.tif", workers=2)
    for name in ("map.tif", "map.tif.aux.xml"):
        content = (tmp_path / "a" / name).read_bytes()
        assert (tmp_path / "b" / name).read_bytes() == content
        assert (tmp_path / "c" / name).read_bytes() == content
    assert sorted(p.name for p in (tmp_path / "c").iterdir()) == ["map.tif", "map.tif.aux.xml"]


def test_killed_run_goes_on_where_it_was(world, tmp_path, monkeypatch):
    folder = tmp_path / "w"
    world = (
        write_series(folder, height=256, width=256, days=DAYS[:3]),
        write_model(folder / "m.safetensors", width="standard"),
    )
    run(world, output=tmp_path / "plain.tif")
    target = tmp_path / "killed.tif"
    target.write_bytes(b"an older map of this name")
    command = [
        sys.executable,
        "-s",
        str(START),
        "mapcrops",
        "--series",
        str(world[0]),
        "--model",
        str(world[1]),
    ]
    command += ["--output", str(target), "--tile-size", "32", "--workers", "1", "--device", "cpu"]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    work = tmp_path / ".killed.tif.work"
    deadline = time.monotonic() + 120
    while len(list(work.glob("tile-*.npz"))) < 3 and child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    os.kill(child.pid, signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL, "it ended before it could be killed"
    done = len(list(work.glob("tile-*.npz")))
    assert 3 <= done < 64
    assert target.read_bytes() == b"an older map of this name"
    predicted = []
    plain = Predictor.predict_pixels

    def counting(self, values, *rest):
        predicted.append(values.shape[2])
        return plain(self, values, *rest)

    monkeypatch.setattr(Predictor, "predict_pixels", counting)
    said = []
    run(world, JobContext(lambda kind, fields: said.append(fields.get("text", ""))), output=target)
    assert any(f"{done} finished tiles" in text for text in said)
    assert sum(predicted) <= (64 - done) * 32 * 32
    assert target.read_bytes() == (tmp_path / "plain.tif").read_bytes()
    assert not work.exists()


def test_other_inputs_discard_unfinished_work(world, tmp_path):
    ctx = JobContext(lambda kind, fields: ctx.cancel() if fields.get("percent", 0) > 40 else None)
    with pytest.raises(Cancelled):
        run(world, ctx, output=tmp_path / "map.tif", workers=1)
    other = write_model(tmp_path / "other.safetensors", seed=5)
    said = []
    again = JobContext(lambda kind, fields: said.append(fields.get("text", "")))
    run((world[0], other), again, output=tmp_path / "map.tif")
    assert any("thrown away" in text for text in said)
    run((world[0], other), output=tmp_path / "fresh.tif")
    assert (tmp_path / "map.tif").read_bytes() == (tmp_path / "fresh.tif").read_bytes()


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


def test_a_run_that_ends_before_the_first_tile_leaves_no_folder(world, tmp_path, monkeypatch):
    folder = tmp_path / "copy"
    shutil.copytree(world[0].parent, folder)
    for image in (folder / "images").glob("*.tif"):
        image.unlink()
    with pytest.raises(EngineError):
        run((folder / world[0].name, world[1]), output=tmp_path / "map.tif")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=0))
    with pytest.raises(EngineError) as raised:
        run(world, output=tmp_path / "map.tif")
    assert raised.value.code == "DISK_FULL"
    assert [path.name for path in tmp_path.iterdir()] == ["copy"]


def test_pixels_and_parcels_together(world, tmp_path):
    result = run(
        world,
        output=tmp_path / "map.tif",
        parcels=parcels_file(tmp_path / "p.gpkg"),
        output_parcels=tmp_path / "out.gpkg",
    )
    assert set(result.outputs) == {"output", "output_parcels"}


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({}, "no output"),
        ({"output": "map.png"}, "must end in .tif"),
        ({"output": "m.tif", "probabilities": "m.tif"}, "same file"),
        ({"output": "m.tif", "parcels": "p.gpkg"}, "OUTPUT_PARCELS"),
        ({"output_parcels": "o.gpkg"}, "PARCELS"),
        ({"output": "m.tif", "extent": "0,1,0,1"}, "does not overlap"),
        ({"output": "m.tif", "min_mapping_unit": 1e6}, "at most 1024"),
        ({"output": "m.tif", "series": "nothing.json"}, "Time series not found"),
        ({"output": "m.tif", "region": "nothing.gpkg"}, "not found"),
    ],
)
def test_bad_input(world, tmp_path, monkeypatch, params, words):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=words):
        run(world, **params)
    assert not list(tmp_path.glob("*.tif"))


def test_a_unit_that_is_too_large_is_said_before_the_work(world, tmp_path, monkeypatch):
    monkeypatch.setattr(TimeSeries, "read", None)
    with pytest.raises(InputError, match="at most 1024"):
        run(world, output=tmp_path / "m.tif", min_mapping_unit=1e6)


def test_an_input_is_never_overwritten(world, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(world[0].parent, folder)
    series, model = folder / world[0].name, folder / world[1].name
    image = sorted((folder / "images").glob("*.tif"))[0]
    parcels = parcels_file(folder / "parcels.gpkg")
    before = {path: path.read_bytes() for path in (image, parcels)}
    for given in ({"output": image}, {"parcels": parcels, "output_parcels": parcels}):
        with pytest.raises(InputError, match="is an input of this run"):
            run((series, model), **given)
    assert {path: path.read_bytes() for path in before} == before
    assert not list(folder.rglob("*.work"))


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


def test_parcels_elsewhere_name_both_extents(world, tmp_path):
    frame = gpd.GeoDataFrame(geometry=[shapely.box(0, 0, 100, 100)], crs="EPSG:32631")
    frame.to_file(tmp_path / "p.gpkg")
    with pytest.raises(
        InputError, match=r"No parcel of p\.gpkg lies in the mapped region: parcels 0, 0, 100, 100"
    ):
        run(world, parcels=tmp_path / "p.gpkg", output_parcels=tmp_path / "o.gpkg")


def test_model_of_other_bands_names_both_lists(world, tmp_path):
    model = write_model(tmp_path / "m.safetensors", bands=("B02", "B11"))
    with pytest.raises(ModelError) as caught:
        run((world[0], model), output=tmp_path / "m.tif")
    assert "B02, B11" in caught.value.message
    assert "B02, B04, B08" in caught.value.message


def test_other_season_is_said(world, tmp_path):
    model = write_model(tmp_path / "m.safetensors", positions=tuple(range(250, 360, 10)))
    ctx = JobContext()
    run((world[0], model), ctx, output=tmp_path / "m.tif")
    assert any("outside the dates" in text for text in ctx.warnings)
    ctx = JobContext()
    run(world, ctx, output=tmp_path / "n.tif")
    assert ctx.warnings == []


def test_output_folder_is_a_file(world, tmp_path):
    (tmp_path / "folder").write_text("")
    with pytest.raises(EngineError) as caught:
        run(world, output=tmp_path / "folder" / "map.tif")
    assert caught.value.code == "OUTPUT_NOT_WRITABLE"


def test_truncated_image_is_named_and_finished_tiles_stay(world, tmp_path):
    folder = tmp_path / "w"
    shutil.copytree(world[0].parent, folder)
    image = folder / "images" / f"S2_{DAYS[2]}.tif"
    image.write_bytes(image.read_bytes()[:-4000])
    with pytest.raises(InputError, match=image.name):
        run((folder / "series.json", world[1]), output=tmp_path / "map.tif")
    assert not (tmp_path / "map.tif").exists()


def test_disk_too_small_is_said_before_the_work(world, tmp_path, monkeypatch):
    usage = type("U", (), {"free": 1000})
    monkeypatch.setattr("sits_engine.mapping.space.shutil.disk_usage", lambda path: usage)
    with pytest.raises(EngineError) as caught:
        run(world, output=tmp_path / "map.tif")
    assert caught.value.code == "DISK_FULL"


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


@pytest.mark.parametrize("kib", [8, 64, 136, 148, 160])
def test_disk_full_while_working(world, tmp_path, monkeypatch, kib):
    """From a disk that holds no tile to one on which only the last file does not fit."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kib}k", "tmpfs", str(disk)], check=False)
    if mounted.returncode:
        pytest.skip("needs the right to mount a small disk")
    try:
        monkeypatch.setattr("sits_engine.mapping.space.Space.check", lambda space: None)
        with pytest.raises(BaseException) as caught:
            run(world, output=disk / "map.tif")
        assert from_exception(caught.value).code == "DISK_FULL", caught.value
        assert not (disk / "map.tif").exists()
        subprocess.run(["mount", "-o", "remount,size=4m", str(disk)], check=True)
        run(world, output=disk / "map.tif")
        run(world, output=tmp_path / "elsewhere.tif")
        assert (disk / "map.tif").read_bytes() == (tmp_path / "elsewhere.tif").read_bytes()
    finally:
        subprocess.run(["umount", str(disk)], check=True)
