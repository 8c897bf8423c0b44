"""The child process as the plugin and a shell see it: messages, cancellation, death of the parent."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import geopandas
import psutil
import pytest
from support.maps import parcels_file, write_model, write_series

from sits_engine.context import JobContext
from sits_engine.serve import run_job

START = Path(__file__).parent / "support" / "slow_job.py"


@pytest.fixture
def start(tmp_path, monkeypatch):
    monkeypatch.setenv("SITS_QGIS_HOME", str(tmp_path / "home"))
    children = []

    def begin(*arguments, **options):
        child = subprocess.Popen(
            [sys.executable, "-s", "-u", str(START), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )
        children.append(child)
        return child

    yield begin
    for child in children:
        child.kill()
        child.wait()
        for pipe in (child.stdin, child.stdout, child.stderr):
            pipe.close()


def messages(child, until):
    """Messages up to the first of type `until`."""
    found = []
    for line in child.stdout:
        found.append(json.loads(line))
        if found[-1]["type"] == until:
            return found
    raise AssertionError(f"no {until} in {found}: {child.stderr.read()}")


def ask(child, job, **params):
    child.stdin.write(json.dumps({"type": "job", "job": job, "params": params}) + "\n")
    child.stdin.flush()


def wait_for(path_glob, folder):
    for _ in range(200):
        if list(folder.glob(path_glob)):
            return
        time.sleep(0.05)
    raise AssertionError(f"no {path_glob} in {list(folder.iterdir())}")


def test_messages_are_pure_json_whatever_prints(start):
    child = start("serve-job")
    ask(child, "noisy")
    found = messages(child, "result")
    assert found[0]["type"] == "hello"
    assert found[0]["protocol"] == 1
    assert found[-1]["scores"] == {"number": 4.5}
    assert found[-1]["warnings"] == ["mind this"]
    assert child.wait(10) == 0
    printed = child.stderr.read()
    assert "a library prints" in printed
    assert "a child prints" in printed
    assert "raw write" in printed


def test_progress_never_falls(start):
    child = start("serve-job")
    ask(child, "noisy", count=500)
    percents = [m["percent"] for m in messages(child, "result") if m["type"] == "progress"]
    assert percents == sorted(percents)


def test_error_names_thing_and_way_out_and_exits_1(start):
    child = start("serve-job")
    ask(child, "noisy", fail=True)
    error = messages(child, "error")[-1]
    assert (error["code"], error["message"], error["advice"]) == (
        "INPUT_INVALID",
        "The thing is wrong.",
        "Mend it.",
    )
    assert Path(error["log"]).read_text(encoding="utf-8").count("The thing is wrong.") == 1
    assert child.wait(10) == 1


def test_wrong_parameter_is_named(start):
    child = start("serve-job")
    ask(child, "noisy", count="many")
    error = messages(child, "error")[-1]
    assert error["code"] == "INPUT_INVALID"
    assert "COUNT" in error["message"]
    assert "many" in error["message"]


def test_a_job_knows_how_long_its_process_took_to_launch(tmp_path):
    ctx = JobContext()
    run_job("nonsense", {}, ctx, lambda kind, fields: None, tmp_path / "log")
    assert 0 < ctx.launching <= time.time() - psutil.Process().create_time()


def test_the_layer_that_is_used_is_said_once_a_job(tmp_path, recwarn):
    parcels = parcels_file(tmp_path / "p.gpkg")
    geopandas.read_file(parcels).to_file(parcels, layer="old")
    params = {
        "series": str(write_series(tmp_path / "s")),
        "model": str(write_model(tmp_path / "m.safetensors")),
        "device": "cpu",
        "region": str(parcels),
        "parcels": str(parcels),
        "id_field": "fid",
        "output": str(tmp_path / "map.tif"),
        "output_parcels": str(tmp_path / "fields.gpkg"),
    }
    for _ in range(2):
        ctx = JobContext()
        assert run_job("mapcrops", params, ctx, lambda kind, fields: None, tmp_path / "log") == 0
        assert [one for one in ctx._warnings if "layer" in one] == [
            "p.gpkg has several layers and none is named: its first one, 'p', is used. To use another one "
            "('old'), write p.gpkg|layername=NAME."
        ]
    assert not [one for one in recwarn if "layer" in str(one.message)]


def test_unknown_job_lists_the_known(start):
    child = start("serve-job")
    ask(child, "mapcropz")
    assert "mapcrops" in messages(child, "error")[-1]["advice"]


@pytest.mark.parametrize("job", ["slow", "deaf", "absent"])
def test_cancel_within_two_seconds_and_nothing_half_written(start, tmp_path, job):
    target = tmp_path / "out" / "map.tif"
    child = start("serve-job")
    ask(child, job, output=str(target))
    messages(child, "progress")
    began = time.monotonic()
    child.stdin.write('{"type": "cancel"}\n')
    child.stdin.flush()
    assert child.wait(5) == 130
    assert time.monotonic() - began < 2
    assert list(target.parent.iterdir()) == []


def test_end_of_input_stops_at_once(start, tmp_path):
    target = tmp_path / "out" / "map.tif"
    child = start("serve-job")
    ask(child, "deaf", output=str(target))
    log = messages(child, "progress")[0]["log"]
    child.stdin.close()
    assert child.wait(5) == 1
    assert list(target.parent.iterdir()) == []
    assert "the program that started the engine is gone" in Path(log).read_text(encoding="utf-8")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("job", ["slow", "deaf", "absent"])
def test_signals_on_the_command_line(start, tmp_path, number, job):
    target = tmp_path / "out" / "map.tif"
    child = start(job, "--output", str(target))
    wait_for(".map.partial-*", target.parent if target.parent.exists() else make(target.parent))
    began = time.monotonic()
    child.send_signal(number)
    assert child.wait(5) == 130
    assert time.monotonic() - began < 2
    assert list(target.parent.iterdir()) == []
    assert number.name in child.stderr.read()


def test_two_signals_at_once_are_one(start, tmp_path):
    """As `timeout 60 sits map` sends them; of two different ones the system makes no single one."""
    target = make(tmp_path / "out") / "map.tif"
    child = start("slow", "--output", str(target))
    wait_for(".map.partial-*", target.parent)
    child.send_signal(signal.SIGTERM)
    child.send_signal(signal.SIGINT)
    assert child.wait(5) == 130
    assert "Stopped at once" not in child.stderr.read()


def test_a_second_signal_later_ends_it_at_once(start, tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "START", patient := tmp_path / "patient.py")
    patient.write_text(
        "import runpy\n"
        f"run = runpy.run_path({str(Path(__file__).parent / 'support' / 'slow_job.py')!r})\n"
        "import sys\nfrom sits_engine import cli, serve\n"
        "sys.modules['slow_job'] = type('jobs', (), run)\n"
        "serve.GRACE = 60.0\nsys.exit(cli.main())\n"
    )
    target = make(tmp_path / "out") / "map.tif"
    child = start("deaf", "--output", str(target))
    wait_for(".map.partial-*", target.parent)
    child.send_signal(signal.SIGTERM)
    time.sleep(0.7)
    child.send_signal(signal.SIGTERM)
    assert child.wait(20) == 130
    assert "Stopped at once: Second SIGTERM. Nothing half-written was kept;" in child.stderr.read()
    assert list(target.parent.iterdir()) == []


def make(folder):
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def test_sigkill_of_the_parent_leaves_no_orphan(start, tmp_path):
    """A middle process starts the engine with a pipe, then is killed: the pipe's end stops the engine."""
    target = tmp_path / "out" / "map.tif"
    script = (
        "import subprocess, sys, time\n"
        f"p = subprocess.Popen([sys.executable, {str(START)!r}, 'serve-job'], stdin=subprocess.PIPE,"
        " stdout=subprocess.DEVNULL, start_new_session=True)\n"
        f'p.stdin.write(b\'{{"job": "deaf", "params": {{"output": "{target}"}}}}\\n\'); p.stdin.flush()\n'
        "print(p.pid, flush=True); time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    pid = int(parent.stdout.readline())
    make(target.parent)
    wait_for(".map.partial-*", target.parent)
    parent.kill()
    parent.wait()
    for _ in range(100):
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            break
        time.sleep(0.05)
    else:
        os.kill(pid, signal.SIGKILL)
        raise AssertionError("the engine outlived its parent")
    assert list(target.parent.iterdir()) == []


def test_command_line_prints_result_as_json(start):
    child = start("noisy", "--count", "2")
    out, err = child.communicate(timeout=20)
    assert child.returncode == 0
    assert json.loads(out)["scores"]["number"] == 4.5
    assert "Warning: mind this" in err


def test_command_line_error_status_and_sentence(start):
    child = start("noisy", "--fail")
    _, err = child.communicate(timeout=20)
    assert child.returncode == 1
    assert "The thing is wrong. Mend it." in err


def test_credentials_are_not_written_to_the_log(start, tmp_path):
    child = start("serve-job")
    secret = {"auth_header": "Authorization: Bearer abcdef"}
    missing = str(tmp_path / "none")
    ask(child, "buildtimeseries", input_folder=missing, output=str(tmp_path / "series.json"), **secret)
    error = messages(child, "error")[-1]
    text = Path(error["log"]).read_text(encoding="utf-8")
    assert "job buildtimeseries" in text
    assert missing in text
    assert "abcdef" not in text


@pytest.mark.parametrize("place", ["/proc/x", "/dev/null/x", "file"])
def test_without_a_data_folder_the_log_is_a_temporary_file(start, tmp_path, monkeypatch, place):
    (tmp_path / "file").touch()
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("SITS_QGIS_HOME", str(tmp_path / place))
    child = start("noisy", "--fail")
    _, err = child.communicate(timeout=20)
    assert child.returncode == 1
    assert "Traceback" not in err
    assert err.count("Warning: The folder for logs can't be used (") == 1
    [log] = tmp_path.glob("sits-*-noisy-*.log")
    assert f"Log: {log}\n" in err
    assert "The thing is wrong. Mend it." in log.read_text(encoding="utf-8")


def test_the_plugin_is_warned_of_a_temporary_log(start, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("SITS_QGIS_HOME", "/dev/null/x")
    child = start("serve-job")
    ask(child, "noisy")
    found = messages(child, "result")
    assert found[0]["type"] == "hello"
    assert Path(found[0]["log"]).parent == tmp_path
    assert found[-1]["warnings"][0].startswith("The folder for logs can't be used (")
