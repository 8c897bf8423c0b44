"""Two processes train as one does; what ends one ends both, and the next run goes on."""

from __future__ import annotations

import time

import pytest
import torch
from support.companies import LIMIT, answer, apart, run, start
from support.fit_together import CHECKPOINT, task

from sits_engine import device
from sits_engine.context import JobContext
from sits_engine.errors import InputError
from sits_engine.learning.distributed import Joined, joined, own_device
from sits_engine.learning.distributed import _plain as plain
from sits_engine.learning.processes import Place

SCRIPT = "fit_together.py"
CPU = device.select("cpu")


@pytest.fixture(scope="module")
def alone():
    """The training in one process."""
    return task().run(CPU, JobContext())


def test_two_processes_train_as_one_does(tmp_path, alone) -> None:
    """Batches of 17 are shared as 9 and 8; batch norm and gradients are those of the whole batch."""
    (first, second), said = run(SCRIPT, tmp_path, 2)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert apart(first, alone.module.state_dict()) < 1e-4
    last = alone.epochs[-1]
    assert said["rows"][-1] == pytest.approx([last.train_loss, last.validation_loss], rel=1e-3)


def test_a_killed_process_ends_the_run_and_the_next_goes_on(tmp_path, alone) -> None:
    zero, one = start(SCRIPT, tmp_path, 2, pause=0.3)
    checkpoint = tmp_path / CHECKPOINT
    end = time.monotonic() + LIMIT
    while not checkpoint.exists() and time.monotonic() < end:
        time.sleep(0.02)
    one.kill()
    status, said = answer(zero)
    assert (status, said["code"]) == (1, "NETWORK")
    assert said["message"] == "A process of this run is gone: process 1 (killed, or out of memory?)."
    assert ".cc:" not in said["message"]
    assert said["message"].isascii()
    one.wait(LIMIT)

    kept = checkpoint.read_bytes()
    lines = []
    ctx = JobContext(lambda kind, fields: lines.append(fields.get("text")))
    resumed = task().run(CPU, ctx, checkpoint=checkpoint)
    assert any(line and "where an earlier run was interrupted" in line for line in lines)
    assert apart(resumed.module.state_dict(), alone.module.state_dict()) < 1e-4

    checkpoint.write_bytes(kept)
    weights, told = run(SCRIPT, tmp_path, 2)
    assert "where an earlier run was interrupted" in told["said"][0]
    assert len(told["rows"]) == len(alone.epochs)
    assert apart(weights[1], alone.module.state_dict()) < 1e-4


def test_what_one_process_can_not_do_is_said_by_process_0(tmp_path) -> None:
    zero, one = start(SCRIPT, tmp_path, 2, fails=1)
    status, said = answer(zero)
    assert (status, said["code"], said["message"]) == (1, "INPUT_INVALID", "Rank 1 has a reason.")
    assert one.wait(LIMIT) == 1


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            "[/pytorch/gloo/tcp/pair.cc:547] Connection closed by peer [10.0.0.2]:4242",
            "Connection closed by peer [10.0.0.2]:4242",
        ),
        ("[../pair.cc:534] Read error: reset. GLHF! \U0001f3d6\ufe0f", "Read error: reset"),
        (
            "Connection closed by peer [::1]:4. This is typically caused by a remote worker crashing. "
            "Check the logs of the remote worker before reporting an error.",
            "Connection closed by peer [::1]:4",
        ),
        ("\u274c Broken pipe.\nException raised from x.cpp:3", "Broken pipe"),
        ("", "the connection broke"),
    ],
)  # fmt: skip
def test_words_of_gloo_without_its_files_and_signs(text, shown) -> None:
    assert plain(text) == shown


def place(**changes):
    environment = {
        "RANK": "3",
        "WORLD_SIZE": "4",
        "LOCAL_RANK": "1",
        "LOCAL_WORLD_SIZE": "2",
        "MASTER_ADDR": "node1",
        "MASTER_PORT": "29500",
        "TORCHELASTIC_USE_AGENT_STORE": "True",
        "TORCHELASTIC_RESTART_COUNT": "2",
        **changes,
    }
    return Place.of_environment({name: value for name, value in environment.items() if value is not None})


def test_place_of_torchrun() -> None:
    assert place() == Place(3, 4, 1, 2, "node1", 29500, True, "2")
    assert place(WORLD_SIZE="1") is None
    assert place(WORLD_SIZE=None) is None
    with pytest.raises(InputError, match="'MASTER_PORT' is missing"):
        place(MASTER_PORT=None)


def test_threads_that_train_are_counted(monkeypatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    assert own_device("cpu", place()).label.endswith(", 3 threads)")
    with joined("cpu", JobContext()) as (_, chosen):
        assert chosen.label.endswith(", 3 threads)")


def test_each_process_has_a_card_of_its_own(monkeypatch) -> None:
    assert own_device("cpu", place()).torch.type == "cpu"
    with pytest.raises(InputError, match="DEVICE is cuda:1, but every process"):
        own_device("cuda:1", place())
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(InputError, match=r"2 processes were .* has 1 graphics card"):
        own_device("auto", place())


@pytest.mark.parametrize(
    ("here", "words"), [(1, "the name of one leads to itself"), (2, "A process of this run is gone")]
)
def test_a_name_that_leads_to_its_own_machine_is_said(here, words) -> None:
    company = object.__new__(Joined)
    company.size, company.here = 2, here
    said = (
        "Gloo connectFullMesh failed with [/__w/gloo/transport/tcp/pair.cc:152] timed out connecting: "
        "SO_ERROR: Connection refused, remote=[127.0.1.1]:15235$0"
    )
    assert words in company._broken(said).message
