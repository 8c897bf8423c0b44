"""`sits:setupengine` through real qgis_process, with a stand-in for uv that takes its time."""

import json
import signal

import pytest
from fake_uv import FakeUv
from processes import gone_within, wait_for

SETUP = ("run", "sits:setupengine", "--")


@pytest.fixture
def fake_uv(headless):
    fake = FakeUv(headless.folder / "bin")
    headless.env["PATH"] = f"{fake.folder}:{headless.env['PATH']}"
    for name in ("SITS_QGIS_INTERPRETER", "PIP_FIND_LINKS", "UV_FIND_LINKS"):
        headless.env.pop(name, None)
    return fake


def test_set_up_then_run(headless, fake_uv):
    status, out, err = headless.call("--json", *SETUP)
    assert status == 0, err
    assert json.loads(out)["results"]["PYTHON"].startswith(headless.env["SITS_QGIS_HOME"])
    folder = headless.folder / "out"
    status, _, err = headless.call("run", "sits:createdemodata", "--", f"OUTPUT_FOLDER={folder}")
    assert status == 0, err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_installer_ends_with_qgis_and_the_next_run_completes(headless, fake_uv, number):
    fake_uv.order("slow")
    process = headless.start(*SETUP)
    pid = wait_for(lambda: fake_uv.pid)
    process.send_signal(number)
    assert gone_within([pid], 2.0)
    _, err = process.communicate(timeout=10)
    assert process.returncode != 0
    if number == signal.SIGINT:
        assert "what was downloaded is kept" in err
    status, _, err = headless.call(
        "run", "sits:createdemodata", "--", f"OUTPUT_FOLDER={headless.folder / 'a'}"
    )
    assert status == 1
    assert "Set up engine" in err
    fake_uv.order("")
    status, _, err = headless.call(*SETUP)
    assert status == 0, err


def test_a_bad_folder_of_wheels_is_refused_before_anything_starts(headless, fake_uv):
    status, _, err = headless.call(*SETUP, f"WHEELS={headless.folder / 'none'}")
    assert status == 1
    assert f"{headless.folder / 'none'} does not exist" in err
    assert fake_uv.calls == []
