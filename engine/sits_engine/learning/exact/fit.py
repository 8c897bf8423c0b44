"""Training of Exact's classifier from ticks, and what it sees in windows afterwards.

Source: shared/spec/exact.md sections 3 and 7. The rate moves each step (pitfalls 2.3), the contrastive loss
starts after a share of the steps, and the last weights are kept: nothing is chosen by labels of pixels (2.1).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sits_engine.context import JobContext
from sits_engine.device import Device
from sits_engine.errors import InputError
from sits_engine.learning.checkpoint import Checkpoint, keeping
from sits_engine.learning.divergence import check_loss
from sits_engine.learning.exact.batches import BagBatch, BagCutter, RawBags
from sits_engine.learning.exact.losses import exact_loss
from sits_engine.learning.exact.options import ExactSettings
from sits_engine.learning.exact.precision import average_precision
from sits_engine.learning.exact.summary import ExactEpochRow
from sits_engine.learning.processes import ALONE, Processes
from sits_engine.learning.segmentation.recipes import Recipe
from sits_engine.learning.segmentation.steps import Patient, Steps
from sits_engine.models.exact.classifier import ExactClassifier, ExactOutput
from sits_engine.models.precision import mixed

Progress = Callable[[float], None]
Floats = npt.NDArray[np.float64]
#: Windows that are judged at once.
WINDOWS_CPU, WINDOWS_GPU = 8, 64
#: Parts of the loss as `ExactEpochRow` names them.
PARTS = ("classes", "temporal", "spatial", "contrast", "affinity")


@dataclass
class ExactFit:
    """The trained network (on the device, eval mode) and how it got there.

    Attributes:
        module: the classifier with its prototypes.
        rows: one an epoch.
        precision: (K,) average precision on held-out polygons after the last epoch, NaN where undefined.
        contrast_from: first epoch with the contrastive loss, None: never.
        batch_size: windows a step, about.
        seconds: of the training.
    """

    module: ExactClassifier
    rows: list[ExactEpochRow]
    precision: Floats
    contrast_from: int | None
    batch_size: int
    seconds: float


@dataclass
class Held:
    """Polygons that are not trained on: `index` (n,) windows, `bags` (n,) and `ticks` (A, K) of them."""

    cutter: BagCutter
    index: npt.NDArray[np.int64]
    bags: npt.NDArray[np.int64]
    ticks: npt.NDArray[np.bool_]


def fit_exact(
    module: ExactClassifier,
    cutter: BagCutter,
    held: Held | None,
    settings: ExactSettings,
    device: Device,
    ctx: JobContext,
    *,
    seed: int,
    progress: Progress = lambda share: None,
    processes: Processes = ALONE,
    checkpoint: Checkpoint | None = None,
) -> ExactFit:
    """Train a classifier.

    Args:
        module: on the device.
        cutter: of the polygons to train on.
        held: for the curve; None: no curve.
        settings: see there.
        seed: of the draw.
        progress: gets the done share in every step.
        processes: that share each batch; all of them call this with the same arguments.
        checkpoint: gets the state after each epoch; training goes on from it where it is of this run.

    Raises:
        InputError: the loss stops being a number, or a batch has too few polygons for all processes.
        Cancelled: somebody asked to stop; the checkpoint holds the last whole epoch.
    """
    if not device.is_cpu:
        torch.set_float32_matmul_precision("high")
    total = settings.epochs * settings.steps_per_epoch
    first = round(settings.contrast_from * total)
    recipe = Recipe(settings.learning_rate, "cosine", "adamw", warm_up=settings.warm_up)
    generator = torch.Generator()
    parts: list[Tensor] = []
    processes.begin_alike(module)
    trying, together = processes.size > 1, ALONE

    def loss_of(batch: BagBatch) -> Tensor:
        output = module(*batch.inputs, dates=settings.losses.affinity > 0)
        loss = exact_loss(
            output,
            batch.ticks,
            module.clues,
            settings.losses,
            bags=batch.bags,
            inside=batch.inside,
            contrast=trying or steps.done >= first,
            generator=generator,
            processes=together,
        )
        parts.append(torch.stack([getattr(loss, name).detach() for name in ("total", *PARTS)]))
        return loss.total

    polygons = max(2, round(settings.batch_size / cutter.windows_per_bag))
    if polygons < processes.size:
        raise InputError(
            f"A batch has {polygons} polygons, but {processes.size} processes share it.",
            "Raise BATCH_SIZE, or start fewer processes.",
        )
    rows: list[ExactEpochRow] = []
    precision = np.full(module.n_classes, np.nan)
    started = time.monotonic()
    steps: Steps[RawBags, BagBatch] = Steps(
        cutter,
        loss_of,
        [module],
        recipe,
        settings.epochs,
        settings.steps_per_epoch,
        batch_size=polygons,
        seed=seed,
        device=device,
        ctx=ctx,
        processes=processes,
    )
    # the prototypes are the network's own
    state = {"network": module}
    if facts := steps.resume(checkpoint, state):
        rows, precision = [ExactEpochRow(**row) for row in facts["rows"]], np.array(facts["precision"])
    with closing(steps), keeping(checkpoint, rows):
        # each for itself: where memory runs out in one, the others must not wait for its part of a sum
        steps.agree()
        trying, together = False, processes
        for epoch in range(len(rows) + 1, settings.epochs + 1):
            parts.clear()
            # the same in all processes, unlike torch's own chance
            generator.manual_seed(int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0]))
            steps.epoch(epoch, progress)
            macro = micro = None
            if held is not None:
                precision, macro, micro = _held_precision(module, held, device, ctx, processes)
            row = _row(epoch, steps, processes.add(torch.stack(parts)), settings, first, macro, micro)
            rows.append(row)
            ctx.metric("train_loss", row.loss, epoch)
            if macro is not None:
                ctx.metric("validation_average_precision", macro, epoch)
            steps.save(checkpoint, state, rows, precision=precision.tolist())
    contrasting = bool(settings.losses.contrast) and first < total
    return ExactFit(
        module.eval(),
        rows,
        precision,
        first // settings.steps_per_epoch + 1 if contrasting else None,
        round(steps.batch_size * cutter.windows_per_bag),
        time.monotonic() - started,
    )


def judged(
    of: Callable[[ExactOutput, BagBatch], Tensor],
    module: ExactClassifier,
    cutter: BagCutter,
    index: npt.NDArray[np.int64],
    device: Device,
    progress: Progress = lambda share: None,
    *,
    dates: bool = True,
) -> Tensor:
    """What `of` makes of the network's answers to windows, unturned, one after the other; on the CPU.

    Args:
        of: answers of some windows -> tensor with one row for each.
        module: put into evaluation mode.
        index: (n,) windows.
        progress: gets the done share before each batch; may raise to cancel.
        dates: whether `of` needs date features.
    """
    module.eval()
    size, at, found = WINDOWS_CPU if device.is_cpu else WINDOWS_GPU, 0, []

    def answer(some: npt.NDArray[np.int64]) -> Tensor:
        raw = cutter.at(some)
        batch = cutter.on_device(raw.pinned() if device.torch.type == "cuda" else raw)
        with torch.no_grad(), mixed(device):
            output = module(*batch.inputs, dates=dates)
        with torch.no_grad():
            return of(output, batch).cpu()

    patient = Patient(lambda: progress(at / len(index)), device)
    with closing(patient):
        while at < len(index):
            try:
                found.append(patient.run(partial(answer, index[at : at + size])))
            except torch.OutOfMemoryError:
                if size == 1:
                    raise
                size //= 2
                continue
            at += size
    return torch.cat(found)


def _held_precision(
    module: ExactClassifier, held: Held, device: Device, ctx: JobContext, processes: Processes
) -> tuple[Floats, float | None, float | None]:
    """(K,) average precision, its mean, and that of all pairs; the best window speaks for its polygon."""
    all_logits, own = torch.zeros(len(held.index), module.n_classes), held.index[processes.share]
    if len(own):
        all_logits[processes.share] = judged(
            lambda output, batch: output.logits,
            module,
            held.cutter,
            own,
            device,
            lambda share: ctx.check_cancelled(),
            dates=False,
        )
    logits = processes.add(all_logits).numpy()
    best = np.full(held.ticks.shape, -np.inf)
    np.maximum.at(best, held.bags, logits)
    each = np.array([average_precision(best[:, k], held.ticks[:, k]) for k in range(held.ticks.shape[1])])
    macro = float(np.nanmean(each)) if np.isfinite(each).any() else None
    micro = average_precision(best.ravel(), held.ticks.ravel())
    return each, macro, None if np.isnan(micro) else micro


def _row(
    epoch: int,
    steps: Steps[RawBags, BagBatch],
    parts: Tensor,
    settings: ExactSettings,
    first: int,
    macro: float | None,
    micro: float | None,
) -> ExactEpochRow:
    """Means of the epoch from its steps' parts of the loss (n, 6); InputError where they are no numbers."""
    mean = dict(zip(("total", *PARTS), parts.mean(0).tolist(), strict=True))
    check_loss(mean["total"], epoch)
    contrasting = bool(settings.losses.contrast) and steps.done > first
    # an epoch in which the contrastive loss begins is averaged over the steps that had it
    late = parts[max(0, first - steps.done + len(parts)) :, 1 + PARTS.index("contrast")]
    return ExactEpochRow(
        epoch=epoch,
        learning_rate=steps.learning_rate,
        loss=mean["total"],
        classes=mean["classes"],
        temporal=mean["temporal"],
        spatial=mean["spatial"],
        contrast=float(late.mean()) if contrasting else None,
        affinity=mean["affinity"] if settings.losses.affinity else None,
        validation_map_macro=macro,
        validation_map_micro=micro,
    )
