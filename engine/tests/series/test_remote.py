"""Images on servers: what is asked for, what is tried again, and what is said at last."""

import logging
import os
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from datetime import time as clock
from pathlib import Path

import numpy as np
import pytest
import rasterio
from imagery import BANDS, DATES, write_image
from rasterio.errors import RasterioIOError
from rasterio.shutil import copy
from support.object_server import serving

import sits_engine
from sits_engine.addresses import PublicFormatter, public
from sits_engine.errors import Cancelled, EngineError, InputError
from sits_engine.series import remote
from sits_engine.series.item_collection import Document, write_document
from sits_engine.series.pool import DatasetPool
from sits_engine.series.probe import probe
from sits_engine.series.scenes import Band, Scene
from sits_engine.series.time_series import TimeSeries
from sits_engine.series.types import Window


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Short pauses; a silent server is given up after a second."""
    monkeypatch.setattr(remote, "PAUSE", 0.01)
    monkeypatch.setenv("GDAL_HTTP_LOW_SPEED_TIME", "1")


@pytest.fixture
def server(tmp_path):
    with serving(tmp_path) as objects:
        yield objects


def image(folder, name="a.tif", size=256, start=0):
    """A cloud-optimised image of random numbers, which compress badly."""
    values = np.random.default_rng(start).integers(1, 4000, (3, size, size)).astype("uint16")
    plain = write_image(folder / "plain.tif", values)
    copy(plain, folder / name, driver="COG", blocksize=64, compress="DEFLATE", overviews="NONE")
    plain.unlink()
    return values


def read(pool, href, window=(64, 64, 128, 128)):
    where = rasterio.windows.Window(*window)
    return pool.read(href, lambda source: source.read(window=where))


def in_new_process(code, **variables):
    """What Python prints that runs `code` with more variables in its environment."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GDAL_")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**environment, **variables},
        cwd=Path(sits_engine.__file__).parents[1],
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_only_the_header_and_the_wanted_ranges_are_fetched(tmp_path, server):
    values = image(tmp_path, size=1024)
    pool = DatasetPool()
    got = read(pool, server.url + "a.tif", (128, 128, 192, 192))
    np.testing.assert_array_equal(got, values[:, 128:320, 128:320])
    asked = [(seen.method, seen.path) for seen in server.seen]
    # the size, the header, and a range for each of three rows of blocks; no folder, no side-car files
    assert asked == [("HEAD", "/a.tif")] + [("GET", "/a.tif")] * 4
    blocks = 9 * 64 * 64 * 3 * 2
    assert blocks * 0.7 < server.sent < 32768 + blocks
    before = len(server.seen)
    read(pool, server.url + "a.tif", (512, 512, 64, 64))
    assert len(server.seen) == before + 1  # the handle is kept: no size, no header


@pytest.mark.parametrize("fault", [503, 429, 500, "reset", "stall", "cut", "damage"])
def test_what_may_pass_is_tried_again(tmp_path, server, fault):
    values = image(tmp_path)
    server.once["a.tif"] = [fault] * 2
    np.testing.assert_array_equal(read(DatasetPool(), server.url + "a.tif"), values[:, 64:192, 64:192])
    pool = DatasetPool()
    image(tmp_path, "b.tif")
    read(pool, server.url + "b.tif", (0, 0, 64, 64))
    server.once["b.tif"] = [fault] * (4 if fault != "stall" else 2)  # now while a window is read
    np.testing.assert_array_equal(read(pool, server.url + "b.tif"), values[:, 64:192, 64:192])


@pytest.mark.parametrize(
    ("fault", "tries", "words"),
    [
        (404, 2, r"HTTP 404 \(2 tries\).*is gone"),
        (403, 2, r"HTTP 403 \(2 tries\).*refuses access.*AWS_PROFILE"),
        (503, 5, r"HTTP 503 \(5 tries\).*run it again"),
        ("reset", 5, r"reset by peer \(5 tries\)"),
        ("whole", 2, r"Range downloading not supported.*\(2 tries\).*download them, and build"),
    ],
)
def test_what_lasts_is_said_with_the_way_out(tmp_path, server, fault, tries, words):
    image(tmp_path)
    server.always["a.tif"] = fault
    with pytest.raises(EngineError, match=rf"Can't read {server.url}a\.tif: .*{words}") as error:
        read(DatasetPool(), server.url + "a.tif?sig=geheim")
    assert error.value.code == "NETWORK"
    if fault == "whole":  # a copy reads parts as well
        assert "copy" not in error.value.advice
    assert error.value.details["tries"] == tries
    assert error.value.details["status"] == (fault if isinstance(fault, int) else None)


