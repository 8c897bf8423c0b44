"""Two processes train segmentation networks as one does, in both stages, and one goes on alone."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from support.companies import answer, run, start
from support.field_windows import TinySegmenter, field_windows
from support.segment_together import checkpoints, plain, stages, train

from sits_engine import device
from sits_engine.context import JobContext
from sits_engine.errors import InputError
from sits_engine.learning.processes import Processes
from sits_engine.learning.segmentation.batches import Cutter, Cutting, normalisation
from sits_engine.learning.segmentation.fit import StageOptions, finetune
from sits_engine.learning.segmentation.recipes import Recipe
from sits_engine.learning.segmentation.validation import Validation

SCRIPT = "segment_together.py"
CPU = device.select("cpu")
#: Pairs of CSCL with a mask; labels finer than the images; images in a store that both see, or only one.
TASKS = [
    ("tsvit", {"mask": True}),
    ("unet3d", {"store": "seen"}),
    ("unet3df", {"scale": 2}),
    ("unet2d_clstm", {"mask": True}),
    ("biconvgru", {"store": "hidden"}),
]


@pytest.fixture
def _along_the_gradient(monkeypatch) -> None:
    monkeypatch.setattr(Recipe, "optimizer", plain)


def alike(found, name, weights) -> None:
    for part, value in weights.items():
        assert np.allclose(found[f"{name}/{part}"], value, rtol=1e-3, atol=2e-4), (name, part)


@pytest.mark.usefixtures("_along_the_gradient")
def test_two_processes_train_as_one_does(tmp_path) -> None:
    """Batches of five are shared as three and two; losses, norms and validation are those of the whole."""
    given = [
        (name, how | {"store": str(tmp_path / how["store"])} if "store" in how else how)
        for name, how in TASKS
    ]
    for name, how in given:
        stages(name, **how)  # the stores are there before both processes look at them
    (first, second), said = run(SCRIPT, tmp_path, 2, tasks=given)
    assert all(np.array_equal(first[name], second[name]) for name in first)
    for name, how in TASKS:
        alone, rows = train(stages(name, **{k: v for k, v in how.items() if k != "store"}), JobContext())
        assert np.allclose(said["rows"][name], rows, rtol=1e-3, atol=1e-4), name
        alike(first, name, alone)
    images = json.loads((tmp_path / "images.json").read_text())
    assert [images[name] for name, _ in TASKS] == ["ndarray", "StoredArray", "ndarray", "ndarray", "memmap"]


@pytest.mark.usefixtures("_along_the_gradient")
def test_what_two_processes_began_one_ends(tmp_path) -> None:
    started = start(SCRIPT, tmp_path, 2, tasks=[("unet2d_clstm", {})], stops=True)
    status, said = answer(started[0])
    assert (status, said["code"]) == (1, "CANCELLED")
    assert said["advice"].startswith("The state after epoch 1 is kept in unet2d_clstm.b.resume.safetensors")
    answer(started[1])
    lines = []
    ctx = JobContext(lambda kind, fields: lines.append(fields.get("text") or ""))
    todo = stages("unet2d_clstm")
    resumed, rows = train(todo, ctx, checkpoints=checkpoints(tmp_path, "unet2d_clstm"))
    assert sum("where an earlier run was interrupted" in line for line in lines) == 2
    alone, expected = train(todo, JobContext())
    assert np.allclose(rows, expected, rtol=1e-3, atol=1e-4)
    alike({f"n/{part}": value for part, value in resumed.items()}, "n", alone)


class Beside(Processes):
    """The first of two processes; the other has too little memory for the first batches."""

    size = 2

    def __init__(self, *shortages: float) -> None:
        self.shortages = list(shortages)

    def add(self, tensor):
        """Of single numbers: what the other process lacks; of anything else this one's half."""
        return tensor + self.shortages.pop(0) if tensor.dim() == 0 and self.shortages else tensor


def beside(processes, batch_size):
    windows, ctx = field_windows(n=6, size=8), JobContext()
    bands, cutting = normalisation(windows), Cutting(8, 4)
    cutter = Cutter(windows, bands, cutting, CPU.torch)
    options = StageOptions(1, 1, Recipe(1e-3, "cosine"), batch_size)
    arguments = TinySegmenter(), cutter, Validation(None, 3, CPU), options, CPU, ctx
    return finetune(*arguments, processes=processes), ctx


def test_all_halve_the_batch_that_one_has_no_memory_for() -> None:
    result, ctx = beside(Beside(1.0, 1.0, 0.0), 12)
    assert result.batch_size == 3
    assert any("going on with batches of 3 windows" in text for text in ctx.warnings)
    with pytest.raises(torch.OutOfMemoryError, match="not even 3 windows"):
        beside(Beside(1.0, 1.0, 1.0), 12)


def test_each_process_needs_a_window() -> None:
    with pytest.raises(InputError, match="BATCH_SIZE is 1, but 2 processes share each batch"):
        beside(Beside(), 1)
