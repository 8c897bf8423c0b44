"""How long to adapt, and how: the published values, scaled to the size of the region and the run."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from sits_engine.learning.adaptation.options import SELF_TRAINING, AdaptOptions
from sits_engine.samples.pixel_sets import PixelSets

#: Published length; what is said about a step (EMA, decay of the learning rate) refers to it.
PUBLISHED_EPOCHS, PUBLISHED_STEPS = 20, 500
PUBLISHED_TOTAL = PUBLISHED_EPOCHS * PUBLISHED_STEPS


@dataclass(frozen=True)
class AdaptSettings:
    """What a run uses; names as in `AdaptOptions`.

    Attributes:
        stay: share of the teacher that stays in one step: `ema` scaled to the length of the run.
        horizon: published steps that one step stands for, for schedules that count steps.
    """

    epochs: int
    steps_per_epoch: int
    batch_size: int
    learning_rate: float
    threshold: float
    trade_off: float
    stay: float
    horizon: float
    shift_augmentation: int
    pixels_per_set: int
    dates_per_sample: int | None

    def as_json(self) -> dict[str, Any]:
        """Plain numbers."""
        return asdict(self)


def settle(options: AdaptOptions, source: PixelSets, target: PixelSets) -> AdaptSettings:
    """Fill in what the user left open."""
    own = options.method in SELF_TRAINING
    epochs = options.epochs or PUBLISHED_EPOCHS
    wanted = int(np.ceil(4 * len(target) / options.batch_size))
    steps = options.steps_per_epoch or int(np.clip(wanted, 25, PUBLISHED_STEPS))
    total = epochs * steps
    horizon = PUBLISHED_TOTAL / total
    rate = 1e-4 if own else 1.0
    largest = int(max(source.n_pixels.max(initial=1), target.n_pixels.max(initial=1)))
    return AdaptSettings(
        epochs=epochs,
        steps_per_epoch=steps,
        batch_size=options.batch_size,
        learning_rate=options.learning_rate or rate,
        threshold=options.threshold
        if options.threshold is not None
        else 0.7
        if options.method == "alda"
        else 0.9,
        trade_off=options.trade_off if options.trade_off is not None else 2.0 if own else 1.0,
        stay=options.ema**horizon,
        horizon=horizon,
        shift_augmentation=options.shift_augmentation or 0,
        pixels_per_set=max(1, min(options.pixels_per_set or 64, largest)),
        dates_per_sample=options.dates_per_sample,
    )
