"""Batches become smaller where memory runs out, by the rules of their training."""

from __future__ import annotations

import weakref
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from sits_engine import device
from sits_engine.context import JobContext
from sits_engine.errors import InputError
from sits_engine.learning.processes import ALONE, Processes
from sits_engine.learning.training_batches import TrainingBatches

CPU = device.select("cpu")
#: Draws as beside a card.
BESIDE = SimpleNamespace(torch=torch.device("cpu"), label="a card", is_cpu=False)


class Held:
    """Stands for the tensors that fill a card."""


class Tiny(TrainingBatches[list[int]]):
    UNIT, SMALLEST = "place", (2, 2)

    def __init__(self, batch_size=16, fits=0, processes=ALONE, where=CPU) -> None:
        module = nn.Linear(1, 1)
        optimizer = torch.optim.SGD(module.parameters())
        self.fits, self.held, self.drawn = fits, None, []
        super().__init__([module], optimizer, batch_size, 3, where, JobContext(self.told), processes)

    def told(self, kind, fields) -> None:
        assert self.held() is None

    def _drawer(self):
        return lambda: [self._epoch] * self.batch_size

    def _attempt(self) -> torch.Tensor:
        batch, held = next(self._batches), Held()
        self.drawn.append(batch)
        if len(batch) > self.fits:
            self.held = weakref.ref(held)
            raise torch.OutOfMemoryError("CUDA out of memory")
        return torch.zeros(())

    def step(self) -> None:
        self._fitting(self._attempt)


class Several(Processes):
    def __init__(self, size) -> None:
        self.size = size


def test_what_filled_the_memory_is_gone_before_the_next_try() -> None:
    tiny = Tiny(fits=5)
    tiny.begin(1)
    tiny.step()
    assert tiny.batch_size == 4
    assert [len(batch) for batch in tiny.drawn] == [16, 8, 4]
    assert set(tiny.drawn[-1]) == {1}
    assert [text.split(": ")[1] for text in tiny._ctx.warnings] == [
        "going on with batches of 8 places.",
        "going on with batches of 4 places.",
    ]
    with pytest.raises(torch.OutOfMemoryError, match="not even 2 places fit"):
        Tiny().step()


@pytest.mark.parametrize(("size", "left"), [(2, 4), (3, 8), (8, 16)])
def test_several_processes_keep_enough_for_each(size, left) -> None:
    with pytest.raises(torch.OutOfMemoryError, match=f"not even {left} places fit"):
        Tiny(processes=Several(size)).agree()


def test_processes_that_agreed_do_not_halve_alone() -> None:
    tiny = Tiny(processes=Several(2), fits=16)
    tiny.agree()
    tiny.fits = 8
    with pytest.raises(torch.OutOfMemoryError, match="CUDA out of memory"):
        tiny.step()
    assert tiny.batch_size == 16


def test_each_process_needs_a_sample() -> None:
    with pytest.raises(InputError, match="BATCH_SIZE is 4, but 5 processes share each batch"):
        Tiny(4, processes=Several(5)).agree()


@pytest.mark.parametrize("where", [CPU, BESIDE], ids=["processor", "card"])
def test_each_epoch_has_its_batches_and_chance(where) -> None:
    """Also where the next batch is drawn before it is asked for."""
    tiny = Tiny(fits=16, where=where)
    chances = []
    for epoch in (1, 2, 1):
        tiny.begin(epoch)
        chances.append(float(torch.rand(())))
        tiny.step()
        tiny.step()
    tiny.close()
    assert [batch[0] for batch in tiny.drawn] == [1, 1, 2, 2, 1, 1]
    assert chances[0] == chances[2] != chances[1]
