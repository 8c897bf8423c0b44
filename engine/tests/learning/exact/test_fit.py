"""Training of the classifier: what an interruption changes (nothing)."""

from __future__ import annotations

import pytest
import torch
from support.fit_masks_together import task

from sits_engine import device
from sits_engine.context import JobContext
from sits_engine.errors import Cancelled

CPU = device.select("cpu")


def alike(a, b) -> bool:
    first, second = a.module.state_dict(), b.module.state_dict()
    return all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("mode", ["momentum", "gradient"])
def test_an_interrupted_training_goes_on_bit_by_bit(mode, tmp_path) -> None:
    whole = task(prototype_mode=mode).run(CPU, JobContext())
    assert whole.contrast_from == 2
    assert whole.rows[1].contrast is not None
    ctx, seen = JobContext(), []

    def progress(share) -> None:
        seen.append(share)
        if len(seen) > 4:
            ctx.cancel("Enough.")

    interrupted = task(prototype_mode=mode)
    file = interrupted.checkpoint(tmp_path / "m.resume.safetensors")
    with pytest.raises(Cancelled) as caught:
        interrupted.run(CPU, ctx, progress, checkpoint=file)
    assert "after epoch 2 is kept in m.resume.safetensors" in caught.value.advice
    said = []
    ctx = JobContext(lambda kind, fields: said.append(fields.get("text")))
    resumed = task(prototype_mode=mode).run(CPU, ctx, checkpoint=file)
    assert "Going on with training after epoch 2, where an earlier run was interrupted." in said
    assert alike(whole, resumed)
    assert resumed.rows == whole.rows
    # what has ended is not trained again
    again = task(prototype_mode=mode).run(CPU, JobContext(), checkpoint=file)
    assert alike(whole, again)
    assert again.precision == pytest.approx(whole.precision, nan_ok=True)


def test_other_windows_or_settings_start_anew(tmp_path) -> None:
    path = tmp_path / "m.resume.safetensors"
    one = task()
    assert task().checkpoint(path).mark == one.checkpoint(path).mark
    assert task(prototype_mode="gradient").checkpoint(path).mark != one.checkpoint(path).mark
    one.bags.inside[0, 0, 0] ^= True
    assert task().checkpoint(path).mark != one.checkpoint(path).mark
