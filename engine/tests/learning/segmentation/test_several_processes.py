"""Two processes train segmentation networks as one does, in both stages."""

from __future__ import annotations

import numpy as np
import pytest
from support import segment_together
from support.companies import run
from support.segment_together import checkpoints, plain, stages, train

from sits_engine.context import JobContext
from sits_engine.learning.segmentation.recipes import Recipe

SCRIPT = "segment_together.py"
#: Pairs of CSCL with a mask; labels finer than the images.
TASKS = [
    ("tsvit", {"mask": True}),
    ("unet3d", {}),
    ("unet3df", {"scale": 2}),
    ("unet2d_clstm", {"mask": True}),
    ("biconvgru", {}),
]


@pytest.fixture(autouse=True)
def along_the_gradient(monkeypatch) -> None:
    monkeypatch.setattr(Recipe, "optimizer", plain)


def test_two_processes_train_as_one_does(tmp_path) -> None:
    """Batches of five are shared as three and two; losses, norms and validation are those of the whole."""
    (first, second), said = run(SCRIPT, tmp_path, 2, tasks=TASKS)
    assert all(np.array_equal(first[name], second[name]) for name in first)
    for name, how in TASKS:
        alone, rows = train(stages(name, **how), JobContext())
        assert np.allclose(said["rows"][name], rows, rtol=1e-3, atol=1e-4), name
        for part, value in alone.items():
            assert np.allclose(first[f"{name}/{part}"], value, rtol=1e-3, atol=2e-4), (name, part)
