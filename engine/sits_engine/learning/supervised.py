"""Supervised training of a crop classifier on pixel sets."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
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
        InputError: no training samples, or the loss stops being a number.
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
    run.fit_batch()
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


class _Run:
    """One network in training: draws batches, steps, and halves the batch when memory runs out.

    Chance comes from the seed, the epoch and, for dropout, the process: a resumed run draws what the whole
    one would have drawn, on any number of processes.
    """

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
        self.batch_size = options.batch_size
        self.samples = 0
        self.optimizer = schedule.adam(module, options.learning_rate, options.weight_decay)
        self.schedule = schedule.cosine(self.optimizer, options.epochs * options.steps_per_epoch)
        self._module, self._options, self._device, self._ctx = module, options, device, ctx
        self._form, self._processes = TrainingForm(module), processes
        self._collate = Collator(train, bands, options.sampling)
        self._labels = train.labels
        self._drawing = None if device.is_cpu else ThreadPoolExecutor(1, "draw")
        self.begin(0)

    @property
    def learning_rate(self) -> float:
        """Of the next step."""
        return float(self.optimizer.param_groups[0]["lr"])

    def close(self) -> None:
        """Stop drawing."""
        self._batches.close()
        if self._drawing:
            self._drawing.shutdown(cancel_futures=True)

    def begin(self, epoch: int) -> None:
        """Draw the batches of an epoch; 0 are those of a trial."""
        self._epoch = epoch
        dropout = np.random.SeedSequence([self._options.seed, epoch, self._processes.rank])
        torch.manual_seed(int(dropout.generate_state(1)[0]))
        self._batches = self._draw_batches()

    def fit_batch(self) -> None:
        """Several processes agree on a batch that fits into the memory of all: by a step without effect.

        Later none could halve it alone: the others would wait for its part of a sum.
        """
        if self._processes.size == 1:
            return
        before = copy.deepcopy(self._module.state_dict())
        while True:
            try:
                self._forward_backward(next(self._batches))
                short = 0.0
            except torch.OutOfMemoryError:
                short = 1.0
            self.optimizer.zero_grad(set_to_none=True)
            if not float(self._processes.add(torch.tensor(short, device=self._device.torch))):
                break
            self._halve()
        self._module.load_state_dict(before)

    def step(self) -> Tensor:
        """One optimiser step; returns the loss (a tensor, so that a GPU isn't waited for)."""
        while True:
            try:
                loss = self._forward_backward(next(self._batches))
                break
            except torch.OutOfMemoryError:
                if self._processes.size > 1:
                    raise
                self._halve()
        self._processes.add_gradients(self._module)
        self.optimizer.step()
        self.schedule.step()
        self.samples += self.batch_size
        return loss

    def _forward_backward(self, batch: Batch) -> Tensor:
        self._module.train()
        self.optimizer.zero_grad(set_to_none=True)
        logits = self._form(*batch.inputs)
        # of the whole batch: the parts of all processes add up to its mean
        part = len(batch.labels) / self.batch_size
        loss = focal_loss(logits, batch.labels, self._options.gamma) * part
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    def _halve(self) -> None:
        """Half as large batches; raises the error at hand where they would be too small."""
        if self.batch_size // 2 < max(SMALLEST_BATCH, 2 * self._processes.size):
            raise torch.OutOfMemoryError(f"{self._device.label}: not even {self.batch_size} parcels fit")
        self.optimizer.zero_grad(set_to_none=True)
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
        rng = np.random.default_rng([self._options.seed, self._epoch, self.batch_size])
        sampler = BalancedSampler(self._labels, self.batch_size, rng)

        def draw() -> Batch:
            return self._collate(sampler.draw(), rng, self._processes.share)

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
