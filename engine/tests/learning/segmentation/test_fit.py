from __future__ import annotations

import dataclasses
import time

import numpy as np
import pytest
import torch
from support.field_windows import TinySegmenter, field_windows

from sits_engine import device
from sits_engine.context import JobContext
from sits_engine.errors import Cancelled, InputError
from sits_engine.learning.checkpoint import Checkpoint
from sits_engine.learning.segmentation.batches import Cutter, Cutting, normalisation
from sits_engine.learning.segmentation.fit import (
    Comparison,
    ContrastOptions,
    StageOptions,
    finetune,
    known_cross_entropy,
    pretrain,
)
from sits_engine.learning.segmentation.recipes import Recipe, recipe
from sits_engine.learning.segmentation.validation import Validation
from sits_engine.models.registry import build, segmentation_hyperparameters
from sits_engine.models.segmentation.similarity import SimilarityHead

CPU = device.select("cpu")
OPTIONS = StageOptions(
    epochs=5, steps_per_epoch=12, recipe=Recipe(1e-2, "cosine", warm_up=0.05), batch_size=6, seed=3
)


def cutters():
    train, held = field_windows(n=10), field_windows(n=4, seed=1)
    bands, cutting = normalisation(train), Cutting(8, 4)
    return Cutter(train, bands, cutting, CPU.torch), Cutter(held, bands, cutting, CPU.torch)


def network(seed=0):
    torch.manual_seed(seed)
    return TinySegmenter()


def run(module=None, ctx=None, progress=lambda share: None, held=True, **changes):
    cutter, held_cutter = cutters()
    validation = Validation(held_cutter if held else None, 3, CPU)
    options = dataclasses.replace(OPTIONS, **changes)
    return finetune(module or network(), cutter, validation, options, CPU, ctx or JobContext(), progress)


def before(module, ctx=None, contrast=None, **changes):
    cutter, held_cutter = cutters()
    options = dataclasses.replace(OPTIONS, **changes)
    validation = Validation(held_cutter, 3, CPU)
    return pretrain(
        module, cutter, validation, contrast or ContrastOptions(), options, CPU, ctx or JobContext()
    )


def test_learns_and_keeps_the_best_weights():
    names = []
    ctx = JobContext(lambda kind, fields: names.append(fields["name"]) if kind == "metric" else None)
    result = run(ctx=ctx)
    scores = [row.validation_miou for row in result.epochs]
    assert scores[-1] > 0.85
    assert scores[-1] > scores[0] + 0.05
    assert not result.module.training
    rates = [row.learning_rate for row in result.epochs]
    assert 5e-3 < rates[0] < 1e-2
    assert rates[-1] == pytest.approx(5e-6)
    assert names.count("validation_miou") == len(result.epochs)
    assert result.epochs[-1].train_loss < result.epochs[0].train_loss
    # the kept weights give the score of the epoch that they are said to be of
    validation = Validation(cutters()[1], 3, CPU)
    loss, miou, accuracy = validation.classes(result.module, JobContext())
    row = result.epochs[result.best_epoch - 1]
    assert (loss, miou, accuracy) == pytest.approx(
        (row.validation_loss, row.validation_miou, row.validation_accuracy), rel=1e-4
    )


def test_same_seed_on_the_cpu_gives_identical_tensors():
    first, again, other = run(epochs=1), run(epochs=1), run(epochs=1, seed=5)
    a, b, c = (r.module.state_dict() for r in (first, again, other))
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert not torch.equal(a["conv.weight"], c["conv.weight"])


def test_a_lucky_early_epoch_does_not_win_and_patience_ends(monkeypatch):
    told = iter([0.1, 0.9, 0.1, 0.6, 0.7, 0.8])
    monkeypatch.setattr(Validation, "classes", lambda self, module, ctx, processes: (1.0, next(told), 0.5))
    assert run(epochs=6, steps_per_epoch=1, patience=20).best_epoch == 6
    lines = []
    told = iter([0.5, 0.9, 0.4, 0.3, 0.2, 0.1])
    ctx = JobContext(lambda kind, fields: lines.append(fields.get("text", "")))
    result = run(epochs=6, steps_per_epoch=1, patience=2, ctx=ctx)
    assert len(result.epochs) == result.best_epoch + 2 < 6
    assert any("no better validation mIoU since epoch" in line for line in lines)


