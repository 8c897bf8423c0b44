"""Outputs appear complete or not at all."""

import errno
import sqlite3
from types import SimpleNamespace

import pytest
from pyogrio.errors import DataSourceError, FieldError
from rasterio._err import CPLE_AppDefinedError
from rasterio.errors import CRSError, RasterioIOError

from sits_engine import outputs
from sits_engine.errors import EngineError, InputError, from_exception


def test_published_when_complete(tmp_path):
    final = tmp_path / "été 2019" / "map.tif"
    with outputs.atomic(final) as temporary:
        temporary.write_text("all")
        assert not final.exists()
    assert final.read_text() == "all"
    assert [p.name for p in final.parent.iterdir()] == ["map.tif"]


def write_half(final):
    with outputs.atomic(final) as temporary:
        temporary.write_text("half")
        raise RuntimeError


def test_removed_when_it_fails_and_the_old_file_stays(tmp_path):
    final = tmp_path / "map.tif"
    final.write_text("old")
    with pytest.raises(RuntimeError):
        write_half(final)
    assert final.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["map.tif"]


def test_discard_unfinished_leaves_published_files(tmp_path):
    done, open_ = tmp_path / "a.tif", tmp_path / "b.tif"
    with outputs.atomic(done) as temporary:
        temporary.write_text("all")
    outputs.partial(open_).write_text("half")
    outputs.discard_unfinished()
    assert [p.name for p in tmp_path.iterdir()] == ["a.tif"]


def test_what_sqlite_left_beside_a_geopackage_goes_with_it(tmp_path):
    """An editor that was killed leaves changes in -wal; SQLite would replay them into the new file."""
    final, new = tmp_path / "w.gpkg", tmp_path / "new.gpkg"
    editor = sqlite3.connect(final)
    editor.executescript("PRAGMA journal_mode=WAL; CREATE TABLE ticks (n); INSERT INTO ticks VALUES (1);")
    left = {name: (tmp_path / name).read_bytes() for name in ("w.gpkg-wal", "w.gpkg-shm")}
    editor.close()
    for name, content in left.items():
        (tmp_path / name).write_bytes(content)
    for name in ("w.gpkg-journal", "another.gpkg-wal", "w.tif-wal"):
        (tmp_path / name).write_bytes(b"x")
    with sqlite3.connect(new) as made:
        made.execute("CREATE TABLE words (n)")
    made.close()
    with outputs.atomic(final) as temporary:
        temporary.write_bytes(new.read_bytes())
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"w.gpkg", "new.gpkg", "another.gpkg-wal", "w.tif-wal"}
    reader = sqlite3.connect(final)
    assert reader.execute("SELECT name FROM sqlite_master").fetchall() == [("words",)]
    reader.close()


@pytest.mark.parametrize("letter", ["x", "é", "図", "🌾"])
def test_names_as_long_as_the_disk_allows(tmp_path, letter):
    final = tmp_path / (letter * (251 // len(letter.encode())) + ".tif")
    with outputs.atomic(final) as temporary:
        temporary.write_text("all")
        assert len(temporary.name.encode()) < 255
    assert [p.name for p in tmp_path.iterdir()] == [final.name]


def test_a_file_in_place_of_the_folder(tmp_path):
    (tmp_path / "folder").write_text("I am a file")
    with pytest.raises(EngineError) as raised:
        outputs.check_writable(tmp_path / "folder" / "map.tif")
    assert raised.value.code == "OUTPUT_NOT_WRITABLE"
    assert "map.tif" in raised.value.message
    assert raised.value.advice


def test_a_folder_in_place_of_the_file(tmp_path):
    with pytest.raises(EngineError, match="is a folder"):
        outputs.check_writable(tmp_path)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "DISK_FULL"),
        (RuntimeError("pwrite: No space left on device"), "DISK_FULL"),
        (PermissionError(errno.EACCES, "Permission denied", "/x/map.tif"), "OUTPUT_NOT_WRITABLE"),
        (OSError(errno.EROFS, "Read-only file system", "/x/map.tif"), "OUTPUT_NOT_WRITABLE"),
        (MemoryError(), "HOST_OOM"),
        (ValueError("odd"), "INTERNAL"),
    ],
)
def test_every_exception_becomes_an_error_with_advice(error, code):
    shown = from_exception(error)
    assert shown.code == code
    assert shown.message
    assert shown.advice


def test_gpu_memory_has_its_own_code():
    import torch

    assert from_exception(torch.OutOfMemoryError("CUDA out of memory")).code == "DEVICE_OOM"


def test_a_full_disk_is_named_by_what_led_to_the_error(tmp_path):
    error = RuntimeError("bad offset")
    error.__cause__ = OSError("write: No space left on device")
    with pytest.raises(EngineError) as caught, outputs.naming_full_disk(tmp_path, "Go on later."):
        raise error
    assert caught.value.code == "DISK_FULL"
    with pytest.raises(RuntimeError, match="bad offset"), outputs.naming_full_disk(tmp_path):
        raise RuntimeError("bad offset")


@pytest.mark.parametrize(
    "error",
    [
        KeyError("a defect"),
        RuntimeError("bad shape"),
        FileNotFoundError(errno.ENOENT, "No such file", "/x/parcels.gpkg"),
        CRSError("no such system"),
        FieldError("no such field"),
        sqlite3.IntegrityError("not unique"),
        InputError("Image can't be read: /x/a.tif."),
    ],
)
def test_errors_that_no_full_disk_leads_to_stay_what_they_are(error, tmp_path, monkeypatch):
    monkeypatch.setattr(outputs.shutil, "disk_usage", lambda folder: SimpleNamespace(free=1000))
    with pytest.raises(type(error)) as caught, outputs.atomic(tmp_path / "m.tif"):
        raise error
    assert caught.value is error


@pytest.mark.parametrize(
    ("error", "free"),
    [
        (RasterioIOError("bad offset"), 2**25),
        (CPLE_AppDefinedError(1, 1, "TIFFAppendToStrip:Seek error"), 2**25),
        (DataSourceError("Failed to commit transaction"), 2**25),
        (sqlite3.OperationalError("disk I/O error"), 2**25),
        (SystemError("returned a result with an exception set"), 2**25),
        (OSError("10 requested and 5 written"), 1000),
        (InputError("Image can't be read: /x/.a.partial-7.tif."), 1000),
        (OSError(errno.ENOSPC, "voll"), 2**40),
        (OSError(errno.EDQUOT, "voll"), 2**40),
    ],
)
def test_errors_of_writers_on_a_full_disk_are_told_as_such(error, free, tmp_path, monkeypatch):
    monkeypatch.setattr(outputs.shutil, "disk_usage", lambda folder: SimpleNamespace(free=free))
    with pytest.raises(EngineError) as caught, outputs.atomic(tmp_path / "m.tif"):
        raise error
    assert caught.value.code == "DISK_FULL"
    if free < 2**40:
        monkeypatch.setattr(outputs.shutil, "disk_usage", lambda folder: SimpleNamespace(free=2**27))
        with pytest.raises(type(error)) as kept, outputs.atomic(tmp_path / "m.tif"):
            raise error
        assert kept.value is error
