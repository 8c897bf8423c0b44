"""The fast network that goes into a model's file: distilled, calibrated, and compared with its teacher."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import nn

from sits_engine.context import JobContext
from sits_engine.device import Device
from sits_engine.learning import scores as scoring
from sits_engine.learning.calibration import fit_temperature, match_temperature
from sits_engine.learning.distill import DistillOptions, distill, fast_hyperparameters
from sits_engine.learning.held_out import enough
from sits_engine.models.card import FastCard, ModelCard
from sits_engine.models.inference import Predictor
from sits_engine.models.pseltae import PSELTAE
from sits_engine.samples.pixel_sets import PixelSets, offsets_of

#: Pixels of a set that the two networks are compared on, drawn at random.
MOST_PIXELS = 16
#: Pixels classified between two looks at cancellation.
AT_ONCE = 4096
#: What the fast network may lose in macro-F1 without a warning: the goal that it was made for.
TOLERATED = 0.005

Floats = npt.NDArray[np.float32]


@dataclass
class FastModel:
    """The fast network and what the file and the report say of it.

    Attributes:
        module: in eval mode, on the CPU.
        card: hyperparameters, temperature, and these scores on single pixels: agreement (share of pixels to
            which both give the same class), pixels; and where they have labels macro_f1, accuracy,
            teacher_macro_f1, teacher_accuracy.
        f1: (K,) F1 of each class by the fast network and by its teacher; None where it can't be known.
        warning: a sentence where it loses more than `TOLERATED`, or None.
    """

    module: nn.Module
    card: FastCard
    f1: list[tuple[float | None, float | None]]
    warning: str | None


def make_fast(
    module: PSELTAE,
    card: ModelCard,
    parts: tuple[PixelSets, PixelSets, PixelSets],
    options: DistillOptions,
    device: Device,
    ctx: JobContext,
    progress: Callable[[float], None] = lambda fraction: None,
) -> FastModel:
    """Distil, calibrate, compare.

    Args:
        module, card: the trained network, on `device`, and its card with the temperature.
        parts: sets to learn from, to calibrate with and to compare on. Where those to calibrate with have
            labels, the temperature is fitted to them, else to the teacher's answers.
        options: see `DistillOptions`.
        device, ctx: as in `distill`.
        progress: gets the done share.
    """
    learn, calibrate, compare = parts
    student = distill(
        module, card, learn, _kinds(module, card, learn, device), options, device, ctx,
        lambda fraction: progress(0.95 * fraction),
    )  # fmt: skip
    own = FastCard(hyperparameters=fast_hyperparameters(card))
    as_model = card.model_copy(update={**dict(own), "fast": None})

    def answers(pixels: PixelSets) -> tuple[Floats, Floats]:
        both = Predictor(module, card, device), Predictor(student, as_model, device)
        return _predict(both[0], pixels, ctx), _predict(both[1], pixels, ctx)

    pixels = single_pixels(calibrate, options.seed)
    wanted, found = answers(pixels)
    labelled = enough(pixels.labels) and pixels.labels.min() >= 0
    own.temperature = fit_temperature(found, pixels.labels) if labelled else match_temperature(found, wanted)
    pixels = single_pixels(compare, options.seed)
    wanted, found = answers(pixels)
    own.scores, f1 = _compare(wanted.argmax(1), found.argmax(1), pixels.labels, len(card.classes))
    progress(1.0)
    return FastModel(student.cpu(), own, f1, _warning(own.scores))


def single_pixels(sets: PixelSets, seed: int = 0, most: int = MOST_PIXELS) -> PixelSets:
    """Some random pixels of each set as sets of their own, those with at least one valid date."""
    rng = np.random.default_rng(seed)
    owner = np.repeat(np.arange(len(sets)), sets.n_pixels)
    # A random number for each pixel, the smallest ones of each set are taken.
    order = np.lexsort((rng.random(len(owner)), owner))
    rank = np.arange(len(owner)) - sets.offsets[owner]
    chosen = np.sort(order[rank < most])
    chosen = chosen[sets.valid[chosen].any(axis=1)]
    of = owner[chosen]
    return replace(
        sets,
        values=sets.values[chosen],
        valid=sets.valid[chosen],
        offsets=offsets_of(np.ones(len(chosen), np.int64)),
        positions=sets.positions[of],
        labels=sets.labels[of],
        ids=sets.ids[of],
        xy=sets.xy[of],
        region=sets.region[of],
        blocks=sets.blocks[of],
    )


def _kinds(module: nn.Module, card: ModelCard, sets: PixelSets, device: Device) -> npt.NDArray[np.int64]:
    """(N,) labels, or the teacher's answer where there is none: for drawing rare classes as often."""
    if len(sets) and sets.labels.min() >= 0:
        return sets.labels
    found = Predictor(module, card, device).predict_sets(sets).argmax(1)
    return np.where(sets.labels >= 0, sets.labels, found)


def _predict(predictor: Predictor, sets: PixelSets, ctx: JobContext) -> Floats:
    """(N, K) probabilities of single pixels."""
    parts = [np.zeros((0, len(predictor.card.classes)), np.float32)]
    for start in range(0, len(sets), AT_ONCE):
        ctx.check_cancelled()
        index = np.arange(start, min(start + AT_ONCE, len(sets)))
        parts.append(predictor.predict_sets(sets.subset(index)))
    return np.concatenate(parts)


def _compare(
    teacher: npt.NDArray[np.int64], student: npt.NDArray[np.int64], labels: npt.NDArray[np.int64], k: int
) -> tuple[dict[str, Any], list[tuple[float | None, float | None]]]:
    scores: dict[str, Any] = {"pixels": len(labels)}
    if len(labels):
        scores["agreement"] = round(float((teacher == student).mean()), 6)
    known = labels >= 0
    if not enough(labels[known]):
        return scores, [(None, None)] * k
    f1 = []
    for name, found in (("", student), ("teacher_", teacher)):
        confusion = scoring.confusion_of(labels[known], found[known], k)
        scores[name + "macro_f1"] = round(scoring.macro_f1(confusion), 6)
        scores[name + "accuracy"] = round(scoring.accuracy(confusion), 6)
        f1.append(scoring.f1_where_known(confusion))
    return scores, list(zip(*f1, strict=True))


def _warning(scores: dict[str, Any]) -> str | None:
    if "macro_f1" not in scores:
        return None
    loss = scores["teacher_macro_f1"] - scores["macro_f1"]
    if loss <= TOLERATED:
        return None
    return (
        f"The fast network's macro-F1 on single pixels is {scores['macro_f1']:.3f}, {100 * loss:.1f} points "
        f"below the {scores['teacher_macro_f1']:.3f} of the model itself: map without FAST where it matters."
    )
