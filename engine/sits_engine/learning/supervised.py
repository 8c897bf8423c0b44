"""Supervised training of a crop classifier on pixel sets."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from sits_engine.context import JobContext
from sits_engine.device import Device
from sits_engine.errors import InputError
from sits_engine.learning import schedule, scores
from sits_engine.learning.checkpoint import Checkpoint, keeping, resumed
from sits_engine.learning.divergence import check_loss
from sits_engine.learning.focal import focal_loss
from sits_engine.learning.processes import ALONE, Processes
from sits_engine.learning.sampler import BalancedSampler
from sits_engine.learning.summary import EpochRow
from sits_engine.learning.training_batches import TrainingBatches
from sits_engine.learning.transforms import Batch, Collator, Sampling
from sits_engine.models import eval_form
from sits_engine.models.card import BandCard
from sits_engine.models.shared_norm import shared_statistics
from sits_engine.models.training_form import TrainingForm
from sits_engine.samples.pixel_sets import PixelSets

#: Smallest batch: batch norm needs several samples.
SMALLEST_BATCH = 8
#: Pixels of a set looked at in validation during training (the final scores use all).
VALIDATION_PIXELS = 64

#: Epochs over which the validation macro-F1 is averaged to choose the weights.
SMOOTHING = 3


@dataclass(frozen=True)
class FitOptions:
    """How to train; defaults are the published ones (spec timematch.md section 4).

    Attributes:
        epochs: at most.
        steps_per_epoch: optimiser steps of an epoch.
        sampling: how samples are drawn from sets.
        batch_size: samples a step; halved when memory runs out.
        learning_rate: of Adam; falls along a cosine to 0 over all steps.
        weight_decay: L2.
        gamma: of the focal loss.
        patience: epochs without a better validation macro-F1 before training stops.
        seed: same seed on a CPU, same weights.
    """

    epochs: int
    steps_per_epoch: int
    sampling: Sampling
    batch_size: int = 128
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    gamma: float = 1.0
    patience: int = 20
    seed: int = 0


@dataclass
class FitResult:
    """The trained network (best weights, eval mode, on the device) and how it got there."""

    module: nn.Module
    epochs: list[EpochRow]
    best_epoch: int
    batch_size: int
    samples_per_second: float


def fit(
    make: Callable[[], nn.Module],
    train: PixelSets,
    validation: PixelSets,
    bands: list[BandCard],
    options: FitOptions,
    device: Device,
    ctx: JobContext,
    progress: Callable[[float], None] = lambda fraction: None,
    *,
    processes: Processes = ALONE,
    checkpoint: Checkpoint | None = None,
) -> FitResult:
    """Train a network and keep the weights with the best validation macro-F1.

    Args:
        make: makes the network with fresh weights; called after seeding.
        train, validation: sets with the same bands and classes, all labelled.
        bands: normalisation of the bands.
        options: see `FitOptions`.
        device: where to compute.
        ctx: log, metrics and cancellation (looked at in every step).
        progress: gets the done share, in every step.
        processes: that share each batch; all of them call this with the same arguments.
        checkpoint: gets the state after each epoch; training goes on from it where it is of this run.

    Raises:
        InputError: no training samples, fewer in a batch than processes, or the loss stops being a number.
        Cancelled: somebody asked to stop; the checkpoint holds the last whole epoch.
    """
    if len(train) == 0:
        raise InputError("No parcel is left for training.", "Add parcels, or choose SPLIT = parcels.")
    torch.manual_seed(options.seed)
    if not device.is_cpu:
        torch.set_float32_matmul_precision("high")  # TF32: the sums of batch norm stay in float32
    module = make().to(device.torch)
    processes.begin_alike(module)
    best, best_key, best_epoch = copy.deepcopy(module), (-1.0, 0.0), 0
    run = _Run(module, train, bands, options, device, ctx, processes)
    watcher = Validation(validation, bands, options, device, processes)
    rows: list[EpochRow] = []
    parts = {"network": module, "best": best}
    facts = resumed(checkpoint, parts, run.optimizer, run.schedule, ctx=ctx, processes=processes)
    if facts is not None:
        rows = [EpochRow(**row) for row in facts["rows"]]
        first, second = facts["best_key"]
        best_key, best_epoch, run.batch_size = (first, second), facts["best_epoch"], facts["batch_size"]
    total = options.epochs * options.steps_per_epoch
    started = time.monotonic()
    run.agree()
    with closing(run), keeping(checkpoint, rows), shared_statistics(module, processes.total):
        for epoch in range(len(rows) + 1, options.epochs + 1):
            if epoch - 1 - best_epoch >= options.patience:
                since = f"no better validation macro-F1 since epoch {best_epoch}"
                ctx.info(f"Stopped after epoch {epoch - 1}: {since}.")
                break
            run.begin(epoch)
            losses, rate = [], run.learning_rate
            for step in range(options.steps_per_epoch):
                done = (epoch - 1) * options.steps_per_epoch + step
                progress(done / total)
                ctx.check_cancelled()
                losses.append(run.step())
            scored = watcher(module, ctx)
            own = float(processes.add(torch.stack(losses).mean()))
            train_loss, loss, macro_f1, accuracy = processes.numbers([own, *scored])
            check_loss(train_loss, epoch)
            rows.append(EpochRow(epoch, rate, train_loss, loss, macro_f1, accuracy))
            ctx.metric("train_loss", train_loss, epoch)
            ctx.metric("validation_loss", loss, epoch)
            ctx.metric("validation_macro_f1", macro_f1, epoch)
            # With few validation samples the score jumps: the mean of some epochs keeps a lucky early one
            # from winning. Among equals the more confident weights; without samples simply the last ones.
            smooth = float(np.mean([row.validation_macro_f1 for row in rows[-SMOOTHING:]]))
            key = (round(smooth, 6), -loss) if len(validation) else (float(epoch), 0.0)
            if key > best_key:
                best_key, best_epoch = key, epoch
                best.load_state_dict(module.state_dict())
            if checkpoint is not None:
                state = {
                    "rows": [asdict(row) for row in rows],
                    "best_key": best_key,
                    "best_epoch": best_epoch,
                    "batch_size": run.batch_size,
                }
                checkpoint.save(parts, run.optimizer, run.schedule, state)
    seconds = max(time.monotonic() - started, 1e-9)
    module.load_state_dict(best.state_dict())
    return FitResult(module.eval(), rows, best_epoch, run.batch_size, run.samples / seconds)


class _Run(TrainingBatches[Batch]):
    """One network in training."""

    UNIT, SMALLEST = "parcel", (SMALLEST_BATCH, 2)

    def __init__(
        self,
        module: nn.Module,
        train: PixelSets,
        bands: list[BandCard],
        options: FitOptions,
        device: Device,
        ctx: JobContext,
        processes: Processes,
    ) -> None:
        optimizer = schedule.adam(module, options.learning_rate, options.weight_decay)
        super().__init__([module], optimizer, options.batch_size, options.seed, device, ctx, processes)
        self.schedule = schedule.cosine(self.optimizer, options.epochs * options.steps_per_epoch)
        self._module, self._gamma, self._labels = module, options.gamma, train.labels
        self._form, self._collate = TrainingForm(module), Collator(train, bands, options.sampling)

    @property
    def learning_rate(self) -> float:
        """Of the next step."""
        return float(self.optimizer.param_groups[0]["lr"])

    def step(self) -> Tensor:
        """One optimiser step; returns the loss (a tensor, so that a GPU isn't waited for)."""
        loss = self._fitting(self._attempt)
        self._processes.add_gradients(self._module)
        self.optimizer.step()
        self.schedule.step()
        self.samples += self.batch_size
        return loss

    def _attempt(self) -> Tensor:
        batch = next(self._batches).to(self._device.torch)
        self._module.train()
        self.optimizer.zero_grad(set_to_none=True)
        logits = self._form(*batch.inputs)
        # of the whole batch: the parts of all processes add up to its mean
        part = len(batch.labels) / self.batch_size
        loss = focal_loss(logits, batch.labels, self._gamma) * part
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    def _drawer(self) -> Callable[[], Batch]:
        rng = np.random.default_rng([self._seed, self._epoch, self.batch_size])
        sampler = BalancedSampler(self._labels, self.batch_size, rng)
        return lambda: self._collate(sampler.draw(), rng, self._processes.share)


class Validation:
    """Loss, macro-F1 and accuracy of a network on held-out sets, always on the same pixels."""

    def __init__(
        self,
        sets: PixelSets,
        bands: list[BandCard],
        options: FitOptions,
        device: Device,
        processes: Processes = ALONE,
    ) -> None:
        pixels = int(min(VALIDATION_PIXELS, sets.n_pixels.max(initial=1)))
        sampling = replace(options.sampling, pixels=pixels, dates=None, shift=0, small_share=0.0)
        self._collate = Collator(sets, bands, sampling)
        self._sets, self._options, self._device, self._processes = sets, options, device, processes
        self._batch = 64 if device.is_cpu else 512

    def __call__(self, module: nn.Module, ctx: JobContext) -> tuple[float, float, float]:
        """(focal loss, macro-F1 over the classes there, accuracy); NaN loss and zeros without sets."""
        labels = self._sets.labels
        if not len(labels):
            return float("nan"), 0.0, 0.0
        logits = self.logits(module, ctx)
        loss = float(focal_loss(logits, torch.from_numpy(labels), self._options.gamma))
        confusion = scores.confusion_of(labels, logits.argmax(1).numpy(), logits.shape[1])
        return loss, scores.macro_f1(confusion), scores.accuracy(confusion)

    @torch.inference_mode()
    def logits(self, module: nn.Module, ctx: JobContext) -> Tensor:
        """(N, K) logits of all sets in evaluation mode, on the CPU."""
        module.eval()
        parts = []
        for number, start in enumerate(range(0, len(self._sets), self._batch)):
            ctx.check_cancelled()
            index = np.arange(start, min(start + self._batch, len(self._sets)))
            if number % self._processes.size != self._processes.rank:
                parts.append(torch.zeros(len(index), len(self._sets.classes)))
                continue
            rng = np.random.default_rng([self._options.seed, start])
            batch = self._collate(index, rng).to(self._device.torch)
            parts.append(eval_form.logits(module, *batch.inputs).float().cpu())
        return self._processes.add(torch.cat(parts))


def normalisation(train: PixelSets, kind: str) -> list[BandCard]:
    """Mean and deviation of each band.

    Args:
        train: training sets only, so that nothing of the test blocks leaks.
        kind: 'standard': of the valid pixels; 'published': digital numbers / 65535 (reflectance * 10000).
    """
    from sits_engine.learning.transforms import PUBLISHED_STD

    if kind == "published":
        return [BandCard(name=name, mean=0.0, std=PUBLISHED_STD) for name in train.bands]
    count = max(1, int(train.valid.sum()))
    # values are 0 where not valid: sums over everything are sums over the valid ones
    sums = np.zeros(len(train.bands))
    squares = np.zeros(len(train.bands))
    for start in range(0, len(train.values), 4096):
        part = train.values[start : start + 4096].astype(np.float64)
        sums += part.sum(axis=(0, 1))
        squares += np.square(part).sum(axis=(0, 1))
    mean = sums / count
    std = np.sqrt(np.maximum(squares / count - mean**2, 0))
    # a constant band carries nothing; an std of 1 keeps it finite
    return [
        BandCard(name=name, mean=float(m), std=float(s) if s > 1e-6 else 1.0)
        for name, m, s in zip(train.bands, mean, std, strict=True)
    ]
