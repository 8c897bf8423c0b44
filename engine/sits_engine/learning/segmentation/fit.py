"""Training of a segmentation network: CSCL pre-training (stage 0), then fine-tuning (stage 2).

Pre-training changes everything but the class head, fine-tuning everything; the similarity head is dropped in
between, and the rates start anew.

Source: shared/spec/cscl.md section 4.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sits_engine.context import JobContext
from sits_engine.device import Device
from sits_engine.learning.checkpoint import Checkpoint, keeping
from sits_engine.learning.divergence import check_loss
from sits_engine.learning.processes import ALONE, Processes
from sits_engine.learning.segmentation.batches import Batch, Cutter, RawBatch
from sits_engine.learning.segmentation.cscl import cscl_loss
from sits_engine.learning.segmentation.parts import Parts, parts_for
from sits_engine.learning.segmentation.recipes import Recipe
from sits_engine.learning.segmentation.steps import Steps
from sits_engine.learning.segmentation.summary import PretrainRow, SegmentEpochRow
from sits_engine.learning.segmentation.targets import pair_mask, same_class
from sits_engine.learning.segmentation.validation import Validation
from sits_engine.models.segmentation.similarity import SimilarityHead
from sits_engine.models.shared_norm import shared_statistics

Progress = Callable[[float], None]
#: Epochs over which the validation mIoU is averaged to choose the weights.
SMOOTHING = 3


@dataclass(frozen=True)
class StageOptions:
    """How one stage is trained.

    Attributes:
        epochs: at most.
        steps_per_epoch: optimiser steps between two looks at the validation side.
        recipe: optimiser and rates.
        batch_size: crops a step; halved when memory runs out.
        patience: epochs without a better validation mIoU before fine-tuning stops.
        seed: same seed on a CPU, same weights.
    """

    epochs: int
    steps_per_epoch: int
    recipe: Recipe
    batch_size: int = 16
    patience: int = 20
    seed: int = 0


@dataclass(frozen=True)
class ContrastOptions:
    """How pixels are compared in pre-training; defaults are the published ones.

    Attributes:
        kernel, dilation: the window of neighbours.
        mask_unlabelled: leave out pairs with an unknown pixel, with a place outside the crop, and the centre;
            published: unknown pixels count as one class, places outside as different.
        reference: published mean of the masked loss (see `cscl_loss`).
        hidden: some labels may be hidden (a split inside windows); pairs with them never count.
    """

    kernel: int = 3
    dilation: int = 1
    mask_unlabelled: bool = False
    reference: bool = False
    hidden: bool = False


class Comparison:
    """Loss and sums of the pairs of a batch, for training and validation alike."""

    def __init__(self, module: nn.Module, head: SimilarityHead, options: ContrastOptions) -> None:
        self.module, self.head, self.options = module, head, options

    def similarity(self, batch: Batch) -> Tensor:
        """(B, H, W, k, k)."""
        embedding: Tensor = self.module.embed(*batch.inputs)  # type: ignore[operator]
        similarity: Tensor = self.head(embedding)
        return similarity

    def targets(self, labels: Tensor) -> tuple[Tensor, Tensor | None]:
        """Same class or not, and which pairs count (None: all)."""
        o = self.options
        mask = pair_mask(labels, o.kernel, o.dilation, unlabelled=o.mask_unlabelled, hidden=o.hidden)
        return same_class(labels, o.kernel, o.dilation), mask

    def loss(self, batch: Batch) -> Tensor:
        """CSCL of a batch."""
        similarity = self.similarity(batch)
        same, mask = self.targets(batch.labels)
        return cscl_loss(similarity, same, mask, reference=self.options.reference)

    def counted(self, labels: Tensor) -> Tensor:
        """Number of pairs that the loss of crops is the mean of."""
        mask = self.targets(labels)[1]
        if mask is None or self.options.reference:
            return torch.tensor(labels.numel() * self.options.kernel**2, device=labels.device)
        return mask.sum()


@dataclass
class PretrainResult:
    """The similarity head as trained, and the curve; the network itself was changed."""

    head: SimilarityHead
    rows: list[PretrainRow]
    batch_size: int


def pretrain(
    module: nn.Module,
    cutter: Cutter,
    validation: Validation,
    contrast: ContrastOptions,
    options: StageOptions,
    device: Device,
    ctx: JobContext,
    progress: Progress = lambda share: None,
    *,
    processes: Processes = ALONE,
    checkpoint: Checkpoint | None = None,
) -> PretrainResult:
    """Stage 0: train a network, all but its class head, with CSCL.

    Args:
        module: a `Segmenter` on the device.
        cutter: of the training windows.
        validation: for the curve; nothing is chosen by it.
        contrast, options: see there; `patience` is not used.
        progress: gets the done share, in every step.
        processes: that share each batch; all of them call this with the same arguments.
        checkpoint: gets the state after each epoch; training goes on from it where it is of this run.

    Raises:
        InputError: the loss stops being a number.
        Cancelled: somebody asked to stop; the checkpoint holds the last whole epoch.
    """
    torch.manual_seed(options.seed + 1)  # the network's own first weights stay those of a run without
    channels = int(module.embedding_channels)  # type: ignore[arg-type]
    head = SimilarityHead(channels, kernel=contrast.kernel, dilation=contrast.dilation).to(device.torch)
    compare = Comparison(module, head, contrast)
    rows: list[PretrainRow] = []
    both = nn.ModuleList([module, head])
    processes.begin_alike(both)
    steps = _steps(
        cutter,
        compare.loss,
        both,
        options,
        device,
        ctx,
        processes,
        lambda batch: compare.counted(batch.labels),
    )
    parts = {"network": module, "head": head}
    if facts := steps.resume(checkpoint, parts):
        rows = [PretrainRow(**row) for row in facts["rows"]]
    with closing(steps), keeping(checkpoint, rows), _sharing(steps, both, processes):
        for epoch in range(len(rows) + 1, options.epochs + 1):
            own = steps.epoch(epoch, progress)
            found = validation.pairs(compare, [module, head], ctx, processes)
            loss, held, positive, negative = processes.numbers([float(processes.add(own)), *found])
            check_loss(loss, epoch, "Pre-training")
            rows.append(PretrainRow(epoch, steps.learning_rate, loss, held, positive, negative))
            ctx.metric("pretrain_loss", loss, epoch)
            ctx.metric("pretrain_validation_loss", held, epoch)
            steps.save(checkpoint, parts, rows)
    return PretrainResult(head.eval(), rows, steps.batch_size)


@dataclass
class FitResult:
    """The trained network (best weights, eval mode, on the device) and how it got there."""

    module: nn.Module
    epochs: list[SegmentEpochRow]
    best_epoch: int
    batch_size: int
    windows_per_second: float


def finetune(
    module: nn.Module,
    cutter: Cutter,
    validation: Validation,
    options: StageOptions,
    device: Device,
    ctx: JobContext,
    progress: Progress = lambda share: None,
    *,
    processes: Processes = ALONE,
    checkpoint: Checkpoint | None = None,
) -> FitResult:
    """Stage 2: train with cross-entropy over known pixels; keep the weights with the best validation mIoU.

    Args:
        module: a `Segmenter` on the device, pre-trained or not.
        cutter: of the training windows.
        validation: what the weights are chosen by; without places the last weights are kept.
        options: see `StageOptions`.
        progress: gets the done share, in every step.
        processes: that share each batch; all of them call this with the same arguments.
        checkpoint: gets the state after each epoch; training goes on from it where it is of this run.

    Raises:
        InputError: the loss stops being a number.
        Cancelled: somebody asked to stop; the checkpoint holds the last whole epoch.
    """

    def loss_of(batch: Batch) -> Tensor:
        return known_cross_entropy(module(*batch.inputs), batch.labels)

    best, best_key, best_epoch = copy.deepcopy(module), (-1.0, 0.0), 0
    rows: list[SegmentEpochRow] = []
    started = time.monotonic()
    processes.begin_alike(module)
    whole = nn.ModuleList([module])
    steps = _steps(cutter, loss_of, whole, options, device, ctx, processes, _known, parts_for(module, device))
    parts = {"network": module, "best": best}
    if facts := steps.resume(checkpoint, parts):
        rows = [SegmentEpochRow(**row) for row in facts["rows"]]
        (first, second), best_epoch = facts["best_key"], facts["best_epoch"]
        best_key = first, second
    with closing(steps), keeping(checkpoint, rows), _sharing(steps, whole, processes):
        for epoch in range(len(rows) + 1, options.epochs + 1):
            if epoch - 1 - best_epoch >= options.patience:
                since = f"no better validation mIoU since epoch {best_epoch}"
                ctx.info(f"Stopped after epoch {epoch - 1}: {since}.")
                break
            own = steps.epoch(epoch, progress)
            found = validation.classes(module, ctx, processes)
            train_loss, loss, miou, accuracy = processes.numbers([float(processes.add(own)), *found])
            check_loss(train_loss, epoch)
            rows.append(SegmentEpochRow(epoch, steps.learning_rate, train_loss, loss, miou, accuracy))
            ctx.metric("train_loss", train_loss, epoch)
            ctx.metric("validation_loss", loss, epoch)
            ctx.metric("validation_miou", miou, epoch)
            # the mean of some epochs keeps a lucky one from winning; among equals the more confident weights
            smooth = float(np.mean([row.validation_miou for row in rows[-SMOOTHING:]]))
            key = (round(smooth, 6), -loss) if len(validation) else (float(epoch), 0.0)
            if key > best_key:
                best_key, best_epoch = key, epoch
                best.load_state_dict(module.state_dict())
            steps.save(checkpoint, parts, rows, best_key=best_key, best_epoch=best_epoch)
    seconds = max(time.monotonic() - started, 1e-9)
    module.load_state_dict(best.state_dict())
    return FitResult(module.eval(), rows, best_epoch, steps.batch_size, steps.samples / seconds)


@contextmanager
def _sharing(steps: Steps[RawBatch, Batch], modules: nn.Module, processes: Processes) -> Iterator[None]:
    """All processes train with the same batch size and the statistics of the whole batch."""
    steps.agree()
    with shared_statistics(modules, processes.total):
        yield


def _known(batch: Batch) -> Tensor:
    """Number of pixels with a known class."""
    return (batch.labels >= 0).sum()


def known_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy over pixels with a known class, in float32; 0 without any.

    Args:
        logits: (B, K, H, W).
        labels: (B, H, W) class, < 0 unknown.
    """
    total = F.cross_entropy(logits.float(), labels.clamp_min(-1), ignore_index=-1, reduction="sum")
    return total / (labels >= 0).sum().clamp_min(1)


def _steps(
    cutter: Cutter,
    loss_of: Callable[[Batch], Tensor],
    modules: nn.ModuleList,
    options: StageOptions,
    device: Device,
    ctx: JobContext,
    processes: Processes,
    counted: Callable[[Batch], Tensor],
    parts: Parts | None = None,
) -> Steps[RawBatch, Batch]:
    if not device.is_cpu:
        torch.set_float32_matmul_precision("high")  # TF32: the sums of batch norm stay in float32
    return Steps(
        cutter,
        loss_of,
        list(modules),
        options.recipe,
        options.epochs,
        options.steps_per_epoch,
        batch_size=options.batch_size,
        seed=options.seed,
        device=device,
        ctx=ctx,
        parts=parts,
        processes=processes,
        counted=counted,
    )