def test_an_unknown_key_lasts():
    """The words of S3, as GDAL passes them on without a status."""
    said = remote.failure(RasterioIOError("The AWS Access Key Id you provided does not exist in our records"))
    assert (said.reason, said.lasting) == ("HTTP 403", True)


@pytest.mark.parametrize("fault", [503, 404, 403])
def test_a_failure_is_not_remembered(tmp_path, server, fault):
    """GDAL believes for the rest of the process that a file isn't there, unless it is told otherwise."""
    values = image(tmp_path)
    server.always["a.tif"] = fault
    with pytest.raises(EngineError):
        read(DatasetPool(), server.url + "a.tif")
    server.always.clear()
    np.testing.assert_array_equal(read(DatasetPool(), server.url + "a.tif"), values[:, 64:192, 64:192])


def test_pauses_grow_and_a_cancelled_job_does_not_wait(tmp_path, server, monkeypatch):
    image(tmp_path)
    server.always["a.tif"] = 503
    slept = []
    monkeypatch.setattr(remote, "_wait", lambda seconds, halted: slept.append(seconds))
    monkeypatch.setattr(remote, "PAUSE", 1.0)
    with pytest.raises(EngineError):
        read(DatasetPool(), server.url + "a.tif")
    assert len(slept) == 4
    assert all(2**n / 2 <= pause <= 2**n for n, pause in enumerate(slept))
    assert len({pause / 2**n for n, pause in enumerate(slept)}) == 4
    monkeypatch.undo()
    stop = threading.Event()
    threading.Timer(0.3, stop.set).start()
    began = time.monotonic()
    monkeypatch.setattr(remote, "PAUSE", 60.0)
    with pytest.raises(Cancelled):
        read(DatasetPool(halted=stop.is_set), server.url + "a.tif")
    assert time.monotonic() - began < 20


def test_opening_leaves_other_threads_alone(tmp_path, server):
    """A silent server must not hold Python's lock: a job could not even be cancelled."""
    image(tmp_path)
    server.always["a.tif"] = "stall"
    beats, stop = [], threading.Event()

    def beat():
        while not stop.wait(0.05):
            beats.append(time.monotonic())

    thread = threading.Thread(target=beat)
    thread.start()
    with pytest.raises(EngineError, match="too slow"):
        remote.tried("x", lambda fresh: remote.open_raster(server.url + "a.tif", fresh=fresh), tries=1)
    stop.set()
    thread.join()
    assert len(beats) > 5


def series_of(folder, url, sizes=128):
    """A series of five dates whose images lie at `url`; written to `folder`."""
    scenes = []
    for number, day in enumerate(DATES):
        name = f"S2_{day:%Y%m%d}.tif"
        image(folder, name, sizes, start=number)
        info = probe(str(folder / name))
        bands = tuple(
            Band(band, f"{url}{name}?X-Amz-Signature=geheim", index, "uint16", 0, 1e-4, 0, info.grid)
            for index, band in enumerate(BANDS, 1)
        )
        when = datetime.combine(day, clock(), UTC)
        scenes.append(Scene(f"S2_{day:%Y%m%d}", when, bands))
    write_document(folder / "series.json", Document(tuple(scenes)))
    return folder / "series.json"


def test_a_series_is_read_as_from_local_files(tmp_path, server):
    path = series_of(tmp_path, server.url)
    series = TimeSeries.open(path)
    assert series.remote
    cube = series.read(series.grid.whole, BANDS)
    for number in range(len(DATES)):
        expected = np.random.default_rng(number).integers(1, 4000, (3, 128, 128))
        np.testing.assert_array_equal(cube.values[number], expected)
    assert cube.valid.all()
    assert cube.missing == ()
    assert {seen.query for seen in server.seen} == {"X-Amz-Signature=geheim"}


