"""One whole run: classes, split, network, pre-training, fine-tuning, calibration, test."""

from __future__ import annotations

import platform
import time
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from sits_engine import __version__
from sits_engine.context import JobContext
from sits_engine.device import Device
from sits_engine.learning import scores as scoring
from sits_engine.learning.processes import ALONE, Processes
from sits_engine.learning.segmentation.batches import Batch, Cutter, normalisation
from sits_engine.learning.segmentation.classes import assign_classes
from sits_engine.learning.segmentation.evaluate import Judged, calibrate_and_score, judge
from sits_engine.learning.segmentation.fit import Comparison, FitResult, PretrainResult
from sits_engine.learning.segmentation.given_sides import split_folds, split_regions
from sits_engine.learning.segmentation.inference import similarity_maps
from sits_engine.learning.segmentation.options import SegmentOptions, SegmentSettings, settle
from sits_engine.learning.segmentation.pictures import chosen_windows, picture_of
from sits_engine.learning.segmentation.profiles import window_profiles
from sits_engine.learning.segmentation.scores import DISTANCES, ZONES, class_iou
from sits_engine.learning.segmentation.shared_stages import Stages
from sits_engine.learning.segmentation.sides import Sides, split_windows
from sits_engine.learning.segmentation.summary import (
    BorderRow,
    Example,
    SegmentationReportData,
    SegmentClassRow,
    ZoneRow,
)
from sits_engine.learning.summary import SPLITS
from sits_engine.models.card import BandCard, ClassCard, ModelCard
from sits_engine.samples.classes import ClassInfo
from sits_engine.samples.windows import WindowSet

Floats = npt.NDArray[np.float32]
OF_HEAD = "cosine of each pixel with its neighbours in the head of pre-training (CSCL), before fine-tuning"
OF_EMBEDDING = "cosine of each pixel's embedding with its neighbours' in the trained network"


@dataclass
class SegmentationResult:
    """The trained network (on the device, eval mode), its card, and what the report shows."""

    module: nn.Module
    card: ModelCard
    report: SegmentationReportData


def train_segmentation(
    coded: WindowSet,
    options: SegmentOptions,
    device: Device,
    ctx: JobContext,
    *,
    start: float = 0.0,
    end: float = 1.0,
    processes: Processes = ALONE,
    checkpoints: tuple[Path, Path] | None = None,
) -> SegmentationResult:
    """Train on windows that are labelled by code.

    Args:
        coded: all windows, `classes` being the codes.
        options: see `SegmentOptions`.
        start, end: share of the whole job that this is, for the progress.
        processes: that share each batch; this is the first, the others are in `tasks.help_out`.
        checkpoints: files that hold the state after each epoch of pre-training and of fine-tuning; a run with
            the same inputs goes on from them.

    Raises:
        InputError: too few classes, windows or labels, a window that doesn't fit, or training diverges.
    """
    windows, classes, notes = assign_classes(coded, table=options.table, min_pixels=options.min_pixels)
    sides = _split(windows, options)
    for note in [*notes, *sides.notes]:
        ctx.warn(note)
    train, held = sides.part(0), sides.part(1)
    usable = np.flatnonzero((train.labels >= 0).any(axis=(1, 2)))
    settings = settle(options, train, len(usable), hidden=sides.hidden)
    bands = normalisation(train, usable)
    ctx.info(_said(sides, settings, classes))
    stages = Stages(settings, options.turning, bands, train, held)
    kept = stages.checkpoints(checkpoints)
    training = stages.on(device, processes)
    cutter = training.cutter
    shown = _shown(sides)
    n_before, n_after = settings.cscl_epochs, settings.epochs
    middle = start + 0.9 * (end - start) * n_before / (n_before + n_after)
    before: PretrainResult | None = None
    alike: Floats | None = None
    if n_before:
        progress = ctx.part(start, middle, f"Pre-training on {device.label}")
        before = training.pretrain(ctx, progress, kept[0])
        ctx.info(
            "Pre-training: neighbours of one class have a mean similarity of "
            f"{before.rows[-1].positive:.2f}, of different classes {before.rows[-1].negative:.2f}."
        )
        if settings.contrast.dilation == 1:
            compare = Comparison(training.module, before.head, settings.contrast)
            alike = similarity_maps(
                compare.similarity,
                [training.module, before.head],
                cutter,
                device,
                progress=lambda share: ctx.check_cancelled(),
                index=shown,
            )
    progress = ctx.part(middle, start + 0.9 * (end - start), f"Training on {device.label}")
    fitted = training.finetune(ctx, progress, kept[1])
    ctx.info(
        f"Kept the weights of epoch {fitted.best_epoch} of {len(fitted.epochs)}; "
        f"{fitted.windows_per_second:.1f} windows a second."
    )
    card = card_of(settings, options, bands, classes, windows)
    testing = (start + 0.9 * (end - start), end)
    judged = _judge(fitted, card, sides, shown, options, device, ctx, testing)
    if alike is None:
        alike = _embedding_maps(fitted.module, cutter, device, ctx, shown)
    card.temperature = judged.temperature
    report = _report(sides, classes, judged, fitted, before, settings, options)
    report.examples = _examples(sides, judged, shown, alike, options)
    report.similarity_of = OF_HEAD if before and settings.contrast.dilation == 1 else OF_EMBEDDING
    report.profiles = window_profiles(train, options.season_year)
    card.profiles = report.profiles.as_json()
    report.notes[:0] = notes
    if not judged.enough:
        ctx.warn("The test side holds too few labelled pixels or classes: no accuracy is given. Add labels.")
    near = judged.test.tally.borders[DISTANCES[0]]
    if judged.enough and near.speckled:
        ctx.warn(
            f"The map of the test land is speckled: it has {near.found / near.true:.1f} times as many border "
            "pixels as the truth. Such a map has a border near every true one by chance: look at the "
            "precision of its borders, not at recall or F1. Train longer, or give more labels."
        )
    report.warnings[:0] = [*ctx.warnings]
    card.provenance = report.provenance
    card.scores = {
        **{name: round(value, 6) for name, value in report.scores.items() if not np.isnan(value)},
        "per_class_f1": {row.name: row.f1 for row in report.classes},
        "per_class_iou": {row.name: row.iou for row in report.classes},
    }
    return SegmentationResult(fitted.module, card, report)


