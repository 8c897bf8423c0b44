"""One whole run: from places with images and photos to an encoder, its card, and what the report shows."""

from __future__ import annotations

import platform
import time
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sits_engine import __version__
from sits_engine.context import JobContext
from sits_engine.device import Device
from sits_engine.errors import InputError
from sits_engine.learning.processes import ALONE, Processes
from sits_engine.learning.timesenclip.batches import (
    PUBLISHED,
    PairedPlaces,
    normalisation,
    published_normalisation,
)
from sits_engine.learning.timesenclip.fit import judged
from sits_engine.learning.timesenclip.options import FEWEST, PhotoOptions, settle
from sits_engine.learning.timesenclip.summary import PhotoReportData
from sits_engine.learning.timesenclip.task import PhotoTask
from sits_engine.models.card import BandCard, ModelCard
from sits_engine.models.timesenclip.encoder import SatelliteEncoder
from sits_engine.models.timesenclip.steps import MONTHS, STEPS
from sits_engine.samples.composites import Composites
from sits_engine.samples.splits import Split, split_sets
from sits_engine.series.bands import canonical

#: How positions are counted, for the card.
MONTH_CONVENTION = "calendar months, January 0"
#: What masking hides, for people.
MASKING_WORDS = {
    "none": "Every place was shown with all the months that it has.",
    "mixed": "Half of the time a place was shown whole, otherwise as the median of its year or without three "
    "months that follow each other.",
    "all": "Half of the time a place was shown whole, otherwise as the median of its year, without three "
    "months that follow each other, or with a few months drawn at random.",
    "random": "A place was always shown with one to eleven months drawn at random.",
    "spectral": "A place was always shown with one to eleven months drawn at random, and often without some "
    "of its bands.",
}
BY_BATCH = " All places of a batch alike (published form)."


@dataclass
class PhotoResult:
    """The trained network (on the device, eval mode), its card, and what the report shows."""

    module: SatelliteEncoder
    card: ModelCard
    report: PhotoReportData


def train_photo_model(
    pairs: PairedPlaces,
    clip: dict[str, object],
    options: PhotoOptions,
    device: Device,
    ctx: JobContext,
    *,
    start: float = 0.0,
    end: float = 1.0,
    processes: Processes = ALONE,
    checkpoint: Path | None = None,
) -> PhotoResult:
    """Train a satellite encoder on places with photos.

    Args:
        pairs: images and vectors of photos.
        clip: name, fingerprint, dim and path of the model that made the vectors.
        options: see there.
        start, end: share of the whole job that this is, for the progress.
        processes: that train together; this one alone tests the encoder.
        checkpoint: file that holds the state after each epoch; a run with the same inputs goes on from it.

    Raises:
        InputError: too few places, bands without published constants, or training diverges.
    """
    if len(pairs) < FEWEST:
        raise InputError(
            f"Only {len(pairs)} places have both a photo and a clear pixel; {FEWEST} are needed, some "
            "hundreds are better.",
            "Add photos, or give the series of all their regions.",
        )
    split = _split(pairs, options)
    train, validation, test = (np.flatnonzero(split.side == side) for side in range(3))
    composites = pairs.composites
    bands = _bands(composites, train, options)
    settings = settle(
        options, len(bands), composites.context, pairs.dim, len(train), on_processor=device.is_cpu
    )
    ctx.info(
        f"{len(pairs)} places with {len(pairs.vectors)} photos: {len(train)} for training, "
        f"{len(validation)} for validation, {len(test)} for the test; {settings.epochs} epochs of "
        f"{settings.steps_per_epoch} steps."
    )
    task = PhotoTask(pairs, train, validation, bands, options, settings)
    learning = ctx.part(start, end, f"Learning from the photos on {device.label}")
    fitted = task.run(device, ctx, learning, processes=processes, checkpoint=checkpoint)
    module = fitted.module
    found = {}
    if len(test):
        for steps in STEPS:
            found[steps] = judged(
                module, fitted.pooling, pairs, test, bands, device, steps=steps, check=ctx.check_cancelled
            )
    report = PhotoReportData(
        title="Satellite images aligned with photos",
        provenance={
            **options.provenance,
            "clip": clip,
            "places": len(pairs),
            "photos": len(pairs.vectors),
            "engine": __version__,
            "python": platform.python_version(),
            "packages": {name: metadata.version(name) for name in ("torch", "numpy", "transformers")},
            "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        },
        parameters={**options.parameters, **settings.as_json(), "batch_size": fitted.batch_size},
        epochs=fitted.rows,
        best_epoch=fitted.best_epoch,
        xy=composites.xy,
        side=split.side,
        split_kind={"parcels": "places"}.get(split.kind, split.kind),
        block_size=split.block_size,
        photos_per_place=np.diff(pairs.offsets),
        months=composites.valid.mean(axis=0),
        masking=MASKING_WORDS[options.masking] + (BY_BATCH if options.published else ""),
        steps=found,
        n_bands=len(bands),
        context=composites.context,
        n_parameters=sum(p.numel() for name, p in module.named_parameters() if name != "logit_scale"),
        scale=float(module.logit_scale.detach().exp()),
        clip=str(clip["name"]),
        seconds=fitted.seconds,
        samples_per_second=fitted.samples_per_second,
        notes=[*composites.notes, *split.notes],
        warnings=list(ctx.warnings),
    )
    card = _card(settings.hyperparameters, bands, composites, options, report)
    return PhotoResult(module, card, report)


def _split(pairs: PairedPlaces, options: PhotoOptions) -> Split:
    """Training, validation and test; whole blocks of land unless places are asked for."""
    n = len(pairs)
    if options.split == "none":
        return Split(np.zeros(n, np.int64), np.full(n, -1), "none", None)
    kind = "blocks" if options.split == "blocks" else "parcels"
    return split_sets(
        np.zeros(n, np.int64),
        pairs.composites.xy,
        ("places",),
        kind=kind,
        block_size=options.block_size,
        seed=options.seed,
        unit="places",
    )


def _bands(composites: Composites, train: npt.NDArray[np.int64], options: PhotoOptions) -> list[BandCard]:
    names = [canonical(name) for name in composites.bands]
    if options.normalisation == "data":
        return normalisation(composites, train, names)
    unknown = [name for name in names if name not in PUBLISHED]
    if unknown:
        raise InputError(
            f"There are no published constants for {', '.join(unknown)}.",
            f"Choose NORMALISATION = data, or BANDS among {', '.join(PUBLISHED)}.",
        )
    return published_normalisation(names)


def _card(
    hyperparameters: dict[str, object],
    bands: list[BandCard],
    composites: Composites,
    options: PhotoOptions,
    report: PhotoReportData,
) -> ModelCard:
    return ModelCard(
        architecture="timesenclip",
        hyperparameters=hyperparameters,
        bands=bands,
        classes=[],
        season_year=options.season_year,
        positions=[float(month) for month in range(MONTHS) if composites.valid[:, month].any()],
        date_convention=MONTH_CONVENTION,
        provenance={**report.provenance, "parameters": report.parameters},
        scores={name: round(v, 6) for name, v in report.scores.items() if not np.isnan(v)},
    )
