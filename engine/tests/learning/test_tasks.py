"""What process 0 calls for is what the others do, one training after the other."""

from __future__ import annotations

from support import fit_masks_together, fit_photos_together, fit_together

from sits_engine import device
from sits_engine.context import JobContext
from sits_engine.learning.processes import Processes
from sits_engine.learning.tasks import help_out

CPU = device.select("cpu")


class First(Processes):
    """Process 0 that keeps what it calls for."""

    def __init__(self) -> None:
        self.calls = []

    def call(self, task, facts, arrays) -> None:
        self.calls.append((task, facts, dict(arrays)))


class Other(Processes):
    """Another process, which gets these calls."""

    rank = 1

    def __init__(self, calls) -> None:
        self.calls = list(calls)

    @property
    def share(self) -> slice:
        """All: it stands in for both."""
        return slice(None)

    def receive(self):
        return self.calls.pop(0) if self.calls else None


def test_others_do_what_process_0_calls_for() -> None:
    first, said = First(), ([], [])
    contexts = [
        JobContext(lambda kind, fields, kept=kept: kept.append(fields) if kind == "metric" else None)
        for kept in said
    ]
    for made in (fit_masks_together, fit_together, fit_photos_together):
        how = {"epochs": 1} if made is not fit_photos_together else {}
        made.task(**how).run(CPU, contexts[0], processes=first)
    help_out(Other(first.calls), CPU, contexts[1])
    losses = [[m["value"] for m in one if m["name"] == "train_loss"] for one in said]
    assert len(losses[0]) == 5
    assert losses[1] == losses[0]