def _split(windows: WindowSet, options: SegmentOptions) -> Sides:
    if options.split == "regions":
        return split_regions(windows, seed=options.seed)
    if options.split == "folds":
        return split_folds(windows, options.folds, validation=options.validation_fold, test=options.test_fold)
    return split_windows(
        windows,
        kind=options.split,
        block_size=options.block_size,
        seed=options.seed,
        pixel_size=options.pixel_size,
    )


def card_of(
    settings: SegmentSettings,
    options: SegmentOptions,
    bands: list[BandCard],
    classes: list[ClassInfo],
    windows: WindowSet,
) -> ModelCard:
    """The card of a network with these settings, at temperature 1; scores and provenance come later."""
    # one by one: the windows may lie in a store that is larger than the memory
    seen = np.stack([valid.any(axis=(1, 2)) for valid in windows.valid])
    return ModelCard(
        architecture=settings.architecture,
        hyperparameters=settings.hyperparameters,
        bands=bands,
        classes=[ClassCard(name=c.name, color=c.color, codes=list(c.codes)) for c in classes],
        season_year=options.season_year,
        positions=sorted({float(p) for p in np.unique(windows.positions[seen])}),
        mask_dates=options.mask_clouds,
    )


def _said(sides: Sides, settings: SegmentSettings, classes: list[ClassInfo]) -> str:
    counts = ", ".join(f"{n} {name}" for n, name in zip(sides.counts().sum(axis=1), SPLITS, strict=True))
    size = f" of {sides.block_size:g} m" if sides.block_size else ""
    return (
        f"{len(sides.windows)} windows with {len(classes)} classes, split by {sides.kind}{size}; labelled "
        f"pixels: {counts}. Crops of {settings.window} pixels, {settings.n_dates} dates."
    )


def _shown(sides: Sides) -> npt.NDArray[np.int64]:
    """Windows for pictures: of the test side, else of validation, else of training."""
    for number in (2, 1, 0):
        part = sides.part(number)
        usable = np.flatnonzero((part.labels >= 0).any(axis=(1, 2)))
        if len(usable):
            return chosen_windows(part, usable)
    return np.zeros(0, np.int64)


def _judge(
    fitted: FitResult,
    card: ModelCard,
    sides: Sides,
    shown: npt.NDArray[np.int64],
    options: SegmentOptions,
    device: Device,
    ctx: JobContext,
    span: tuple[float, float],
) -> Judged:
    """Validation for the temperature, test for the scores; maps of the windows that are shown."""
    results = []
    middle = (span[0] + span[1]) / 2
    for number, (low, high) in ((1, (span[0], middle)), (2, (middle, span[1]))):
        progress = ctx.part(low, high, "Testing the model")
        results.append(
            judge(fitted.module, card, sides, number, device, progress, keep=shown, seed=options.seed)
        )
    judged = calibrate_and_score(*results)
    for result in results:
        judged.test.maps.update(result.maps)
    return judged