def test_an_unreadable_image_is_named_with_item_date_and_band(tmp_path, server, caplog):
    series = TimeSeries.open(series_of(tmp_path, server.url))
    server.always["S2_20190505.tif"] = 503
    with caplog.at_level(logging.DEBUG), pytest.raises(EngineError) as error:
        series.read(series.grid.whole, BANDS)
    said = str(error.value)
    for part in ("S2_20190505", "2019-05-05", "B02, B04, B08", "HTTP 503", "5 tries", "UNREADABLE"):
        assert part in said
    assert "geheim" not in said + repr(error.value.details)
    shown = PublicFormatter("%(name)s: %(message)s")
    assert "geheim" not in "".join(shown.format(record) for record in caplog.records)


def test_what_cannot_be_read_is_left_out_where_the_user_allows(tmp_path, server):
    notices = []
    path = series_of(tmp_path, server.url)
    series = TimeSeries.open(path, unreadable="missing", notice=notices.append)
    server.always["S2_20190505.tif"] = 404
    one, other = Window(0, 0, 64, 128), Window(64, 0, 64, 128)
    cube = series.read(one, BANDS)
    assert [m.item for m in cube.missing] == ["S2_20190505"]
    assert not (cube.valid[2] | cube.observed[2] | cube.values[2].any(axis=0)).any()
    assert cube.valid[[0, 1, 3, 4]].all()
    before = server.tries("S2_20190505.tif")
    assert series.read(other, BANDS).missing[0].reason == "HTTP 404"
    assert server.tries("S2_20190505.tif") == before  # it is gone: not asked for again
    assert len(notices) == 1
    (sentence,) = series.missing.sentences()
    assert "S2_20190505 of 2019-05-05" in sentence
    assert "left out of 2 windows (16384 pixels)" in sentence
    assert "geheim" not in sentence + notices[0]


def test_after_an_outage_an_image_is_read_again(tmp_path, server):
    series = TimeSeries.open(series_of(tmp_path, server.url), unreadable="missing")
    window, other = Window(0, 0, 64, 64), Window(64, 64, 64, 64)
    server.always["S2_20190505.tif"] = 503
    assert len(series.read(window, BANDS).missing) == 1
    server.always.clear()
    assert series.read(window, BANDS).missing == ()
    server.always["S2_20190505.tif"] = 503
    for _ in range(3):
        assert len(series.read(other, BANDS).missing) == 1
    server.always.clear()
    assert len(series.read(other, BANDS).missing) == 1  # three times in succession: given up


def test_a_place_without_any_image_is_an_error(tmp_path, server):
    series = TimeSeries.open(series_of(tmp_path, server.url), unreadable="missing")
    for day in DATES:
        server.always[f"S2_{day:%Y%m%d}.tif"] = 403
    with pytest.raises(EngineError, match="None of 5 images of a place can be read"):
        series.read(series.grid.whole, BANDS)


def test_local_files_may_be_missing_or_damaged_as_well(tmp_path):
    folder = tmp_path / "local"
    path = series_of(folder, f"{folder}/")
    text = path.read_text().replace("?X-Amz-Signature=geheim", "")
    path.write_text(text)
    (folder / "S2_20190505.tif").unlink()
    damaged = folder / "S2_20190405.tif"
    damaged.write_bytes(damaged.read_bytes()[:60000])
    with pytest.raises(InputError, match=r"2019-05-05 not found.*UNREADABLE"):
        TimeSeries.open(path)
    series = TimeSeries.open(path, unreadable="missing")
    cube = series.read(series.grid.whole, BANDS)
    assert [m.item for m in cube.missing] == ["S2_20190405", "S2_20190505"]
    assert series.read(Window(0, 0, 64, 64), BANDS).valid[1].all()  # its first block is whole


