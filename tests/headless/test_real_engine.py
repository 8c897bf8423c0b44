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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
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
    if number != signal.SIGKILL:
        assert {signal.SIGINT: "Cancelled.", signal.SIGTERM: "Stopped by SIGTERM."}[number] in err
    assert [path.name for path in files(real.folder) if "partial" in path.name] == []
    logs = sorted((Path(real.env["SITS_QGIS_HOME"]) / "logs").glob("*.log"))
    word = "Cancelled by the user" if number != signal.SIGKILL else "is gone (end of its input)"
    assert word in logs[-1].read_text(encoding="utf-8")


def labelled_series(path):
    """A CSV of labelled series: two crops of 12 places each, four dates, three bands."""
    lines = ["id,date,x,y,crop,B03,B04,B08"]
    for place in range(24):
        crop, green = (("maize", 0.3), ("wheat", 0.6))[place % 2]
        for step, month in enumerate((4, 5, 6, 7)):
            value = green + 0.01 * step + 0.002 * place
            row = f"{place},2020-{month:02d}-15,{5 + 0.02 * place:.2f},51.0,{crop},0.05,0.08,{value:.3f}"
            lines.append(row)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_a_model_from_labelled_series_alone_and_its_export(real):
    """No time series and no parcels: QGIS 3.22 gives [''] for a list of files that is not given."""
    table, model = labelled_series(real.folder / "séries.csv"), real.folder / "m.safetensors"
    status, out, err = real.call(
        *("--json", "run", "sits:trainsourcemodel", "--", f"LABELLED_SERIES={table}", "LABELS_FIELD=crop"),
        *("EFFORT=quick", "MIN_PARCELS=2", "SPLIT=parcels", "STEPS_PER_EPOCH=1", "DEVICE=cpu"),
        f"OUTPUT={model}",
        timeout=300,
    )
    assert status == 0, err
    assert json.loads(out)["results"]["N_CLASSES"] == 2
    assert model.is_file()
    network, item = real.folder / "réseau.onnx", real.folder / "m.json"
    status, out, err = real.call(
        *("--json", "run", "sits:exportmodel", "--", f"MODEL={model}", f"OUTPUT={network}", f"STAC={item}"),
        timeout=300,
    )
    assert status == 0, err
    found = json.loads(out)["results"]
    assert found["INPUTS"] == "pixels, valid, positions"
    assert found["DIFFERENCE"] < 1e-4
    assert found["BYTES"] == network.stat().st_size
    assert json.loads(item.read_text())["assets"]["model"]["href"] == "./réseau.onnx"
