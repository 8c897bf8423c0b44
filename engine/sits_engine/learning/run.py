"""One whole training run: classes, split, network, training, calibration, test."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from torch import nn

from sits_engine import __version__
from sits_engine.context import JobContext
from sits_engine.device import Device
from sits_engine.errors import InputError
from sits_engine.learning.distill import DistillOptions
from sits_engine.learning.effort import Effort, Settings, settle
from sits_engine.learning.fast_model import FastModel, make_fast
from sits_engine.learning.held_out import assess, class_profiles, class_rows, too_few
from sits_engine.learning.processes import ALONE, Processes
from sits_engine.learning.shared_fit import Task
from sits_engine.learning.summary import SPLITS, TrainingReportData, unit_of
from sits_engine.learning.supervised import FitOptions, FitResult, normalisation
from sits_engine.learning.transforms import Sampling
from sits_engine.models.card import BandCard, ClassCard, ModelCard
from sits_engine.models.inference import Predictor
from sits_engine.models.pseltae import PSELTAE
from sits_engine.models.registry import pseltae_hyperparameters
from sits_engine.samples.classes import ClassInfo, ClassTable, assign_classes
from sits_engine.samples.pixel_sets import PixelSets
from sits_engine.samples.splits import Split, split_sets

#: Sets classified between two looks at cancellation.
SETS_AT_ONCE = 256


@dataclass(frozen=True)
class RunOptions:
    """What the user chose; None leaves it to `effort.settle`. See the fields of the job."""

    effort: Effort = "standard"
    table: ClassTable | None = None
    min_parcels: int = 10
    rare: Literal["drop", "merge"] = "drop"
    split: Literal["blocks", "parcels"] = "blocks"
    block_size: float | None = None
    shift: int | None = None
    gamma: float = 1.0
    epochs: int | None = None
    steps_per_epoch: int | None = None
    batch_size: int = 128
    learning_rate: float = 1e-3
    weight_decay: float | None = None
    pixels_per_set: int | None = None
    dates_per_sample: int = 30
    mask_clouds: bool = True
    normalisation: Literal["standard", "published"] = "standard"
    width: Literal["standard", "small"] | None = None
    seed: int = 0
    fast: bool = False
    season_year: int = 1970
    provenance: dict[str, Any] = field(default_factory=dict)
    parameters: dict[str, Any] = field(default_factory=dict)


@dataclass
class TrainingResult:
    """The network and all that its card and its report say."""

    module: nn.Module
    hyperparameters: dict[str, Any]
    bands: list[BandCard]
    classes: list[ClassInfo]
    positions: list[float]
    season_year: int
    report: TrainingReportData
    fast: FastModel | None = None


def train(
    coded: PixelSets,
    options: RunOptions,
    device: Device,
    ctx: JobContext,
    *,
    start: float,
    end: float,
    processes: Processes = ALONE,
    checkpoint: Path | None = None,
) -> TrainingResult:
    """Train on samples that are labelled by code.

    Args:
        coded: all samples, `classes` being the codes.
        options: see `RunOptions`.
        start, end: share of the whole job that this is, for the progress.
        processes: that train with this one; the others are in `tasks.help_out`.
        checkpoint: file that holds the state after each epoch; a run with the same inputs goes on from it.

    Raises:
        InputError: too few classes or blocks, or training diverges.
    """
    sets, classes, notes = assign_classes(
        coded, table=options.table, min_parcels=options.min_parcels, rare=options.rare
    )
    split = split_sets(
        sets.labels,
        sets.xy,
        sets.classes,
        kind=options.split,
        block_size=options.block_size,
        seed=options.seed,
        unit=unit_of(options.provenance),
    )
    sets.blocks = split.blocks
    for note in [*notes, *split.notes]:
        ctx.warn(note)
    parts = [sets.subset(split.side == s) for s in range(3)]
    ctx.info(
        f"{len(sets)} {unit_of(options.provenance)} of {len(classes)} classes: "
        + ", ".join(f"{len(part)} {name}" for part, name in zip(parts, SPLITS, strict=True))
        + (f"; spatial blocks of {split.block_size:g} m." if split.block_size else "; split at random.")
    )
    missing = [c for c, n in zip(sets.classes, parts[0].counts, strict=True) if n == 0]
    if missing:
        unit = unit_of(options.provenance)
        raise InputError(
            f"No training {unit[:-1]} of {', '.join(missing)}: all lie in blocks for validation or test.",
            "Choose a smaller BLOCK_SIZE, SPLIT = parcels, or a larger MIN_PARCELS.",
        )
    trained = 0.6 if options.fast else 0.9
    progress = ctx.part(start, start + trained * (end - start), f"Training on {device.label}")
    network = train_network(
        parts[0], parts[1], options, device, ctx, progress, processes=processes, checkpoint=checkpoint
    )
    fitted = network.fitted
    ctx.info(
        f"Kept the weights of epoch {fitted.best_epoch} of {len(fitted.epochs)}; "
        f"{fitted.samples_per_second:.0f} samples a second."
    )
    result = TrainingResult(
        module=fitted.module,
        hyperparameters=network.hyperparameters,
        bands=network.bands,
        classes=classes,
        positions=sorted({float(p) for p in np.unique(sets.positions)}),
        season_year=options.season_year,
        report=_report(sets, parts[0], classes, split, fitted, options, network.settings),
    )
    tested = trained + 0.1
    progress = ctx.part(start + trained * (end - start), start + tested * (end - start), "Testing the model")
    if not _score(result, sets, split, options, device, progress):
        test_labels = sets.labels[split.side == 2]
        ctx.warn(too_few(test_labels, blocks=split.kind == "blocks", unit=unit_of(options.provenance)))
    if options.fast and isinstance(result.module, PSELTAE):
        progress = ctx.part(start + tested * (end - start), end, "Training the fast network")
        how = DistillOptions.near(network.settings.shift, options.seed)
        sides = parts[0], parts[1], parts[2]
        fast = make_fast(result.module, card_of(result, options), sides, how, device, ctx, progress)
        result.fast, result.report.fast = fast, fast.scores
        if fast.warning:
            ctx.warn(fast.warning)
    result.report.notes[:0] = notes
    result.report.warnings[:0] = [*ctx.warnings]
    return result


@dataclass
class Network:
    """A trained network, and what it needs to be used."""

    fitted: FitResult
    bands: list[BandCard]
    hyperparameters: dict[str, Any]
    settings: Settings


def train_network(
    train: PixelSets,
    validation: PixelSets,
    options: RunOptions,
    device: Device,
    ctx: JobContext,
    progress: Callable[[float], None] = lambda fraction: None,
    *,
    processes: Processes = ALONE,
    checkpoint: Path | None = None,
) -> Network:
    """Train on `train`, stop and choose the weights on `validation`; everything else by `options`."""
    bands = normalisation(train, options.normalisation)
    settings = settle(options, train)
    hyperparameters = pseltae_hyperparameters(
        len(bands), len(train.classes), width=settings.width, **settings.network
    )
    how = _fit_options(options, settings)
    task = Task("pseltae", hyperparameters, train, validation, bands, how)
    fitted = task.run(device, ctx, progress, processes=processes, checkpoint=checkpoint)
    return Network(fitted, bands, hyperparameters, settings)


def card_of(result: TrainingResult, options: RunOptions) -> ModelCard:
    """The card of a trained model."""
    report = result.report
    return ModelCard(
        architecture="pseltae",
        hyperparameters=result.hyperparameters,
        bands=result.bands,
        classes=[ClassCard(name=c.name, color=c.color, codes=list(c.codes)) for c in result.classes],
        season_year=result.season_year,
        positions=result.positions,
        mask_dates=options.mask_clouds,
        temperature=report.temperature,
        profiles=report.profiles.as_json(),
        provenance=report.provenance,
        scores={
            **{name: round(v, 6) for name, v in report.scores.items() if not np.isnan(v)},
            "per_class_f1": {row.name: row.f1 for row in report.classes},
        },
    )


def predict(
    predictor: Predictor, sets: PixelSets, progress: Callable[[float], None] = lambda fraction: None
) -> npt.NDArray[np.float32]:
    """(N, K) probabilities of all sets with all their pixels; `progress` may raise to cancel."""
    out = np.zeros((len(sets), len(predictor.card.classes)), dtype=np.float32)
    done = 0
    for region in np.unique(sets.region):
        chosen = np.flatnonzero(sets.region == region)
        for at in range(0, len(chosen), SETS_AT_ONCE):
            progress(done / max(1, len(sets)))
            index = chosen[at : at + SETS_AT_ONCE]
            out[index] = predictor.predict_sets(sets.subset(index))
            done += len(index)
    return out


def _fit_options(options: RunOptions, settings: Settings) -> FitOptions:
    return FitOptions(
        epochs=settings.epochs,
        steps_per_epoch=settings.steps_per_epoch,
        sampling=Sampling(
            pixels=settings.pixels_per_set,
            dates=settings.dates_per_sample,
            shift=settings.shift,
            mask_dates=options.mask_clouds,
        ),
        batch_size=options.batch_size,
        learning_rate=options.learning_rate,
        weight_decay=settings.weight_decay,
        gamma=options.gamma,
        patience=settings.patience,
        seed=options.seed,
    )


def _score(
    result: TrainingResult,
    sets: PixelSets,
    split: Split,
    options: RunOptions,
    device: Device,
    progress: Callable[[float], None],
) -> bool:
    """Fill in what is measured on the validation and test sides; False if the test side holds too little."""
    report = result.report
    # the very class that maps with the model; temperature 1 gives what calibration starts from
    predictor = Predictor(result.module, card_of(result, options), device)
    held = sets.subset(split.side > 0)
    side = split.side[split.side > 0]
    probabilities = predict(predictor, held, progress)
    report.predicted = np.full(len(sets), -1, dtype=np.int64)
    if (side == 2).any():
        report.predicted[split.side == 2] = probabilities[side == 2].argmax(axis=1)
    found = assess(
        (probabilities[side == 1], held.labels[side == 1]),
        (probabilities[side == 2], held.labels[side == 2]),
        len(result.classes),
    )
    report.confusion, report.scores, report.temperature = found.confusion, found.scores, found.temperature
    report.reliability_before, report.reliability_after = found.before, found.after
    report.classes = class_rows(sets, split.side, result.classes, found.confusion)
    return found.enough


def _report(
    sets: PixelSets,
    trained: PixelSets,
    classes: list[ClassInfo],
    split: Split,
    fitted: FitResult,
    options: RunOptions,
    settings: Settings,
) -> TrainingReportData:
    """The report without scores yet."""
    nothing = np.zeros((0, len(classes)), np.float32), np.zeros(0, np.int64)
    empty = assess(nothing, nothing, len(classes))
    names = ("torch", "numpy", "rasterio")
    return TrainingReportData(
        title="Training of a source model",
        provenance={
            **options.provenance,
            "parcels_used": len(sets),
            "pixels_used": int(sets.offsets[-1]),
            "engine": __version__,
            "python": platform.python_version(),
            "packages": {name: metadata.version(name) for name in names},
            "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        },
        parameters={**options.parameters, **settings.as_json(), "batch_size": fitted.batch_size},
        classes=class_rows(sets, split.side, classes, empty.confusion),
        epochs=fitted.epochs,
        best_epoch=fitted.best_epoch,
        confusion=empty.confusion,
        scores={},
        temperature=1.0,
        reliability_before=empty.before,
        reliability_after=empty.after,
        profiles=class_profiles(trained, options.season_year),
        xy=sets.xy,
        split=split.side,
        labels=sets.labels,
        split_kind=split.kind,
        block_size=split.block_size,
        notes=list(split.notes),
    )
