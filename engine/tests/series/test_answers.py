"""What servers answered where GDAL doesn't say it, and that nothing of it shows a key."""

import logging
import traceback

import numpy as np
import pytest
from imagery import write_image
from rasterio.shutil import copy
from support.object_server import serving

from sits_engine.addresses import PublicFormatter
from sits_engine.errors import EngineError
from sits_engine.series import remote
from sits_engine.series.pool import DatasetPool

QUERY = "?sig=SECRETSIG123&se=2026"
SECRETS = ("SECRETSIG123", "hunter2", "user7")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(remote, "PAUSE", 0.01)


@pytest.fixture
def server(tmp_path):
    values = np.random.default_rng(0).integers(1, 4000, (3, 256, 256)).astype("uint16")
    plain = write_image(tmp_path / "plain.tif", values)
    copy(plain, tmp_path / "a.tif", driver="COG", blocksize=64, compress="DEFLATE", overviews="NONE")
    with serving(tmp_path) as objects:
        yield objects


def address(server, name="a.tif"):
    return server.url.replace("://", "://user7:hunter2@") + name + QUERY


def repeated(server, monkeypatch, faults):
    """The server answers with these faults in turn, for ever."""
    state = {"n": -1}

    def fault(path):
        state["n"] += 1
        return faults[state["n"] % len(faults)]

    monkeypatch.setattr(server, "fault", fault)


def refused(href, notices=None):
    """The error of reading all of a file."""
    pool = DatasetPool(notice=None if notices is None else notices.append)
    with pytest.raises(EngineError) as error:
        pool.read(href, lambda source: source.read())
    return error.value


@pytest.mark.parametrize("faults", [[None, "cut"], [None, "damage"], [None, 503]])
def test_no_key_is_shown(server, monkeypatch, caplog, faults):
    """Cut and noisy answers: libtiff names the bare file with its query."""
    repeated(server, monkeypatch, faults)
    notices = []
    with caplog.at_level(logging.DEBUG):
        error = refused(address(server), notices)
        logging.getLogger("job").error("failed", exc_info=error)
    shown = PublicFormatter("%(message)s")
    said = [
        str(error),
        repr(error.details),
        *notices,
        "".join(traceback.format_exception(error)),
        *(shown.format(record) for record in caplog.records),
    ]
    assert len(notices) == 1
    assert not [text for text in said for secret in SECRETS if secret in text]
    assert any("a.tif" in text for text in said)


def test_a_status_that_comes_now_and_then_is_named(server, monkeypatch):
    """The size comes and the header doesn't: to GDAL such a file is no image."""
    repeated(server, monkeypatch, [None, 503])
    error = refused(address(server))
    assert "HTTP 503 (5 tries)" in error.message
    assert error.details["status"] == 503


@pytest.mark.parametrize("fault", [None, "whole"])
def test_a_web_page_is_no_image(server, fault, tmp_path):
    (tmp_path / "page.tif").write_text("\n<!DOCTYPE html><title>Log in</title>" * 5000)
    if fault:
        server.always["page.tif"] = fault
    error = refused(address(server, "page.tif"))
    assert "the server sent a web page, not an image (2 tries)" in error.message
    assert "login may be needed" in error.advice
    assert "later" not in error.advice
    assert error.details["lasting"]


def test_noise_is_no_web_page(server, tmp_path):
    (tmp_path / "noise.tif").write_bytes(b"II*\x00" + bytes(range(256)) * 50)
    assert "web page" not in refused(address(server, "noise.tif")).message


def test_listening_leaves_the_log_as_it_was(server, caplog):
    logger = logging.getLogger("rasterio._env")
    server.once["a.tif"] = [503, None, None]
    DatasetPool().read(address(server), lambda source: source.read(1))
    assert logger.level == logging.NOTSET
    assert not logger.filters
    assert not [record for record in caplog.records if "VSICURL" in record.getMessage()]


def test_of_many_files_that_are_tried_again_some_are_named(server):
    notices = []
    pool = DatasetPool(notice=notices.append)
    for number in range(30):
        pool._say_again(f"http://h/{number % 25}.tif", "HTTP 503")
    assert len(notices) == 21
    assert notices[0] == "http://h/0.tif can't be read at once (HTTP 503): trying again."
    assert notices[-1].startswith("More images")
