"""How processes meet, and how they learn that others are gone."""

from __future__ import annotations

import dataclasses
import socket
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
