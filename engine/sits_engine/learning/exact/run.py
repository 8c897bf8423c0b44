"""One whole run: from ticked windows to a classifier, masks of all windows, and what the report shows."""

from __future__ import annotations

import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path

import numpy as np
import numpy.typing as npt
from torch import Tensor

from sits_engine import __version__
from sits_engine.context import JobContext
from sits_engine.device import Device
from sits_engine.learning.checkpoint import keeping
from sits_engine.learning.exact.cam import CamSettings
from sits_engine.learning.exact.fit import ExactFit
from sits_engine.learning.exact.masks import Masks, maps_of_window, masks_of, raw_maps, sharpened
from sits_engine.learning.exact.options import ExactOptions, ExactSettings, settle
from sits_engine.learning.exact.pseudo_labels import THRESHOLD_WORDS
from sits_engine.learning.exact.refine import RefineSettings
from sits_engine.learning.exact.summary import (
    Activation,
    ExactClassRow,
    PseudoMaskReportData,
    Thumbnail,
    TruthScores,
)
from sits_engine.learning.exact.task import ExactTask
from sits_engine.learning.exact.truth import PixelTruth, confusion, scores_of
from sits_engine.learning.processes import ALONE, Processes
from sits_engine.learning.segmentation.batches import normalisation
from sits_engine.learning.segmentation.pictures import FALSE_COLOR, picture_of
from sits_engine.learning.segmentation.scores import class_iou
from sits_engine.models.card import BandCard, ClassCard, ModelCard
from sits_engine.models.exact.classifier import ExactClassifier
from sits_engine.samples.bags import Bags
from sits_engine.samples.classes import distinct_colors

#: Name and colour of pixels of none of the ticked crops.
BACKGROUND, BACKGROUND_COLOR = "background", "#a0a0a0"
#: What masks are compared with where pixel labels are given.
PLAIN = CamSettings("plain", None)
#: Fewer polygons than this are all trained on.
FEWEST_TO_SPLIT = 20
#: Windows that the report shows.
MOST_SHOWN = 6
#: Windows whose pixels set the contrast of its pictures.
ALIKE = 100


@dataclass
class MaskResult:
    """The trained network (on the device, eval mode), its card, the masks, and what the report shows."""

    module: ExactClassifier
    card: ModelCard
    masks: Masks
    report: PseudoMaskReportData


def make_masks(
    bags: Bags,
    options: ExactOptions,
    device: Device,
    ctx: JobContext,
    *,
    truth: PixelTruth | None = None,
    colors: Mapping[str, str] | None = None,
    start: float = 0.0,
    end: float = 1.0,
    processes: Processes = ALONE,
    checkpoint: Path | None = None,
) -> MaskResult:
    """Train on ticks and make masks.

    Args:
        bags, options: see there.
        truth: pixel labels for the report; they change no mask.
        colors: of classes; others are chosen.
        start, end: share of the whole job that this is, for the progress.
        processes: that train together; this one alone draws the masks.
        checkpoint: file that holds the state after each epoch; a run with the same inputs goes on from it.

    Raises:
        InputError: windows that don't fit the network, or training diverges.
    """
    train, held_index = _split(bags, options)
    settings = settle(options, bags, len(train), on_processor=device.is_cpu)
    bands, patch = normalisation(bags.windows, train), int(settings.hyperparameters["patch"])
    task = ExactTask(bags, train, held_index, bands, settings, options.turning, options.seed)
    ctx.info(
        f"{len(np.unique(bags.bag))} polygons with {len(bags)} windows and {len(bags.classes)} classes; "
        f"{settings.epochs} epochs of {settings.steps_per_epoch} steps, {settings.n_dates} dates."
    )
    middle = start + 0.9 * (end - start)
    learning = ctx.part(start, middle, f"Learning the crops on {device.label}")
    kept = task.checkpoint(checkpoint)
    fitted = task.run(device, ctx, learning, processes=processes, checkpoint=kept)
    began = time.monotonic()
    kinds = [settings.cam] if truth is None else [settings.cam, PLAIN]
    with keeping(kept, fitted.rows):
        raw, masks = _drawn(task, fitted.module, kinds, options, device, ctx, (middle, end))
    seconds = {"training": fitted.seconds, "masks": time.monotonic() - began}
    chosen = distinct_colors(bags.classes, {**bags.colors, **(colors or {})})
    card = _card(settings, options, bands, bags, chosen)
    report = _report(bags, masks, fitted, settings, options, chosen, seconds)
    report.n_held = len(np.unique(bags.bag[held_index]))
    for k, row in enumerate(report.classes[:-1]):
        row.held = len(np.unique(bags.bag[held_index][bags.present[held_index, k]]))
    if truth is not None:
        before, plain = (
            masks_of(
                one,
                bags,
                patch,
                scaling=settings.cam.scaling,
                background=settings.background,
                least_confidence=options.least_confidence,
            )
            for one in raw
        )
        others = (before if options.refine else None, None if settings.cam == PLAIN else plain)
        _judge(report, truth, masks, *others)
    report.thumbnails = _thumbnails(bags, masks, truth, options, chosen, patch)
    report.warnings = list(dict.fromkeys([*bags.warnings, *ctx.warnings]))
    card.provenance = report.provenance
    card.scores = {name: round(v, 6) for name, v in report.scores.items() if not np.isnan(v)}
    return MaskResult(fitted.module, card, masks, report)