def test_pretraining_separates_neighbours_and_leaves_the_class_head():
    module = network()
    start = {name: value.clone() for name, value in module.state_dict().items()}
    result = before(module)
    rows = result.rows
    assert rows[-1].train_loss < rows[0].train_loss
    assert rows[-1].positive - rows[-1].negative > 0.3
    assert rows[-1].positive - rows[-1].negative > rows[0].positive - rows[0].negative
    assert torch.equal(module.head.weight, start["head.weight"])
    assert torch.equal(module.head.bias, start["head.bias"])
    assert not torch.equal(module.conv.weight, start["conv.weight"])
    # everything is trained afterwards, from the backbone that pre-training left
    conv = module.conv.weight.detach().clone()
    tuned = run(module, epochs=1, steps_per_epoch=1).module
    assert not torch.equal(tuned.conv.weight, conv)
    assert torch.allclose(tuned.conv.weight, conv, atol=0.03)
    assert not torch.equal(tuned.head.weight, start["head.weight"])


@pytest.mark.parametrize(
    "contrast", [ContrastOptions(mask_unlabelled=True), ContrastOptions(kernel=5, dilation=2)]
)
def test_pretraining_with_other_windows_and_masks(contrast):
    result = before(network(), contrast=contrast, epochs=1, steps_per_epoch=3)
    assert result.head.kernel == contrast.kernel
    assert np.isfinite(result.rows[0].validation_loss)


def test_pairs_with_hidden_pixels_never_count():
    cutter, _ = cutters()
    torch.manual_seed(0)
    module, head = network().eval(), SimilarityHead(8, 8).eval()
    batch = cutter.on_device(cutter.at([(0, 0, 0)]))
    batch.labels[:, :, 4:] = -2
    hidden = Comparison(module, head, ContrastOptions(hidden=True))
    _same, mask = hidden.targets(batch.labels)
    assert not mask[:, :, 4:].any()
    assert not mask[:, 1:-1, 3, :, 2].any()
    assert mask[:, :, 3, :, :2].all()
    assert hidden.loss(batch) != Comparison(module, head, ContrastOptions()).loss(batch)


def test_cross_entropy_over_known_pixels():
    logits = torch.randn(2, 3, 4, 4)
    labels = torch.randint(0, 3, (2, 4, 4))
    assert known_cross_entropy(logits, labels) == pytest.approx(
        float(torch.nn.functional.cross_entropy(logits, labels)), rel=1e-5
    )
    part = labels.clone()
    part[0], part[1, 0] = -1, -2
    expected = torch.nn.functional.cross_entropy(logits[1:, :, 1:], labels[1:, 1:])
    assert known_cross_entropy(logits, part) == pytest.approx(float(expected), rel=1e-5)
    assert known_cross_entropy(logits, torch.full_like(labels, -1)) == 0


def test_cancelled_between_steps_and_within_a_step():
    ctx = JobContext()

    def progress(share):
        if share > 0.1:
            ctx.cancel()

    with pytest.raises(Cancelled):
        run(ctx=ctx, progress=progress)

    class Slow(TinySegmenter):
        def embed(self, *inputs):
            ctx.cancel()
            time.sleep(3)
            return super().embed(*inputs)

    ctx = JobContext()
    started = time.monotonic()
    with pytest.raises(Cancelled):
        run(Slow(), ctx=ctx)
    assert time.monotonic() - started < 0.6


class Greedy(TinySegmenter):
    """Runs out of memory with more than `limit` crops."""

    limit = 3

    def embed(self, images, *rest):
        if self.training and len(images) > self.limit:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return super().embed(images, *rest)


