"""The command line under torchrun: the same options and files as without, and one voice."""

from __future__ import annotations

import datetime
import json
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support.field_windows import field_windows
from support.two_regions import write_region

from sits_engine import cli
from sits_engine.models.model_file import load_model

ENGINE = Path(__file__).parents[2]
QUICK = [
    "--epochs",
    "2",
    "--steps-per-epoch",
    "4",
    "--batch-size",
    "16",
    "--width",
    "small",
    "--min-parcels",
    "5",
    "--device",
    "cpu",
]


@pytest.fixture
def table(tmp_path):
    """Thirty places with crops that green up one after the other."""
    rng = np.random.default_rng(0)
    rows = []
    for place in range(45):
        for month in range(7):
            green = float(np.exp(-(((month - 1.5 - 1.5 * (place % 3)) / 1.2) ** 2)))
            day = datetime.date(2019, 3, 1) + datetime.timedelta(days=25 * month)
            red, nir = 0.1 - 0.05 * green + rng.normal(0, 0.005), 0.15 + 0.3 * green
            rows.append(
                {"id": place, "date": day, "crop": "abc"[place % 3], "red": red, "nir": nir},
            )
    pd.DataFrame(rows).to_csv(tmp_path / "series.csv", index=False)
    return tmp_path / "series.csv"


def started(*arguments):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"),
            *("--master-port", port, "-m", "sits_engine", *arguments),
        ],
        env={**os.environ, "PYTHONPATH": str(ENGINE), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )


