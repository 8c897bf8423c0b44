"""Crop maps that can't be finished: cancelled, killed, refused, on a full disk; what is left, and goes on."""

import os
import shutil
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import geopandas as gpd
import pytest
import shapely
from support.crop_maps import START, run
from support.locks import written_by_another
from support.maps import DAYS, parcels_file, write_model, write_series

from sits_engine.context import JobContext
from sits_engine.errors import Cancelled, EngineError, InputError, ModelError, from_exception
from sits_engine.models.inference import Predictor
from sits_engine.series.time_series import TimeSeries


def test_fast_without_a_fast_network_says_the_way_out(world, tmp_path):
    with pytest.raises(InputError, match="holds no fast network") as refused:
        run(world, output=tmp_path / "map.tif", fast=True)
    assert "FAST" in refused.value.advice


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


@pytest.mark.parametrize("what", ["output", "probabilities", "output_polygons", "output_parcels"])
def test_an_output_that_another_run_writes_is_refused(world, tmp_path, what):
    files = {
        "output": tmp_path / "map.tif",
        "probabilities": tmp_path / "shares.tif",
        "output_polygons": tmp_path / "patches.gpkg",
        "output_parcels": tmp_path / "parcels.gpkg",
    }
    parcels = parcels_file(tmp_path / "p.gpkg")
    with written_by_another(files[what]) as folder:
        with pytest.raises(InputError, match="Another run is writing the same output"):
            run(world, parcels=parcels, **files)
        assert sorted(tmp_path.iterdir()) == sorted([folder, parcels])


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
