"""A training that was interrupted goes on as if nothing had happened; another's state is left alone."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from support.fit_together import task

from sits_engine import device
from sits_engine.context import JobContext
from sits_engine.errors import Cancelled
from sits_engine.learning.processes import Processes
from sits_engine.learning.shared_fit import Task
from sits_engine.learning.supervised import fit
from sits_engine.models.registry import build

CPU = device.select("cpu")


def same(a, b) -> bool:
    a, b = a.module.state_dict(), b.module.state_dict()
    return all(torch.equal(a[name], b[name]) for name in a)


def interrupted(todo, file, steps=5) -> Cancelled:
    """Cancelled in the middle of an epoch."""
    ctx = JobContext()
    seen = []

    def progress(fraction) -> None:
        seen.append(fraction)
        if len(seen) > steps:
            ctx.cancel("Enough.")

    with pytest.raises(Cancelled) as caught:
        todo.run(CPU, ctx, progress, checkpoint=file)
    return caught.value


def told(todo, file):
    lines = []
    ctx = JobContext(lambda kind, fields: lines.append(fields.get("text")))
    return todo.run(CPU, ctx, checkpoint=file), [line for line in lines if line]


def test_an_interrupted_training_goes_on_bit_by_bit(tmp_path) -> None:
    file = tmp_path / "m.resume.safetensors"
    whole = task(dropout=0.2).run(CPU, JobContext())
    stop = interrupted(task(dropout=0.2), file)
    assert stop.message == "Enough."
    assert stop.advice.startswith("The state after epoch 1 is kept in m.resume.safetensors")
    resumed, said = told(task(dropout=0.2), file)
    assert said == ["Going on with training after epoch 1, where an earlier run was interrupted."]
    assert same(resumed, whole)
    assert resumed.epochs == whole.epochs
    assert resumed.best_epoch == whole.best_epoch
    # a finished run's state gives the same again, without a step
    again, _ = told(task(dropout=0.2), file)
    assert same(again, whole)
    assert again.samples_per_second == 0


def test_before_the_first_epoch_nothing_is_kept(tmp_path) -> None:
    stop = interrupted(task(), tmp_path / "m.resume.safetensors", steps=1)
    assert stop.advice.startswith("Nothing half-written was kept")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("change", ["settings", "samples", "network"])
def test_the_state_of_another_training_is_not_taken(change, tmp_path) -> None:
    file = tmp_path / "m.resume.safetensors"
    interrupted(task(), file)
    other = task()
    if change == "settings":
        other.options = dataclasses.replace(other.options, learning_rate=1e-3)
    elif change == "samples":
        other.train.values[0, 0, 0] += 1
    else:
        other.hyperparameters = {**other.hyperparameters, "mlp4": (32, 16)}
    result, said = told(other, file)
    assert said == ["m.resume.safetensors is of a run with other inputs or settings: training starts anew."]
    assert len(result.epochs) == 3


def test_early_stopping_is_no_reason_to_train_on(tmp_path) -> None:
    file = tmp_path / "m.resume.safetensors"
    todo = task(epochs=30)
    todo.options = dataclasses.replace(todo.options, learning_rate=1e-9, patience=2)
    first, _ = told(todo, file)
    assert len(first.epochs) < 30
    again, _ = told(todo, file)
    assert again.epochs == first.epochs


def test_a_task_is_plain_data() -> None:
    todo = task()
    again = Task.of(todo.facts, todo.arrays)
    assert again.options == todo.options
    assert again.bands == todo.bands
    assert again.train.classes == todo.train.classes
    assert same(again.run(CPU, JobContext()), todo.run(CPU, JobContext()))


class Beside(Processes):
    """The first of two processes; the other has too little memory for the first batch."""

    size = 2

    def __init__(self) -> None:
        self.shortages = [1.0, 0.0]

    def add(self, tensor):
        """Of single numbers: what the other process lacks; of anything else this one's half."""
        if tensor.dim() == 0 and self.shortages:
            return tensor + self.shortages.pop(0)
        return tensor


def test_all_halve_the_batch_that_one_has_no_memory_for() -> None:
    todo = task(batch_size=32)
    ctx = JobContext()
    result = fit(
        lambda: build(todo.architecture, todo.hyperparameters),
        todo.train,
        todo.validation,
        todo.bands,
        todo.options,
        CPU,
        ctx,
        processes=Beside(),
    )
    assert result.batch_size == 16
    assert any("going on with batches of 16 parcels" in text for text in ctx.warnings)
