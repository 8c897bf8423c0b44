"""How processes meet, and how they learn that others are gone."""

from __future__ import annotations

import dataclasses
import signal
import socket
import subprocess
import sys
import threading

import pytest

from sits_engine.context import JobContext
from sits_engine.errors import Cancelled, InputError
from sits_engine.learning import lifeline as lifelines
from sits_engine.learning.lifeline import Lifeline
from sits_engine.learning.processes import Lost, Place


@pytest.fixture
def place():
    """Of process 0 of three."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return Place(0, 3, 0, 1, "127.0.0.1", probe.getsockname()[1], False, "0")


def other(place, rank):
    """The place of another process, on a machine of its own."""
    return dataclasses.replace(place, rank=rank)


def keeper(place):
    """A process that keeps the store, as torchrun does."""
    keep = (
        "import time; from torch.distributed import TCPStore; store = TCPStore("
        f"'127.0.0.1', {place.port}, is_master=True, wait_for_workers=False); time.sleep(200)"
    )
    return subprocess.Popen([sys.executable, "-c", keep])


def test_who_does_not_come_is_named(place, monkeypatch, capfd) -> None:
    monkeypatch.setattr(lifelines, "PATIENCE", 0.2)
    said = []
    zero = Lifeline(place, JobContext(lambda kind, fields: said.append(fields["text"])), 1)
    one = Lifeline(other(place, 1), JobContext(), 1)
    with pytest.raises(Lost, match="gone: processes 0, 2 did not come within 1 s"):
        one.meet()
    assert capfd.readouterr().err == "Waiting for processes 0, 2 (there are 3, from 0).\n"
    with pytest.raises(Lost, match="gone: process 2 did not come within 1 s"):
        zero.meet()
    assert said == ["Waiting for process 2 (there are 3, from 0)."]
    for line in (one, zero):
        line.close()


def test_who_can_not_come_tells_why(place) -> None:
    ctx = JobContext()
    zero = Lifeline(place, ctx)
    one = Lifeline(other(place, 1), JobContext())
    zero.store.set("said", "yes")
    one.fail(InputError("No card."))
    with pytest.raises(Cancelled, match="No card"):
        zero.meet()
    told = zero.first_error(0)
    assert told is not None
    assert told.message == "No card."
    for line in (one, zero):
        line.close()


@pytest.mark.parametrize("killed", [True, False])
def test_one_that_is_asked_to_stop_knows_who_was_killed(place, killed) -> None:
    place = dataclasses.replace(place, size=2)
    ctx = JobContext()
    zero, one = Lifeline(place, ctx), Lifeline(other(place, 1), JobContext())
    meeting = threading.Thread(target=one.meet)
    meeting.start()
    zero.meet()
    meeting.join()
    if killed:
        one._closed.set()  # no word, and no sign of life any more
    ctx.cancel("Stopped by SIGTERM.")
    zero.judge()
    told = zero.first_error(0)
    assert (None if told is None else told.message) == (
        "A process of this run is gone: process 1 (killed, or out of memory?)." if killed else None
    )
    for line in (one, zero):
        line.close()


def test_one_that_falls_silent_is_named_to_all(place, monkeypatch) -> None:
    ctx, other_ctx = JobContext(), JobContext()
    zero, one = Lifeline(place, ctx), Lifeline(other(place, 1), other_ctx)
    zero.store.set("beat/1", "0")
    zero.store.set("beat/2", "0")
    monkeypatch.setattr(lifelines, "SILENCE", 2)
    words = "process 2 gave no sign of life for 2 s"
    for line, context in ((zero, ctx), (one, other_ctx)):
        assert words in str(line.first_error(30))
        line.judge()
        assert words in context.stop().message
        line.close()


def test_a_process_that_is_cut_off_ends(place, monkeypatch) -> None:
    """The store doesn't answer, and the connection stays, as when a cable is pulled."""
    server = keeper(place)
    ctx = JobContext()
    line = Lifeline(dataclasses.replace(place, rank=1, hosted=True), ctx)
    line.store.set("beat/0", "0")
    lifelines._until(lambda: line.store.check(["beat/1"]), 30)
    server.send_signal(signal.SIGSTOP)
    monkeypatch.setattr(lifelines, "SILENCE", 1)
    lifelines._until(lambda: ctx.cancelled, 30)
    said = ctx.stop().message
    line._closed.set()
    server.kill()
    server.wait()
    assert f"torchrun at 127.0.0.1:{place.port} gave no answer for 1 s" in said


def test_who_trained_to_the_end_needs_no_answer_any_more(place) -> None:
    server = keeper(place)
    line = Lifeline(dataclasses.replace(place, hosted=True), JobContext())
    lifelines._until(lambda: line.store.check(["beat/0"]), 30)
    server.kill()
    server.wait()
    line.done()
    line.close()
    assert isinstance(line.told(), Lost)