def test_out_of_memory_halves_the_batch_and_says_so():
    ctx = JobContext()
    assert run(Greedy(), ctx=ctx, epochs=1, batch_size=10).batch_size == 2
    assert any("batches of 2 windows" in text for text in ctx.warnings)
    ctx = JobContext()
    assert before(Greedy(), ctx=ctx, epochs=1).batch_size == 3
    hungry = Greedy()
    hungry.limit = 0
    with pytest.raises(torch.OutOfMemoryError):
        run(hungry)


def test_divergence_is_told_in_both_stages():
    with pytest.raises(InputError, match="Training diverged in epoch 1"):
        run(recipe=Recipe(float("inf"), "stairs"))
    with pytest.raises(InputError, match="Pre-training diverged in epoch 1"):
        before(network(), recipe=Recipe(float("inf"), "stairs"))


def test_without_validation_the_last_weights_are_kept():
    result = run(held=False, epochs=3, steps_per_epoch=1)
    assert result.best_epoch == 3
    assert np.isnan(result.epochs[0].validation_loss)


def test_validation_looks_at_a_share_of_large_sides():
    _, held = cutters()
    assert len(Validation(held, 3, CPU)) == 16
    some = Validation(held, 3, CPU, most=5)
    assert len(some) == 5
    assert some.places[0][0] == 0
    assert some.places[-1][0] == 3


def test_tsvit_sees_the_season_within_few_steps():
    """Crops of these windows differ in their days alone."""
    train, held = (field_windows(n=24, size=8, dates=8, field=4, clear=1.0, seed=seed) for seed in (0, 1))
    bands, cutting = normalisation(train), Cutting(8, 8)
    cutter, held_cutter = (Cutter(windows, bands, cutting, CPU.torch) for windows in (train, held))
    sizes = segmentation_hyperparameters(
        "tsvit", 2, 3, n_dates=8, window=8, width="small", temporal_depth=2, spatial_depth=1
    )
    torch.manual_seed(0)
    module = build("tsvit", sizes)
    options = StageOptions(2, 20, recipe("tsvit", "finetune", published=False), 8)
    result = finetune(module, cutter, Validation(held_cutter, 3, CPU, most=12), options, CPU, JobContext())
    assert result.epochs[-1].validation_miou > 0.6


def interrupted(stage, file, steps) -> None:
    """Cancelled after so many steps."""
    ctx, seen = JobContext(), []

    def progress(share) -> None:
        seen.append(share)
        if len(seen) > steps:
            ctx.cancel("Enough.")

    with pytest.raises(Cancelled) as caught:
        stage(ctx, progress, file)
    assert "is kept in m.resume.safetensors" in caught.value.advice


@pytest.mark.parametrize("name", ["pretrain", "finetune"])
def test_an_interrupted_stage_goes_on_bit_by_bit(name, tmp_path) -> None:
    options = dataclasses.replace(OPTIONS, epochs=3, steps_per_epoch=4)
    modules = []

    def stage(ctx, progress=lambda share: None, checkpoint=None):
        cutter, held_cutter = cutters()
        validation = Validation(held_cutter, 3, CPU)
        modules.append(network())
        arguments = (options, CPU, ctx, progress)
        if name == "finetune":
            return finetune(modules[-1], cutter, validation, *arguments, checkpoint=checkpoint)
        contrast = ContrastOptions()
        return pretrain(modules[-1], cutter, validation, contrast, *arguments, checkpoint=checkpoint)

    def rows(result):
        return result.rows if name == "pretrain" else result.epochs

    whole = stage(JobContext())
    file = Checkpoint(tmp_path / "m.resume.safetensors", "mark", "a stage")
    interrupted(stage, file, 6)
    said = []
    ctx = JobContext(lambda kind, fields: said.append(fields.get("text")))
    resumed = stage(ctx, checkpoint=file)
    assert "Going on with a stage after epoch 1, where an earlier run was interrupted." in said
    first, last = modules[0].state_dict(), modules[-1].state_dict()
    assert all(torch.equal(first[key], last[key]) for key in first)
    assert rows(resumed) == rows(whole)
    # a stage that has ended is not trained again
    again = stage(JobContext(), checkpoint=file)
    assert rows(again) == rows(whole)
    assert all(torch.equal(first[key], value) for key, value in modules[-1].state_dict().items())
