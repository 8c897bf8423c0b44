"""Two processes learn from photos as one does; interrupted runs go on, in any number of processes."""

from __future__ import annotations

from dataclasses import asdict

import pytest
import torch
from support.companies import answer, apart, run, start
from support.fit_photos_together import CHECKPOINT, plain, task

from sits_engine import device
from sits_engine.context import JobContext
from sits_engine.errors import Cancelled, InputError
from sits_engine.learning.processes import Processes
from sits_engine.learning.segmentation.recipes import Recipe

SCRIPT = "fit_photos_together.py"
CPU = device.select("cpu")


@pytest.fixture
def along_the_gradient(monkeypatch) -> None:
    monkeypatch.setattr(Recipe, "optimizer", plain)


def weights(result):
    return {**result.module.state_dict(), **result.pooling.state_dict()}


def test_an_interrupted_training_goes_on_bit_by_bit(tmp_path) -> None:
    """With the queue of past keys and dropout."""
    how = {"dropout": 0.2, "pooling": "attention"}
    whole = task(**how).run(CPU, JobContext())
    ctx, seen, file = JobContext(), [], tmp_path / CHECKPOINT

    def progress(share) -> None:
        seen.append(share)
        if len(seen) > 4:
            ctx.cancel("Enough.")

    with pytest.raises(Cancelled) as caught:
        task(**how).run(CPU, ctx, progress, checkpoint=file)
    assert f"after epoch 1 is kept in {CHECKPOINT}" in caught.value.advice
    # once in the middle, once when all is done
    for _ in range(2):
        again = task(**how).run(CPU, JobContext(), checkpoint=file)
        assert apart(weights(whole), weights(again)) == 0
        assert again.rows == whole.rows
        assert again.best_epoch == whole.best_epoch
    seen.clear()
    task(**how, masking="none").run(CPU, JobContext(), seen.append, checkpoint=file)
    assert len(seen) == 9


@pytest.mark.usefixtures("along_the_gradient")
def test_two_processes_train_as_one_and_one_goes_on(tmp_path) -> None:
    """Each image meets the photos of the whole batch; the pooling of photos learns from all."""
    how = {"pooling": "attention"}
    alone = task(**how).run(CPU, JobContext())
    (first, second), said = run(SCRIPT, tmp_path, 2, options=how)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert apart(first, weights(alone)) < 1e-4
    for row, told in zip(alone.rows, said["rows"], strict=True):
        assert told == pytest.approx(asdict(row), rel=1e-3)
    (tmp_path / CHECKPOINT).unlink()
    started = start(SCRIPT, tmp_path, 2, options=how, stop=1)
    status, said = answer(started[0])
    assert (status, said["code"]) == (1, "CANCELLED")
    started[1].communicate()
    resumed = task(**how).run(CPU, JobContext(), checkpoint=tmp_path / CHECKPOINT)
    assert apart(weights(resumed), weights(alone)) < 1e-4


def test_the_published_form_trains_in_one_process() -> None:
    class Two(Processes):
        size = 2

    with pytest.raises(InputError, match="PUBLISHED trains in one process"):
        task(published=True).run(CPU, JobContext(), processes=Two())