def test_s3_is_signed_with_the_users_own_keys(tmp_path, server, monkeypatch):
    bucket = tmp_path / "bucket"
    values = image(bucket)
    for name, value in {
        "AWS_S3_ENDPOINT": server.url.removeprefix("http://").strip("/"),
        "AWS_HTTPS": "NO",
        "AWS_VIRTUAL_HOSTING": "FALSE",
        "AWS_REGION": "eu-central-1",
        "AWS_ACCESS_KEY_ID": "AKIATESTTESTTEST",
        "AWS_SECRET_ACCESS_KEY": "sehrgeheimsehrgeheim",
        "AWS_REQUEST_PAYER": "requester",
    }.items():
        monkeypatch.setenv(name, value)
    np.testing.assert_array_equal(read(DatasetPool(), "s3://bucket/a.tif"), values[:, 64:192, 64:192])
    for seen in server.seen:
        assert seen.path == "/bucket/a.tif"
        assert seen.headers["Authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKIATESTTESTTEST/")
        assert seen.headers["x-amz-request-payer"] == "requester"
    server.always["b.tif"] = 403
    with pytest.raises(EngineError, match=r"Can't read s3://bucket/b\.tif: HTTP 403 \(2 tries\)") as error:
        read(DatasetPool(), "s3://bucket/b.tif")
    assert "AKIATEST" not in str(error.value)
    assert "geheim" not in str(error.value)
    monkeypatch.setenv("AWS_NO_SIGN_REQUEST", "YES")
    image(bucket, "open.tif")
    server.seen.clear()
    read(DatasetPool(), "s3://bucket/open.tif")
    assert {"Authorization" in seen.headers for seen in server.seen} == {False}


def test_https_with_an_own_certificate(tmp_path):
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext"
    files = ["subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    made = subprocess.run(
        [*command.split(), *files],
        capture_output=True,
        check=False,
    )
    if made.returncode:
        pytest.skip("no openssl that can make certificates")
    values = image(tmp_path)
    with serving(tmp_path, certificate=(certificate, key)) as server:
        with pytest.raises(EngineError, match=r"certificate.*\(2 tries\).*CURL_CA_BUNDLE"):
            read(DatasetPool(), server.url + "a.tif")
        # GDAL takes the name of the certificates once a process
        done = in_new_process(
            "from sits_engine.series.probe import look\n"
            f"print(look({server.url + 'a.tif'!r}, lambda source: int(source.read().sum())))",
            CURL_CA_BUNDLE=str(certificate),
        )
    assert done == str(int(values.sum()))


def test_settings_of_the_user_win():
    code = (
        "import os, sits_engine.series.pool\n"
        "print(os.environ['GDAL_HTTP_LOW_SPEED_TIME'], os.environ['GDAL_HTTP_CONNECTTIMEOUT'])"
    )
    assert in_new_process(code, GDAL_HTTP_LOW_SPEED_TIME="33") == "33 10"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("at https://u:p@host/a.tif?sig=x&b=1: 403", "at https://host/a.tif 403"),
        ("'/vsicurl/https://host/a.tif?sig=x' is not", "'/vsicurl/https://host/a.tif' is not"),
        ("/vsicurl?max_retry=3&url=https%3A%2F%2Fhost%3Fsig=x ends", "/vsicurl ends"),
        ("s3://bucket/key#x", "s3://bucket/key"),
        ("What is this? A path: C:/a?b", "What is this? A path: C:/a?b"),
    ],
)
def test_keys_are_not_shown(text, shown):
    assert public(text) == shown


def test_keys_of_the_environment_are_not_shown(monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "sehrgeheimsehrgeheim")
    assert public("key sehrgeheimsehrgeheim, short") == "key (AWS_SECRET_ACCESS_KEY), short"


def test_an_image_with_too_few_bands_is_another_file(tmp_path, server):
    image(tmp_path)
    for href in (server.url + "a.tif?sig=geheim", str(tmp_path / "a.tif")):
        with pytest.raises(InputError, match=r"a\.tif has fewer bands than when .* was built") as error:
            DatasetPool().read(href, lambda source: source.read(4))
        assert "build the series again" in error.value.advice
        assert "geheim" not in str(error.value)


def test_what_has_no_place_makes_no_noise(tmp_path, server):
    """A page or picture in place of an image: our own words say it, not a warning of a library."""
    (tmp_path / "page.tif").write_text("<!doctype html><html>Sign in</html>")
    with rasterio.open(
        tmp_path / "p.tif", "w", driver="GTiff", width=9, height=9, count=1, dtype="uint8"
    ) as image:
        image.write(np.ones((1, 9, 9), "uint8"))
    code = (
        "from sits_engine.series import answers, remote\n"
        f"print(answers.is_web_page('/vsicurl/{server.url}page.tif'))\n"
        f"remote.open_raster('{server.url}p.tif').close()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(sits_engine.__file__).parents[1],
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    assert (done.stdout, done.stderr) == ("True\n", "")