def _drawn(
    task: ExactTask,
    module: ExactClassifier,
    kinds: list[CamSettings],
    options: ExactOptions,
    device: Device,
    ctx: JobContext,
    progress: tuple[float, float],
) -> tuple[list[Tensor], Masks]:
    """Maps of each kind before scaling, and the masks of the first."""
    bags, settings = task.bags, task.settings
    start, end = progress
    middle = start + 0.3 * (end - start) if options.refine else end
    drawing = ctx.part(start, middle, "Drawing the masks")
    raw = raw_maps(module, task.cutter(device), len(bags), kinds, device, drawing)
    masks = masks_of(
        raw[0],
        bags,
        int(settings.hyperparameters["patch"]),
        scaling=settings.cam.scaling,
        background=settings.background,
        least_confidence=0.0 if options.refine else options.least_confidence,
    )
    if not options.refine:
        return raw, masks
    masks = sharpened(
        masks,
        bags,
        task.bands,
        RefineSettings(),
        device,
        seed=options.seed,
        background=settings.background,
        least_confidence=options.least_confidence,
        progress=ctx.part(middle, end, "Sharpening the masks"),
    )
    if masks.kept:
        names = ", ".join(bags.classes[k] for k in masks.kept)
        ctx.warn(f"Sharpening would have lost {names}: the masks drawn before it stay. Look at them.")
    return raw, masks


