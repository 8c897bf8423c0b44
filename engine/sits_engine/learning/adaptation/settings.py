"""How long to adapt, and how: the published values, scaled to the size of the region and the run."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from sits_engine.learning.adaptation.options import SELF_TRAINING, AdaptOptions, Norm
from sits_engine.samples.pixel_sets import PixelSets

#: Published length; what is said about a step (EMA, decay of the learning rate) refers to it.
PUBLISHED_EPOCHS, PUBLISHED_STEPS = 20, 500
PUBLISHED_TOTAL = PUBLISHED_EPOCHS * PUBLISHED_STEPS
#: Steps of an epoch on a processor at most, unless the user wants more.
MOST_STEPS_CPU = 100
#: A teacher whose target lies far from the source follows so many times as fast as the published one.
FAR_PACE = 4
#: Largest random shift that is chosen by itself, days: half a month.
WIDEST_GAP = 16


@dataclass(frozen=True)
class AdaptSettings:
    """What a run uses; names as in `AdaptOptions`.

    Attributes:
        stay: share of the teacher that stays in one step: `ema` scaled to the length of the run.
        norm: whose batch statistics the student trains with, never 'auto'.
        warm_up: epochs without pseudo labels at the start.
        horizon: published steps that one step stands for, for schedules that count steps.
    """

    epochs: int
    steps_per_epoch: int
    batch_size: int
    learning_rate: float
    threshold: float
    trade_off: float
    stay: float
    norm: Norm
    warm_up: int
    horizon: float
    shift_augmentation: int
    pixels_per_set: int
    dates_per_sample: int | None

    def as_json(self) -> dict[str, Any]:
        """Plain numbers."""
        return asdict(self)


def settle(
    options: AdaptOptions, source: PixelSets, target: PixelSets, *, cpu: bool = False, near: bool = False
) -> AdaptSettings:
    """Fill in what the user left open: from numbers of samples, dates and device, never from labels.

    Args:
        cpu: no graphics card.
        near: with the shift, the target's features lie where the source's do (`normalization.distance`): the
            source's statistics are kept and the teacher follows as slowly as published. Otherwise each
            region is normalised by itself, the student first learns from the source alone, and the teacher
            follows faster, because it is wrong more often.

    A run of the published length gets the published values. In a shorter one the learning rate grows with the
    square root of what a step stands for, and the teacher walks as far as in the published run: at the end as
    much of the source model stays in it (docs/adaptation.md says what was tried).
    """
    own = options.method in SELF_TRAINING
    epochs = options.epochs or PUBLISHED_EPOCHS
    wanted = int(np.ceil(4 * len(target) / options.batch_size))
    steps = options.steps_per_epoch or int(np.clip(wanted, 25, MOST_STEPS_CPU if cpu else PUBLISHED_STEPS))
    horizon = PUBLISHED_TOTAL / (epochs * steps)
    rate = (1e-4 if own else 1.0) * max(1.0, horizon) ** 0.5
    largest = int(max(source.n_pixels.max(initial=1), target.n_pixels.max(initial=1)))
    threshold = {"alda": 0.7}.get(options.method, 0.9)
    trade_off = 2.0 if own else 1.0
    shift = options.shift_augmentation
    far = options.start == "shifted" and not near
    norm = options.norm
    if norm == "auto":
        norm = "kept" if near and options.start == "shifted" else "separate"
    return AdaptSettings(
        epochs=epochs,
        steps_per_epoch=steps,
        batch_size=options.batch_size,
        learning_rate=options.learning_rate or rate,
        threshold=threshold if options.threshold is None else options.threshold,
        trade_off=trade_off if options.trade_off is None else options.trade_off,
        stay=options.ema ** (horizon * (FAR_PACE if far else 1)),
        norm=norm,
        warm_up=min(epochs, (epochs // 4 if far else 0) if options.warm_up is None else options.warm_up),
        horizon=horizon,
        shift_augmentation=gap_of_dates(source) if shift is None else shift,
        pixels_per_set=max(1, min(options.pixels_per_set or 64, largest)),
        dates_per_sample=options.dates_per_sample,
    )


def gap_of_dates(source: PixelSets) -> int:
    """Days between two dates of the source (median), at most `WIDEST_GAP`.

    As random shift of the training samples it fills the gaps of the calendar: days on which the source was
    never seen become as usual as the others. Wider shifts (published: 60 days) would hide the shift between
    the regions.
    """
    gaps = np.diff(source.positions, axis=1)
    gaps = gaps[gaps > 0]
    return int(min(WIDEST_GAP, np.median(gaps))) if len(gaps) else 0
