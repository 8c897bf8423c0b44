"""Two processes learn from ticks as one does, and another number of them goes on."""

from __future__ import annotations

from dataclasses import asdict

import pytest
import torch
from safetensors.torch import load_file
from support.companies import answer, apart, run, start
from support.fit_masks_together import CHECKPOINT, plain, task

from sits_engine import device
from sits_engine.context import JobContext
from sits_engine.errors import Cancelled, InputError
from sits_engine.learning.processes import Processes
from sits_engine.learning.segmentation.recipes import Recipe

SCRIPT = "fit_masks_together.py"
CPU = device.select("cpu")
GRADIENT = {"prototype_mode": "gradient"}


@pytest.fixture(autouse=True)
def along_the_gradient(monkeypatch) -> None:
    monkeypatch.setattr(Recipe, "optimizer", plain)


def test_two_processes_train_as_one_does(tmp_path) -> None:
    """Prototypes are shared out and moved over the patches of both, so that they stay the same."""
    (first, second), said = run(SCRIPT, tmp_path, 2, options={})
    assert all(torch.equal(first[name], second[name]) for name in first)
    alone = task().run(CPU, JobContext())
    weights = alone.module.state_dict()
    assert apart(first, weights) < 2e-4
    assert torch.equal(first["clues.foreground_updates"], weights["clues.foreground_updates"])
    assert int(weights["clues.foreground_updates"].max()) == 6
    for row, told in zip(alone.rows, said["rows"], strict=True):
        assert told.keys() == asdict(row).keys()
        for name, value in asdict(row).items():
            assert told[name] == (value and pytest.approx(value, rel=1e-3, abs=1e-4)), name


def test_one_process_goes_on_where_two_were_stopped(tmp_path) -> None:
    started = start(SCRIPT, tmp_path, 2, options=GRADIENT, stop=1)
    status, said = answer(started[0])
    assert (status, said["code"]) == (1, "CANCELLED")
    assert f"after epoch 1 is kept in {CHECKPOINT}" in said["advice"]
    started[1].communicate()
    # nothing pulls at the prototypes yet: their optimiser has no state, as in one process
    ctx = JobContext(lambda kind, fields: ctx.cancel() if kind == "metric" else None)
    todo = task(**GRADIENT)
    alone = todo.checkpoint(tmp_path / "one.safetensors")
    with pytest.raises(Cancelled):
        todo.run(CPU, ctx, checkpoint=alone)
    assert load_file(tmp_path / CHECKPOINT).keys() == load_file(alone.path).keys()
    resumed = todo.run(CPU, JobContext(), checkpoint=todo.checkpoint(tmp_path / CHECKPOINT))
    whole = task(**GRADIENT).run(CPU, JobContext())
    assert apart(resumed.module.state_dict(), whole.module.state_dict()) < 2e-4
    assert [row.epoch for row in resumed.rows] == [1, 2, 3, 4]


def test_more_processes_than_polygons_of_a_batch_are_refused() -> None:
    class Many(Processes):
        size = 6

    with pytest.raises(InputError, match="A batch has 5 polygons, but 6 processes share it"):
        task().run(CPU, JobContext(), processes=Many())
