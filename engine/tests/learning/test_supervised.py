from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from support.seasons import seasons

from sits_engine import device
from sits_engine.context import JobContext
from sits_engine.errors import Cancelled, InputError
from sits_engine.learning.supervised import FitOptions, Validation, fit, normalisation
from sits_engine.learning.transforms import Sampling
from sits_engine.models.registry import build, pseltae_hyperparameters

CPU = device.select("cpu")
OPTIONS = FitOptions(
    epochs=6, steps_per_epoch=10, sampling=Sampling(pixels=4, dates=8), batch_size=32, seed=4
)


def small_network():
    return build("pseltae", pseltae_hyperparameters(2, 3, width="small"))


def run(options=OPTIONS, make=small_network, ctx=None, **changes):
    train, validation = seasons(), seasons(30, seed=1)
    options = dataclasses.replace(options, **changes)
    return fit(make, train, validation, normalisation(train, "standard"), options, CPU, ctx or JobContext())


def test_learns_and_keeps_the_best_weights() -> None:
    metrics = []
    ctx = JobContext(lambda kind, fields: metrics.append(fields["name"]) if kind == "metric" else None)
    result = run(ctx=ctx)
    assert max(row.validation_macro_f1 for row in result.epochs) > 0.9
    scores = [row.validation_macro_f1 for row in result.epochs]
    smooth = [np.mean(scores[max(0, i - 2) : i + 1]) for i in range(len(scores))]
    assert smooth[result.best_epoch - 1] == pytest.approx(max(smooth))
    assert result.epochs[0].learning_rate == pytest.approx(1e-3)
    assert result.epochs[-1].learning_rate < 1e-4
    assert not result.module.training
    assert metrics.count("validation_macro_f1") == len(result.epochs)


def test_same_seed_on_the_cpu_gives_identical_tensors() -> None:
    first, again, other = run(epochs=2), run(epochs=2), run(epochs=2, seed=5)
    a, b, c = (r.module.state_dict() for r in (first, again, other))
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert not torch.equal(a["decoder.1.weight"], c["decoder.1.weight"])


def test_stops_early_when_validation_no_longer_improves() -> None:
    lines = []
    ctx = JobContext(lambda kind, fields: lines.append(fields.get("text", "")))
    result = run(epochs=60, patience=2, steps_per_epoch=6, ctx=ctx)
    assert len(result.epochs) < 60
    assert len(result.epochs) == result.best_epoch + 2
    assert any("no better validation macro-F1 since epoch" in line for line in lines)


def test_a_lucky_early_epoch_does_not_win(monkeypatch) -> None:
    told = iter([0.1, 0.9, 0.1, 0.6, 0.7, 0.8])
    monkeypatch.setattr(Validation, "__call__", lambda self, module, ctx: (1.0, next(told), 0.5))
    assert run(patience=20).best_epoch == 6


def test_cancel_between_steps() -> None:
    ctx = JobContext()

    def progress(fraction: float) -> None:
        if fraction > 0.1:
            ctx.cancel()

    train = seasons()
    with pytest.raises(Cancelled):
        fit(small_network, train, train, normalisation(train, "standard"), OPTIONS, CPU, ctx, progress)


class Greedy(torch.nn.Module):
    """Runs out of memory with more than 12 samples."""

    def __init__(self, limit: int = 12) -> None:
        super().__init__()
        self.limit = limit
        self.inner = small_network()

    def forward(self, pixels, *rest):
        if self.training and len(pixels) > self.limit:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self.inner(pixels, *rest)


def test_out_of_memory_halves_the_batch_and_says_so() -> None:
    ctx = JobContext()
    result = run(make=Greedy, epochs=1, ctx=ctx)
    assert result.batch_size == 8
    assert any("batches of 8 parcels" in text for text in ctx.warnings)
    with pytest.raises(torch.OutOfMemoryError):
        run(make=lambda: Greedy(4), epochs=1)


def test_normalisation_is_that_of_the_valid_pixels() -> None:
    sets = seasons()
    bands = normalisation(sets, "standard")
    for c, band in enumerate(bands):
        seen = sets.values[..., c][sets.valid]
        assert band.mean == pytest.approx(seen.mean(), rel=1e-5)
        assert band.std == pytest.approx(seen.std(), rel=1e-4)
    sets.values[..., 0] = 0
    assert normalisation(sets, "standard")[0].std == 1.0
    published = normalisation(sets, "published")[1]
    # reflectance 0.1 is digital number 1000, and 1000 / 65535 = 0.0153
    assert (0.1 - published.mean) / published.std == pytest.approx(1000 / 65535, rel=1e-6)


def test_nothing_to_train_on_and_no_validation() -> None:
    train = seasons()
    bands = normalisation(train, "standard")
    none = train.subset([])
    with pytest.raises(InputError, match="No parcel is left"):
        fit(small_network, none, train, bands, OPTIONS, CPU, JobContext())
    result = fit(small_network, train, none, bands, dataclasses.replace(OPTIONS, epochs=2), CPU, JobContext())
    assert result.best_epoch == 2


def test_divergence_is_told() -> None:
    with pytest.raises(InputError, match="diverged in epoch 1"):
        run(learning_rate=float("inf"))