def _split(bags: Bags, options: ExactOptions) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Windows to train on, and those of polygons that are held out.

    At least two polygons with each class and two without it stay in training, where there are so many.
    """
    numbers = np.unique(bags.bag)
    everything = np.arange(len(bags))
    wanted = round(options.held_out * len(numbers))
    if len(numbers) < FEWEST_TO_SPLIT or not wanted:
        return everything, everything[:0]
    first = {int(b): i for i, b in reversed(list(enumerate(bags.bag.tolist())))}
    ticks = np.stack([bags.present[first[int(b)]] for b in numbers])
    # (N, 2 K): a class is learned from polygons with it and from those without it
    both = np.hstack([ticks, ~ticks])
    left = both.sum(axis=0)
    held: list[int] = []
    for i in np.random.default_rng(options.seed).permutation(len(numbers)).tolist():
        if len(held) == wanted:
            break
        if (left[both[i]] > 2).all():
            left = left - both[i]
            held.append(int(numbers[i]))
    out = np.isin(bags.bag, held)
    return np.flatnonzero(~out), np.flatnonzero(out)


def _card(
    settings: ExactSettings,
    options: ExactOptions,
    bands: list[BandCard],
    bags: Bags,
    colors: Mapping[str, str],
) -> ModelCard:
    seen = bags.windows.valid.any(axis=(2, 3))
    return ModelCard(
        architecture="exact",
        hyperparameters=settings.hyperparameters,
        bands=bands,
        classes=[ClassCard(name=name, color=colors[name], codes=[name]) for name in bags.classes],
        season_year=options.season_year,
        positions=sorted({float(p) for p in np.unique(bags.windows.positions[seen])}),
        mask_dates=options.mask_clouds,
    )


def _report(
    bags: Bags,
    masks: Masks,
    fitted: ExactFit,
    settings: ExactSettings,
    options: ExactOptions,
    colors: Mapping[str, str],
    seconds: dict[str, float],
) -> PseudoMaskReportData:
    inside = int(bags.inside.sum())
    numbers, first = np.unique(bags.bag, return_index=True)
    ticks = bags.present[first]
    last = fitted.rows[-1]
    confidence = masks.confidence[masks.labels >= 0]
    nan = float("nan")
    return PseudoMaskReportData(
        title="Masks from labels of windows",
        provenance={
            **options.provenance,
            "polygons_used": len(numbers),
            "windows_used": len(bags),
            "window_pixels": list(bags.windows.size),
            "engine": __version__,
            "python": platform.python_version(),
            "packages": {name: metadata.version(name) for name in ("torch", "numpy", "rasterio")},
            "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        },
        parameters={**options.parameters, **settings.as_json(), "batch_size": fitted.batch_size},
        classes=_class_rows(bags, masks, fitted, options, colors, ticks, inside),
        epochs=fitted.rows,
        contrast_from=fitted.contrast_from,
        n_polygons=len(numbers),
        n_windows=len(bags),
        n_held=0,
        n_pixels=inside,
        ticks=np.bincount(ticks.sum(axis=1), minlength=len(bags.classes) + 1),
        threshold=settings.background,
        threshold_words=THRESHOLD_WORDS if options.threshold is None else "Given by THRESHOLD.",
        maps=settings.cam.source,
        affinity=settings.cam.affinity is not None,
        confidence=np.histogram(confidence, bins=10, range=(0, 1))[0].astype(np.int64),
        unlabelled=masks.unlabelled,
        thumbnails=[],
        scores={
            "map_macro": nan if last.validation_map_macro is None else last.validation_map_macro,
            "map_micro": nan if last.validation_map_micro is None else last.validation_map_micro,
            "mean_confidence": float(confidence.mean()) if len(confidence) else nan,
        },
        pixel_size=options.pixel_size,
        seconds=seconds,
        notes=list(bags.notes),
    )


def _class_rows(
    bags: Bags,
    masks: Masks,
    fitted: ExactFit,
    options: ExactOptions,
    colors: Mapping[str, str],
    ticks: npt.NDArray[np.bool_],
    inside: int,
) -> list[ExactClassRow]:
    k = len(bags.classes)
    pixels = np.bincount(masks.labels[masks.labels >= 0], minlength=k + 1).tolist()
    rows = [
        ExactClassRow(
            name=name,
            color=colors[name],
            value=i + 1,
            ticked=int(ticks[:, i].sum()),
            windows=int(bags.present[:, i].sum()),
            pixels=pixels[i],
            share=pixels[i] / max(1, inside),
            average_precision=None if np.isnan(fitted.precision[i]) else float(fitted.precision[i]),
        )
        for i, name in enumerate(bags.classes)
    ]
    value = k + 1 if options.background == "class" else 0
    name = background_name(bags.classes)
    rows.append(
        ExactClassRow(name, BACKGROUND_COLOR, value, None, None, pixels[k], pixels[k] / max(1, inside))
    )
    return rows


def background_name(classes: tuple[str, ...]) -> str:
    """'background', or where a crop is called so, 'background 2'."""
    taken = {name.casefold() for name in classes}
    return BACKGROUND if BACKGROUND not in taken else f"{BACKGROUND} 2"


def _judge(
    report: PseudoMaskReportData, truth: PixelTruth, masks: Masks, before: Masks | None, plain: Masks | None
) -> None:
    """Put the comparison with pixel labels into the report.

    Args:
        before: masks before sharpening, None: they were not sharpened.
        plain: those of plain CAM, None: the maps are plain CAM.
    """
    n_classes = len(report.classes) - 1
    counts = confusion(truth.labels, masks.labels, n_classes)
    scores = scores_of(counts, background=truth.background)
    others = [
        None if one is None else confusion(truth.labels, one.labels, n_classes) for one in (before, plain)
    ]
    unsharpened, plainly = (
        None if one is None else scores_of(one, background=truth.background) for one in others
    )
    report.truth = TruthScores(
        truth.name, int(counts.sum()), scores, unsharpened, plainly, counts, truth.background
    )
    first = unsharpened or scores
    report.scores |= {
        "accuracy": scores["accuracy"],
        "miou": scores["miou"],
        "unsharpened_miou": first["miou"],
        "plain_miou": (plainly or first)["miou"],
    }
    right, support, claimed = np.diag(counts), counts.sum(axis=1), counts.sum(axis=0)
    iou = class_iou(counts)
    iou_before, iou_plain = (None if one is None else class_iou(one) for one in others)
    report.classes = [
        replace(
            row,
            iou=float(iou[i]),
            precision=float(right[i] / max(1, claimed[i])),
            recall=float(right[i] / support[i]),
            unsharpened_iou=None if iou_before is None else float(iou_before[i]),
            plain_iou=None if iou_plain is None else float(iou_plain[i]),
        )
        if support[i]
        else row
        for i, row in enumerate(report.classes)
    ]


def _thumbnails(
    bags: Bags,
    masks: Masks,
    truth: PixelTruth | None,
    options: ExactOptions,
    colors: Mapping[str, str],
    patch: int,
) -> list[Thumbnail]:
    """Windows spread over the region: each one adds classes that those before it lack, and has several."""
    order = np.random.default_rng(options.seed).permutation(len(bags))
    shown: list[int] = []
    seen = np.zeros(len(bags.classes), bool)
    whole = bags.inside.mean(axis=(1, 2))
    for _ in range(min(MOST_SHOWN, len(bags))):
        left = [int(i) for i in order if int(i) not in shown]
        new = [(bags.present[i] & ~seen).sum() + 0.1 * bags.present[i].sum() + whole[i] for i in left]
        shown.append(left[int(np.argmax(new))])
        seen |= bags.present[shown[-1]]
    out = []
    for i in shown:
        picture, words = picture_of(
            bags.windows, i, (options.season_year,), bands=FALSE_COLOR, others=order[:ALIKE]
        )
        place = f"row {int(bags.windows.rows[i])}, column {int(bags.windows.cols[i])}"
        activations = [
            Activation(bags.classes[k], colors[bags.classes[k]], values.astype(np.float32))
            for k, values in maps_of_window(masks, bags, i, patch).items()
        ]
        out.append(
            Thumbnail(
                title=f"window {bags.ids[bags.bag[i]]}, {place}",
                picture=picture,
                picture_words=words,
                activations=activations,
                mask=masks.labels[i],
                confidence=masks.confidence[i],
                truth=None if truth is None else truth.labels[i],
            )
        )
    return out
