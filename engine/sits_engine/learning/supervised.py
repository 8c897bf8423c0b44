"""Supervised training of a crop classifier on pixel sets."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from sits_engine.context import JobContext
from sits_engine.device import Device
from sits_engine.errors import InputError
from sits_engine.learning import schedule, scores
from sits_engine.learning.focal import focal_loss
from sits_engine.learning.sampler import BalancedSampler
from sits_engine.learning.summary import EpochRow
from sits_engine.learning.transforms import Batch, Collator, Sampling
from sits_engine.models.card import BandCard
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

    Raises:
        InputError: no training samples, or the loss stops being a number.
        Cancelled: somebody asked to stop.
    """
    if len(train) == 0:
        raise InputError("No parcel is left for training.", "Add parcels, or choose SPLIT = parcels.")
    torch.manual_seed(options.seed)
    if not device.is_cpu:
        torch.set_float32_matmul_precision("high")  # TF32: the sums of batch norm stay in float32
    module = make().to(device.torch)
    run = _Run(module, train, bands, options, device, ctx)
    watcher = Validation(validation, bands, options, device)
    best_state, best_key, best_epoch = copy.deepcopy(module.state_dict()), (-1.0, 0.0), 0
    rows: list[EpochRow] = []
    total = options.epochs * options.steps_per_epoch
    started = time.monotonic()
    with closing(run):
        for epoch in range(1, options.epochs + 1):
            losses, rate = [], run.learning_rate
            for step in range(options.steps_per_epoch):
                done = (epoch - 1) * options.steps_per_epoch + step
                progress(done / total)
                ctx.check_cancelled()
                losses.append(run.step())
            loss, macro_f1, accuracy = watcher(module, ctx)
            train_loss = float(torch.stack(losses).mean())
            if not np.isfinite(train_loss):
                raise InputError(
                    f"Training diverged in epoch {epoch}: the loss is no number any more.",
                    "Lower LEARNING_RATE, and check the images for values that can't be.",
                )
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
                best_state = copy.deepcopy(module.state_dict())
            elif epoch - best_epoch >= options.patience:
                ctx.info(
                    f"Stopped after epoch {epoch}: no better validation macro-F1 since epoch {best_epoch}."
                )
                break
    seconds = max(time.monotonic() - started, 1e-9)
    module.load_state_dict(best_state)
    return FitResult(module.eval(), rows, best_epoch, run.batch_size, run.samples / seconds)


class _Run:
    """One network in training: draws batches, steps, and halves the batch when memory runs out."""

    def __init__(
        self,
        module: nn.Module,
        train: PixelSets,
        bands: list[BandCard],
        options: FitOptions,
        device: Device,
        ctx: JobContext,
    ) -> None:
        self.batch_size = options.batch_size
        self.samples = 0
        self._module, self._options, self._device, self._ctx = module, options, device, ctx
        self._form = TrainingForm(module)
        self._optimizer = schedule.adam(module, options.learning_rate, options.weight_decay)
        self._schedule = schedule.cosine(self._optimizer, options.epochs * options.steps_per_epoch)
        self._collate = Collator(train, bands, options.sampling)
        self._labels = train.labels
        self._rng = np.random.default_rng(options.seed)
        self._drawing = None if device.is_cpu else ThreadPoolExecutor(1, "draw")
        self._batches = self._draw_batches()

    @property
    def learning_rate(self) -> float:
        """Of the next step."""
        return float(self._optimizer.param_groups[0]["lr"])

    def close(self) -> None:
        """Stop drawing."""
        self._batches.close()
        if self._drawing:
            self._drawing.shutdown(cancel_futures=True)

    def step(self) -> Tensor:
        """One optimiser step; returns the loss (a tensor, so that a GPU isn't waited for)."""
        while True:
            try:
                loss = self._forward_backward(next(self._batches))
                break
            except torch.OutOfMemoryError:
                if self.batch_size // 2 < SMALLEST_BATCH:
                    raise
                self._halve()
        self._optimizer.step()
        self._schedule.step()
        self.samples += self.batch_size
        return loss

    def _forward_backward(self, batch: Batch) -> Tensor:
        self._module.train()
        self._optimizer.zero_grad(set_to_none=True)
        logits = self._form(*batch.inputs)
        loss = focal_loss(logits, batch.labels, self._options.gamma)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    def _halve(self) -> None:
        self._optimizer.zero_grad(set_to_none=True)
        self._batches.close()
        self.batch_size //= 2
        self._ctx.warn(
            f"{self._device.label} ran out of memory: going on with batches of {self.batch_size} parcels."
        )
        if self._device.torch.type == "cuda":
            torch.cuda.empty_cache()
        self._batches = self._draw_batches()

    def _draw_batches(self) -> Generator[Batch, None, None]:
        """Endless batches; beside a GPU the next one is drawn while it computes."""
        sampler = iter(BalancedSampler(self._labels, self.batch_size, self._rng))

        def draw() -> Batch:
            return self._collate(next(sampler), self._rng)

        if self._drawing is None:
            while True:
                yield draw()
        coming = self._drawing.submit(draw)
        while True:
            batch = coming.result()
            coming = self._drawing.submit(draw)
            yield batch.to(self._device.torch)


class Validation:
    """Loss, macro-F1 and accuracy of a network on held-out sets, always on the same pixels."""

    def __init__(self, sets: PixelSets, bands: list[BandCard], options: FitOptions, device: Device) -> None:
        pixels = int(min(VALIDATION_PIXELS, sets.n_pixels.max(initial=1)))
        sampling = replace(options.sampling, pixels=pixels, dates=None, shift=0, small_share=0.0)
        self._collate = Collator(sets, bands, sampling)
        self._sets, self._options, self._device = sets, options, device
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
        rng = np.random.default_rng(self._options.seed)
        parts = []
        for start in range(0, len(self._sets), self._batch):
            ctx.check_cancelled()
            index = np.arange(start, min(start + self._batch, len(self._sets)))
            parts.append(module(*self._collate(index, rng).to(self._device.torch).inputs).float().cpu())
        return torch.cat(parts)


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
