"""The fast network that goes into a model's file: distilled, calibrated, and compared with its teacher."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from torch import nn

from sits_engine.context import JobContext
from sits_engine.device import Device
from sits_engine.learning import scores as scoring
from sits_engine.learning.calibration import fit_temperature, match_temperature
from sits_engine.learning.distill import DistillOptions, distill, fast_hyperparameters
from sits_engine.learning.held_out import enough
from sits_engine.learning.summary import FastScores
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
#: A region without labels with fewer sets to hold back holds none back.
FEWEST_HELD = 5

Floats = npt.NDArray[np.float32]


@dataclass
class FastModel:
    """The fast network and what file and report say of it.

    Attributes:
        module: in eval mode, on the CPU.
        card: for the model's file.
        scores: for the report.
    """

    module: nn.Module
    card: FastCard
    scores: FastScores

    @property
    def warning(self) -> str | None:
        """A sentence where it loses more than `TOLERATED`."""
        own, teacher = self.scores.macro_f1, self.scores.teacher_macro_f1
        if own is None or teacher is None or teacher - own <= TOLERATED:
            return None
        return (
            f"The fast network's macro-F1 on single pixels is {own:.3f}, {100 * (teacher - own):.1f} points "
            f"below the {teacher:.3f} of the model itself: map without FAST where it matters."
        )


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
        module, card: the trained network, which goes to `device`, and its card with the temperature.
        parts: sets to learn from, to calibrate with and to compare on. Where those to calibrate with have
            labels, the temperature is fitted to them, else to the teacher's answers.
        options: see `DistillOptions`.
        device, ctx: as in `distill`.
        progress: gets the done share.
    """
    learn, calibrate, compare = parts
    module = module.to(device.torch).eval()
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
    scores = _compare(wanted.argmax(1), found.argmax(1), pixels.labels, len(card.classes), own.temperature)
    own.scores = scores.on_card
    progress(1.0)
    return FastModel(student.cpu(), own, scores)


def without_labels(sets: PixelSets, seed: int) -> tuple[PixelSets, PixelSets, PixelSets]:
    """`parts` of `make_fast` of a region without labels: a fifth isn't learned from, but compared on.

    Labels, where there are any, are taken away. Few sets play all parts.
    """
    sets = replace(sets, labels=np.full(len(sets), -1, np.int64))
    order = np.random.default_rng(seed).permutation(len(sets))
    held = len(sets) // 5
    if held < FEWEST_HELD:
        return sets, sets, sets
    learn, rest = sets.subset(np.sort(order[held:])), sets.subset(np.sort(order[:held]))
    return learn, rest, rest


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
    teacher: npt.NDArray[np.int64],
    student: npt.NDArray[np.int64],
    labels: npt.NDArray[np.int64],
    n_classes: int,
    temperature: float,
) -> FastScores:
    agreement = round(float((teacher == student).mean()), 6) if len(labels) else None
    found = FastScores(len(labels), agreement, temperature)
    known = labels >= 0
    if not enough(labels[known]):
        return found
    own, old = (scoring.confusion_of(labels[known], c[known], n_classes) for c in (student, teacher))
    found.macro_f1, found.teacher_macro_f1 = (round(scoring.macro_f1(c), 6) for c in (own, old))
    found.accuracy, found.teacher_accuracy = (round(scoring.accuracy(c), 6) for c in (own, old))
    found.f1, found.teacher_f1 = scoring.f1_where_known(own), scoring.f1_where_known(old)
    return found
