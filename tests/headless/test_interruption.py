"""Ctrl-C, SIGTERM and SIGKILL of real qgis_process: no engine stays, nothing half-written, a status that "
"says so."""

import json
import signal
import time

import pytest
from processes import gone_within, wait_for

DEMO = ("run", "sits:createdemodata", "--")


def engine_pids(headless):
    return wait_for(lambda: headless.pids.is_file() and json.loads(headless.pids.read_text() or "null"))


@pytest.mark.parametrize("behave", ["hang", "ignore"])
def test_ctrl_c_cancels_within_two_seconds(headless, behave):
    headless.orders(behave=behave)
    folder = headless.folder / "out"
    folder.mkdir()
    process = headless.start(*DEMO, f"OUTPUT_FOLDER={folder}")
    pids = engine_pids(headless)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    sent = time.monotonic()
    assert gone_within(pids, 2.0)
    assert time.monotonic() - sent < 2.0
    _, err = process.communicate(timeout=10)
    assert process.returncode == 1
    assert "Cancelled" in err
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("behave", ["hang", "ignore"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_request_to_end_is_answered_with_a_sentence(headless, number, behave):
    headless.orders(behave=behave)
    folder = headless.folder / "out"
    folder.mkdir()
    process = headless.start(*DEMO, f"OUTPUT_FOLDER={folder}")
    pids = engine_pids(headless)
    time.sleep(0.5)
    process.send_signal(number)
    assert gone_within(pids, 2.2)
    _, err = process.communicate(timeout=10)
    assert process.returncode == 1
    assert f"Stopped by {number.name}. Nothing half-written was kept" in err
    assert list(folder.iterdir()) == []


def test_the_engine_ends_with_qgis(headless):
    headless.orders(behave="hang")
    process = headless.start(*DEMO, f"OUTPUT_FOLDER={headless.folder / 'out'}")
    pids = engine_pids(headless)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=10)
    assert process.returncode != 0
    assert gone_within(pids, 2.0)