def torchrun(*arguments):
    process = started(*arguments)
    out, err = process.communicate(timeout=250)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def test_two_processes_make_one_model(table, tmp_path) -> None:
    output = tmp_path / "m.safetensors"
    done = torchrun(
        "train", "--labelled-series", str(table), "--field", "crop", "--output", str(output), *QUICK
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["scores"]["n_parcels"] == 45
    assert done.stderr.count("in each of 2 processes.") == 1
    assert done.stderr.count("Kept the weights of epoch") == 1
    _, card = load_model(output)
    assert card.class_names == ["a", "b", "c"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "m.safetensors",
        "m_numbers.json",
        "series.csv",
    ]


def test_torchrun_killed_is_told_in_a_sentence(table, tmp_path) -> None:
    output = tmp_path / "m.safetensors"
    process = started(
        *("train", "--labelled-series", str(table), "--field", "crop", "--output", str(output), *QUICK),
        *("--epochs", "10000"),
    )
    while not (tmp_path / "m.resume.safetensors").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    process.kill()
    _, said = process.communicate(timeout=100)  # ends when the processes, which hold the pipes, have ended
    assert said.count("Error (") == 1
    assert re.search(
        r"Error \(NETWORK\): A process of this run is gone: torchrun at \S+ doesn't answer", said
    )
    assert "frame #" not in said
    assert "c10d" not in said


def test_two_processes_make_masks(tmp_path) -> None:
    series = write_region(tmp_path, (600000.0, 5600000.0), 0, 1)
    windows, masks = str(tmp_path / "windows.gpkg"), tmp_path / "masks"
    ticks = ["--window", "8", "--parcels", str(tmp_path / "parcels.gpkg"), "--field", "crop", "--mark-done"]
    assert cli.main(["label-windows", "--series", str(series), *ticks, "--output", windows]) == 0
    masks.mkdir()
    quick = ["--epochs", "1", "--n-dates", "4", "--no-refine", "--device", "cpu"]
    output = str(masks / "m.tif")
    done = torchrun("pseudo-masks", "--series", str(series), "--windows", windows, "--output", output, *quick)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("in each of 2 processes.") == 1
    assert json.loads(done.stdout)["scores"]["n_polygons"] == 36
    assert {"m.tif", "m_classes.csv", "m_numbers.json"} <= {path.name for path in masks.iterdir()}
    assert not list(masks.glob("*.resume*"))


def test_two_processes_make_one_segmentation_model(tmp_path) -> None:
    windows, output = tmp_path / "windows", tmp_path / "m.safetensors"
    field_windows(n=24, size=8, field=4).save(windows)
    done = torchrun(
        *("train-segmentation", "--windows", str(windows), "--output", str(output), "--device", "cpu"),
        *("--architecture", "unet3df", "--width", "small", "--window", "8", "--n-dates", "4", "--cscl"),
        *("--min-pixels", "20", "--cscl-epochs", "1", "--epochs", "1", "--steps-per-epoch", "2"),
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["scores"]["n_windows"] == 24
    assert done.stderr.count("in each of 2 processes.") == 1
    assert done.stderr.count("Kept the weights of epoch") == 1
    assert load_model(output)[1].architecture == "unet3df"
    assert not list(tmp_path.glob("*.resume.*"))


@pytest.mark.parametrize(
    ("job", "words"),
    [
        (
            ("train", "--labelled-series", "no.csv", "--field", "c"),
            "Table of labelled series not found",
        ),
        (("train-segmentation", "--windows", "no"), "Data set of windows not found"),
    ],
)
def test_an_error_is_said_once(job, words, tmp_path) -> None:
    done = torchrun(*job, "--output", str(tmp_path / "m"))
    assert done.returncode == 1
    assert done.stderr.count("Error (") == 1
    assert f"Error (INPUT_INVALID): {words}" in done.stderr


@pytest.mark.parametrize("rank", ["0", "1"])
def test_a_job_for_one_process_is_wrong_use(rank, monkeypatch, capsys) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", rank)
    try:
        status = cli.main(["describe", "--model", "m"])
    except SystemExit as left:
        status = left.code
    assert status == 2
    words = "describe runs in one process: start it without torchrun."
    assert (words in capsys.readouterr().err) == (rank == "0")


def as_two(command, *options):
    """A command with these options in each of two processes, as torchrun starts them on two machines."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    place = {"WORLD_SIZE": "2", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    return [
        subprocess.Popen(
            [sys.executable, *command, "--device", "cpu", *own],
            env={**os.environ, **place, "RANK": str(rank), "PYTHONPATH": str(ENGINE)},
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )
        for rank, own in enumerate(options)
    ]


@pytest.mark.parametrize(
    ("options", "status", "here", "at_process_0"),
    [
        (("--epochs", "x"), 1, "Error (INPUT_INVALID): Parameter EPOCHS", "Parameter EPOCHS"),
        (
            ("--bogus", "3"),
            2,
            "error: unrecognized arguments: --bogus 3",
            "Wrong use: unrecognized arguments",
        ),
    ],
)
def test_what_one_machine_can_not_start_is_said_on_both(
    options, status, here, at_process_0, tmp_path
) -> None:
    job = ("train-segmentation", "--windows", str(tmp_path / "w"), "--output", str(tmp_path / "m"))
    zero, one = as_two(("-m", "sits_engine", *job), (), options)
    said = [process.communicate(timeout=100)[1] for process in (zero, one)]
    assert (zero.returncode, one.returncode) == (1, status)
    assert said[0].count(f"Error (INPUT_INVALID): Process 1: {at_process_0}") == 1
    assert said[1].count(here) == 1


def test_wrong_use_on_one_machine_is_said_there(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("RANK", "3")
    for local, count in (("0", 1), ("1", 0)):
        monkeypatch.setenv("LOCAL_RANK", local)
        for words in (["train", "--bogus", "3"], ["trane"]):
            with pytest.raises(SystemExit) as left:
                cli.main(words)
            assert left.value.code == 2
            assert capsys.readouterr().err.count("usage:") == count


@pytest.mark.parametrize(
    ("killed", "options", "words"),
    [
        (True, (), "Error (NETWORK): A process of this run is gone: process 1 (killed, or out of memory?)."),
        (True, ("--deaf",), "Stopped at once: A process of this run is gone: process 1 (killed, or"),
        (
            False,
            (),
            "Error (CANCELLED): Stopped by SIGTERM, from you, the cluster, or torchrun since another",
        ),
    ],
)
def test_who_is_stopped_by_torchrun_says_who_was_killed(killed, options, words, tmp_path) -> None:
    """torchrun sends SIGTERM to the others when one is gone, as a user does."""
    start = (str(ENGINE / "tests" / "support" / "slow_job.py"), "reading", "--output", str(tmp_path / "m"))
    zero, one = as_two(start, options, options)
    assert "Reading slowly" in zero.stderr.readline()
    if killed:
        one.kill()
        one.wait()
    else:
        one.terminate()
    zero.terminate()
    assert words in zero.communicate(timeout=100)[1]
    one.communicate(timeout=100)
