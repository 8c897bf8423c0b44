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


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGHUP])
def test_the_engine_ends_with_qgis(headless, number):
    headless.orders(behave="hang")
    process = headless.start(*DEMO, f"OUTPUT_FOLDER={headless.folder / 'out'}")
    pids = engine_pids(headless)
    process.send_signal(number)
    process.communicate(timeout=10)
    assert process.returncode != 0
    assert gone_within(pids, 2.0)
