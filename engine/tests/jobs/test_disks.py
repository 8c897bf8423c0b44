"""Real disks that are full or read-only: the error names it, nothing half-written stays."""

import pytest
from support.disks import mounted
from support.maps import parcels_file, write_model, write_series

from sits_engine.context import JobContext
from sits_engine.errors import from_exception
from sits_engine.jobs import job_class


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 64 KiB."""
    with mounted(tmp_path / "small disk", "size=64k") as folder:
        yield folder


@pytest.fixture
def read_only_disk(tmp_path):
    """A disk that can't be written."""
    with mounted(tmp_path / "read-only disk", "size=1m,ro") as folder:
        yield folder


def fails(job, **params):
    """The error of a job as the user sees it."""
    with pytest.raises(Exception) as raised:
        job_class(job).parse(params).run(JobContext())
    return from_exception(raised.value)


def left(folder):
    """Files that a failed job left."""
    return [p for p in folder.rglob("*") if p.is_file()]


@pytest.fixture
def inputs(tmp_path):
    """A series and a model that fits it."""
    return write_series(tmp_path / "series", height=400, width=400), write_model(
        tmp_path / "model.safetensors"
    )


def test_demo_data_on_a_full_disk(small_disk):
    error = fails("createdemodata", output_folder=str(small_disk / "demo"), size=96, dates=4)
    assert error.code == "DISK_FULL"
    assert error.advice
    assert left(small_disk) == []


def test_map_on_a_full_disk(small_disk, inputs):
    series, model = inputs
    error = fails(
        "mapcrops", series=str(series), model=str(model), output=str(small_disk / "map.tif"), device="cpu"
    )
    assert error.code == "DISK_FULL"
    assert not (small_disk / "map.tif").exists()


def test_a_disk_that_fills_up_between_tiles_is_named(small_disk, inputs, monkeypatch):
    monkeypatch.setattr("sits_engine.mapping.space.Space.check", lambda self: None)
    series, model = inputs
    (small_disk / "other").write_bytes(bytes(2**14))
    error = fails(
        "mapcrops", series=str(series), model=str(model), output=str(small_disk / "map.tif"), device="cpu",
        tile_size=128,
    )  # fmt: skip
    assert error.code == "DISK_FULL"
    assert error.message == f"The disk of {small_disk} is full."
    assert "finished tiles are kept" in error.advice
    names = {path.name for path in left(small_disk)}
    assert any(name.endswith(".npz") for name in names)
    assert not any(name.endswith(".part") for name in names)


def test_polygons_that_will_not_fit_are_said_before(tmp_path, inputs):
    series, model = inputs
    with mounted(tmp_path / "d", "size=1200k") as disk:
        files = {"output": str(disk / "map.tif"), "output_polygons": str(disk / "map.gpkg")}
        error = fails("mapcrops", series=str(series), model=str(model), device="cpu", **files)
        assert error.code == "DISK_FULL"
        assert "The map needs about" in error.message
        assert left(disk) == []


def test_parcels_that_will_not_fit_are_said_before(tmp_path, inputs, monkeypatch):
    """On a disk of their own, with a map and without one; the disk is named as it is known everywhere."""
    series, model = inputs
    monkeypatch.chdir(tmp_path)
    parcels = parcels_file(tmp_path / "parcels.gpkg")
    with mounted(tmp_path / "d", "size=64k") as disk:
        files = {"parcels": str(parcels), "output_parcels": "d/new/p.gpkg"}
        for given in (files, files | {"output": "map.tif"}):
            error = fails("mapcrops", series=str(series), model=str(model), device="cpu", **given)
            assert error.code == "DISK_FULL"
            assert f" in {disk / 'new'} (p.gpkg) while it is made; " in error.message
        assert left(disk) == []
    assert not (tmp_path / "map.tif").exists()


def test_clipped_copy_on_a_full_disk(small_disk, inputs):
    images = str(inputs[0].parent / "images")
    error = fails(
        "buildtimeseries",
        input_folder=images,
        clip_folder=str(small_disk / "copy"),
        output=str(inputs[0].parent / "clipped.json"),
    )
    assert error.code == "DISK_FULL"
    assert not (inputs[0].parent / "clipped.json").exists()


@pytest.mark.parametrize("job", ["createdemodata", "buildtimeseries", "mapcrops"])
def test_read_only_disk(read_only_disk, inputs, job):
    series, model = inputs
    params = {
        "createdemodata": {"output_folder": str(read_only_disk / "demo"), "size": 96, "dates": 4},
        "buildtimeseries": {
            "input_folder": str(series.parent / "images"),
            "output": str(read_only_disk / "series.json"),
        },
        "mapcrops": {
            "series": str(series),
            "model": str(model),
            "output": str(read_only_disk / "map.tif"),
            "device": "cpu",
        },
    }
    error = fails(job, **params[job])
    assert error.code == "OUTPUT_NOT_WRITABLE"
    assert "read-only disk" in error.message
    assert error.advice
