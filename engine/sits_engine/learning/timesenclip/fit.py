"""Training of the satellite encoder against frozen vectors of photos.

Source: shared/spec/timesenclip.md section 5, with the paper's schedule. Validation places choose the epoch
whose weights are kept and never enter the queue.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from sits_engine.context import JobContext
from sits_engine.device import Device
from sits_engine.learning.checkpoint import Checkpoint, keeping
from sits_engine.learning.divergence import check_loss
from sits_engine.learning.processes import ALONE, Processes
from sits_engine.learning.segmentation.steps import Steps
from sits_engine.learning.timesenclip.batches import PairedPlaces, PlaceSource, RawPlaces
from sits_engine.learning.timesenclip.contrastive import KeyQueue, contrastive_loss, published_loss
from sits_engine.learning.timesenclip.masking import batchwise, masked
from sits_engine.learning.timesenclip.options import PhotoOptions, PhotoSettings, check_processes
from sits_engine.learning.timesenclip.pooling import AttentionPooling, AveragePooling
from sits_engine.learning.timesenclip.scores import Floats, Retrieval, retrieval
from sits_engine.learning.timesenclip.summary import PhotoEpochRow
from sits_engine.models.card import BandCard
from sits_engine.models.precision import mixed
from sits_engine.models.timesenclip.encoder import LARGEST_SCALE, SatelliteEncoder
from sits_engine.models.timesenclip.steps import MONTHS, aggregated

#: Places that are judged at once.
PLACES_CPU, PLACES_GPU = 256, 4096
#: Epochs whose mean score decides: one alone may be lucky.
SMOOTHING = 3


@dataclass
class PhotoFit:
    """The trained network (on the device, eval mode) and how it got there.

    Attributes:
        module: the encoder.
        pooling: of the photos, as trained.
        rows: one an epoch.
        best_epoch: whose weights these are.
        batch_size: at the end.
        seconds: of the training.
        samples_per_second: places a second, without validation.
    """

    module: SatelliteEncoder
    pooling: nn.Module
    rows: list[PhotoEpochRow]
    best_epoch: int
    batch_size: int
    seconds: float
    samples_per_second: float


def fit_photos(
    module: SatelliteEncoder,
    pairs: PairedPlaces,
    train: npt.NDArray[np.int64],
    validation: npt.NDArray[np.int64],
    bands: Sequence[BandCard],
    options: PhotoOptions,
    settings: PhotoSettings,
    device: Device,
    ctx: JobContext,
    *,
    progress: Callable[[float], None] = lambda share: None,
    processes: Processes = ALONE,
    checkpoint: Checkpoint | None = None,
) -> PhotoFit:
    """Train an encoder.

    Args:
        module: on the device.
        pairs: all places.
        train, validation: numbers of places; without validation the last weights are kept.
        bands: normalisation.
        options, settings: see there.
        progress: gets the done share in every step.
        processes: that share each batch; all of them call this with the same arguments. Every image meets the
            photos of the whole batch.
        checkpoint: gets the state after each epoch; training goes on from it where it is of this run.

    Raises:
        InputError: the loss stops being a number; or several processes would train the published form.
        Cancelled: somebody asked to stop; the checkpoint holds the last whole epoch.
    """
    check_processes(options.published, processes)
    if not device.is_cpu:
        torch.set_float32_matmul_precision("high")
    queue = KeyQueue(settings.queue, pairs.dim, published=options.published).to(device.torch)
    pooling = (AttentionPooling(pairs.dim) if options.pooling == "attention" else AveragePooling()).to(
        device.torch
    )
    source = PlaceSource(pairs, train, bands, options.masking, device.torch)

    waiting: list[tuple[Tensor, Tensor]] = []
    for part in (module, pooling):
        processes.begin_alike(part)
    together = ALONE

    def everyone(own: Tensor) -> Tensor:
        """Rows of the whole batch, in its order, from those of this process; with gradient."""
        if together.total is None:
            return own
        rows = own.new_zeros(steps.batch_size, *own.shape[1:])
        rows[together.share] = own
        return together.total(rows)

    def loss_of(batch: RawPlaces) -> Tensor:
        # keys enter the ring after the step that used it: its gradients need the ring as it was
        while waiting:
            queue.push(*waiting.pop())
        with torch.no_grad():
            module.logit_scale.clamp_(0, LARGEST_SCALE)
        if options.published:
            vectors = module.encode(*batchwise(module, batch.images, batch.used, batch.chance))
        else:
            vectors = module(*masked(batch.images, batch.used, batch.chance))
        queries = functional.normalize(vectors.float(), dim=1)
        keys, scale = everyone(pooling(batch.photos, batch.there).float()), module.logit_scale.exp()
        places = everyone(batch.places)
        if options.published:
            loss = published_loss(queries, keys, queue, scale)
        else:
            rows = torch.arange(len(places), device=places.device)[together.share]
            loss = contrastive_loss(queries, keys, places, queue, scale, rows)
        if together is processes:
            waiting.append((keys.detach(), places))
        return loss

    steps: Steps[RawPlaces, RawPlaces] = Steps(
        source,
        loss_of,
        [module, pooling],
        settings.recipe,
        settings.epochs,
        settings.steps_per_epoch,
        batch_size=settings.batch_size,
        seed=options.seed,
        device=device,
        ctx=ctx,
        processes=processes,
        counted=lambda batch: torch.tensor(len(batch.places)),
    )
    rows: list[PhotoEpochRow] = []
    best, best_score, best_epoch = copy.deepcopy(module), -np.inf, 0
    parts = {"network": module, "best": best, "pooling": pooling, "queue": queue}
    if facts := steps.resume(checkpoint, parts):
        rows, queue.pointer = [PhotoEpochRow(**row) for row in facts["rows"]], facts["pointer"]
        best_score, best_epoch = facts["best_score"], facts["best_epoch"]
    started, learning = time.monotonic(), 0.0
    with closing(steps), keeping(checkpoint, rows):
        # each for itself: where memory runs out in one, the others must not wait for its part of a sum
        steps.agree()
        together = processes
        for epoch in range(len(rows) + 1, settings.epochs + 1):
            if epoch - 1 - best_epoch >= settings.patience:
                ctx.info(f"Stopped after epoch {epoch - 1}: validation no better since epoch {best_epoch}.")
                break
            began = time.monotonic()
            own = steps.epoch(epoch, progress)
            while waiting:
                queue.push(*waiting.pop())
            loss = float(processes.add(own))
            learning += time.monotonic() - began
            check_loss(loss, epoch)
            found = None
            if len(validation) and processes.rank == 0:
                found = judged(module, pooling, pairs, validation, bands, device, check=ctx.check_cancelled)
            row = _row(epoch, steps.learning_rate, loss, module, found)
            rows.append(row)
            _tell(ctx, row)
            # without validation the last weights; all processes keep those that process 0 chooses
            [score] = processes.numbers([_smooth(rows) if len(validation) else float(epoch)])
            if score > best_score:
                best_score, best_epoch = score, epoch
                best.load_state_dict(module.state_dict())
            best_of = {"best_score": best_score, "best_epoch": best_epoch}
            steps.save(checkpoint, parts, rows, **best_of, pointer=queue.pointer)
    module.load_state_dict(best.state_dict())
    with torch.no_grad():
        module.logit_scale.clamp_(0, LARGEST_SCALE)
    seconds = time.monotonic() - started
    return PhotoFit(
        module.eval(),
        pooling,
        rows,
        best_epoch,
        steps.batch_size,
        seconds,
        steps.samples / max(learning, 1e-9),
    )


def judged(
    module: SatelliteEncoder,
    pooling: nn.Module,
    pairs: PairedPlaces,
    index: npt.NDArray[np.int64],
    bands: Sequence[BandCard],
    device: Device,
    *,
    steps: int = MONTHS,
    check: Callable[[], None] = lambda: None,
) -> Retrieval:
    """Same-place retrieval among some places, in evaluation mode.

    Args:
        module, pooling: as trained.
        index: places.
        steps: 12, 4 or 1 that the images are reduced to.
        check: called between batches; may raise to stop.
    """
    module.eval()
    source = PlaceSource(pairs, index, bands, "none", device.torch)
    rng = np.random.default_rng(0)
    months = module.months_of(steps).to(device.torch)
    images: list[Floats] = []
    photos: list[Floats] = []
    size = PLACES_CPU if device.is_cpu else PLACES_GPU
    for start in range(0, len(index), size):
        check()
        batch = source.on_device(source.drawn(index[start : start + size], rng))
        with torch.no_grad(), mixed(device):
            x, used = aggregated(batch.images, batch.used, steps)
            vectors = module(x, months.expand(len(x), -1), used)
            keys = pooling(batch.photos, batch.there)
        images.append(functional.normalize(vectors.float(), dim=1).cpu().numpy())
        photos.append(keys.float().cpu().numpy())
    return retrieval(np.concatenate(images), np.concatenate(photos))


def _row(
    epoch: int, rate: float, loss: float, module: SatelliteEncoder, found: Retrieval | None
) -> PhotoEpochRow:
    scale = float(module.logit_scale.detach().clamp(0, LARGEST_SCALE).exp())
    if found is None:
        return PhotoEpochRow(epoch, rate, loss, scale)
    return PhotoEpochRow(epoch, rate, loss, scale, found.recall[0], found.recall[1], found.reciprocal)


def _tell(ctx: JobContext, row: PhotoEpochRow) -> None:
    ctx.metric("train_loss", row.loss, row.epoch)
    if row.reciprocal is not None and row.recall_1 is not None:
        ctx.metric("validation_recall_1", row.recall_1, row.epoch)
        ctx.metric("validation_reciprocal_rank", row.reciprocal, row.epoch)


def _smooth(rows: Sequence[PhotoEpochRow]) -> float:
    return float(np.mean([row.reciprocal or 0.0 for row in rows[-SMOOTHING:]]))