def _embedding_maps(
    module: nn.Module, cutter: Cutter, device: Device, ctx: JobContext, shown: npt.NDArray[np.int64]
) -> Floats:
    """Similarity without a head: the plain cosine of embeddings, (n, H * s, W * s)."""

    def compare(batch: Batch) -> Tensor:
        embedding: Tensor = module.embed(*batch.inputs).float()  # type: ignore[operator]
        unit = nn.functional.normalize(embedding, dim=1)
        padded = nn.functional.pad(unit, (1, 1, 1, 1))
        height, width = unit.shape[2:]
        cells = [
            (unit * padded[..., i : i + height, j : j + width]).sum(1) for i in range(3) for j in range(3)
        ]
        return torch.stack(cells, -1).reshape(*cells[0].shape, 3, 3)

    return similarity_maps(compare, [module], cutter, device, lambda share: ctx.check_cancelled(), shown)


def _examples(
    sides: Sides,
    judged: Judged,
    shown: npt.NDArray[np.int64],
    alike: Floats,
    options: SegmentOptions,
) -> list[Example]:
    windows = sides.windows
    examples = []
    for i, similarity in zip(shown, alike, strict=True):
        if int(i) not in judged.test.maps:
            continue
        picture, words = picture_of(windows, int(i), options.season_years)
        title = f"row {int(windows.rows[i])}, column {int(windows.cols[i])}"
        region = int(windows.region[i])
        if region < len(options.regions) and options.regions[region]:
            title = f"{options.regions[region]}, {title}"
        examples.append(
            Example(title, picture, words, windows.labels[i], judged.test.maps[int(i)], similarity)
        )
    return examples


def _report(
    sides: Sides,
    classes: list[ClassInfo],
    judged: Judged,
    fitted: FitResult,
    before: PretrainResult | None,
    settings: SegmentSettings,
    options: SegmentOptions,
) -> SegmentationReportData:
    tally, windows = judged.test.tally, sides.windows
    zones = [ZoneRow(name, **vars(tally.zone(name))) for name in ZONES] if judged.enough else []
    borders = [
        BorderRow(distance, counts.precision, counts.recall, counts.f1, counts.found, counts.true)
        for distance, counts in tally.borders.items()
    ]
    packages = ("torch", "numpy", "rasterio")
    return SegmentationReportData(
        title="Training of a segmentation model",
        provenance={
            **options.provenance,
            "windows_used": len(windows),
            "window_pixels": list(windows.size),
            "labelled_pixels": int((windows.labels >= 0).sum()),
            "engine": __version__,
            "python": platform.python_version(),
            "packages": {name: metadata.version(name) for name in packages},
            "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        },
        parameters={**options.parameters, **settings.as_json(), "batch_size": fitted.batch_size},
        classes=_class_rows(sides, classes, tally.confusion["all"], judged.enough),
        pretraining=before.rows if before else [],
        epochs=fitted.epochs,
        best_epoch=fitted.best_epoch,
        confusion=tally.confusion["all"],
        scores=judged.scores,
        zones=zones,
        borders=borders if judged.enough else [],
        temperature=judged.temperature,
        reliability_before=judged.before,
        reliability_after=judged.after,
        examples=[],
        similarity_of="",
        xy=sides.xy,
        split=sides.split,
        split_kind=sides.kind,
        block_size=sides.block_size,
        scale=windows.scale,
        pixel_size=options.pixel_size / windows.scale if options.pixel_size else None,
        notes=list(sides.notes),
    )


def _class_rows(
    sides: Sides, classes: list[ClassInfo], confusion: npt.NDArray[np.int64], enough: bool
) -> list[SegmentClassRow]:
    """The class table: counts, and scores on the test side where it holds enough."""
    windows, counts = sides.windows, sides.counts()
    iou, f1 = class_iou(confusion), scoring.class_f1(confusion)
    right, support, claimed = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    rows = []
    for k, info in enumerate(classes):
        there = enough and support[k] > 0
        rows.append(
            SegmentClassRow(
                name=info.name,
                color=info.color,
                codes=list(info.codes),
                parcels=_parcels(windows, k),
                pixels={name: int(n) for name, n in zip(SPLITS, counts[:, k], strict=True)},
                iou=float(iou[k]) if there else None,
                precision=float(right[k] / max(1, claimed[k])) if there else None,
                recall=float(right[k] / support[k]) if there else None,
                f1=float(f1[k]) if there else None,
            )
        )
    return rows


def _parcels(windows: WindowSet, k: int) -> int:
    """Parcels of a class; one in several windows counts once, but a patch of a label raster in each."""
    chosen = (windows.labels == k) & (windows.parcels > 0)
    region = np.broadcast_to(windows.region[:, None, None].astype(np.int64), chosen.shape)[chosen]
    return len(np.unique(region << 32 | windows.parcels[chosen]))
