"""The real engine behind real qgis_process: interrupted, it leaves no process and nothing half-written."""

import json
import signal
import time
from pathlib import Path

import pytest
from processes import gone_within, wait_for


def children(pid):
    """Direct children of a process, by the command that they run."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in found if b"serve-job" in Path(f"/proc/{child}/cmdline").read_bytes()]


def test_status_names_the_devices(real):
    status, out, err = real.call("--json", "run", "sits:enginestatus", "--")
    assert status == 0, err
    text = json.loads(out)["results"]["STATUS"]
    assert "Device: cpu" in text
    assert "missing" not in text


def files(folder):
    return {path for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_interrupted_in_the_middle_of_writing(real, number):
    folder = real.folder / "données"
    process = real.start("run", "sits:createdemodata", "--", f"OUTPUT_FOLDER={folder}", "SIZE=512")
    engine = wait_for(lambda: children(process.pid), 30)
    # Some images are there, most are not.
    wait_for(lambda: len([p for p in files(folder) if p.suffix == ".tif"]) >= 2, 60)
    process.send_signal(number)
    sent = time.monotonic()
    assert gone_within(engine, 2.0), time.monotonic() - sent
    _, err = process.communicate(timeout=10)
    assert process.returncode != 0
    if number == signal.SIGINT:
        assert "Cancelled" in err
    assert [path.name for path in files(real.folder) if "partial" in path.name] == []
    logs = sorted((Path(real.env["SITS_QGIS_HOME"]) / "logs").glob("*.log"))
    word = "Cancelled by the user" if number == signal.SIGINT else "is gone (end of its input)"
    assert word in logs[-1].read_text(encoding="utf-8")
