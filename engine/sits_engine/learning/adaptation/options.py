"""What a user may choose about an adaptation; defaults are the published ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Method = Literal["timematch", "fixmatch", "shift", "mmd", "dann", "cdan", "jumbot", "alda"]
Estimator = Literal["IS", "AM", "ENT"]
Start = Literal["shifted", "published"]
Norm = Literal["auto", "kept", "separate", "joint"]

#: In the order of reports; the words are for people.
METHODS: dict[Method, str] = {
    "timematch": "TimeMatch",
    "fixmatch": "FixMatch (TimeMatch without shift)",
    "shift": "Shift only (no training)",
    "mmd": "MMD",
    "dann": "DANN",
    "cdan": "CDAN+E",
    "jumbot": "JUMBOT",
    "alda": "ALDA",
}
#: Methods that train on pseudo labels with a teacher; the others align features (or don't train at all).
SELF_TRAINING = ("timematch", "fixmatch")
#: Methods that use the estimated shift.
SHIFTING = ("timematch", "shift")


@dataclass(frozen=True)
class AdaptOptions:
    """How to adapt. None leaves it to `settle` (the published value, scaled to the size of the target).

    Attributes:
        method: key of `METHODS`.
        first_estimator: of the shift before training (published IS).
        start: where student and teacher of TimeMatch begin: 'shifted', with the shift built in, so that both
            regions lie on the source's calendar and the shift stays; 'published', the source model as it is,
            whose student has to learn the target's calendar while the teacher's shift is estimated again.
        estimator: of the shift at the start of each epoch, with the published start (published AM).
        max_shift: days; shifts in -max_shift..max_shift are tried (published 60).
        shift: of the methods in `SHIFTING`, one that the user knows (days added to the target's positions);
            None estimates it.
        epochs, steps_per_epoch: published 20 x 500; None: 20, and as many steps as go four times through the
            target, but 25 to 500 (on a processor to 100).
        warm_up: first epochs in which the student of TimeMatch and FixMatch learns from the source alone
            (published 0); None: a quarter of all where the target lies far from the source, otherwise 0.
        batch_size: samples of each region a step (published 128).
        learning_rate: of Adam (TimeMatch, FixMatch; published 1e-4), or factor on the published SGD schedule
            of the other methods (published 1); None: more in shorter runs.
        weight_decay: L2 (published 1e-4).
        gamma: of the focal loss (published 1; TimeMatch and FixMatch).
        threshold: pseudo labels count above this confidence (published 0.9; ALDA 0.7).
        trade_off: weight of the target's or the alignment's loss (published 2 TimeMatch, 1 the others).
        ema: share of the teacher that stays in each step (published 0.9999 at 10,000 steps; scaled in
            shorter runs, so that as much of the source model stays in the teacher at the end, and to a faster
            teacher where the target lies far from the source: see `settle`).
        shift_augmentation: largest random shift of training samples in days (published 60; None: the gap
            between two dates of the source, at most 16).
        balanced_source: every class of the source equally often (published on for TimeMatch).
        norm: batch statistics that the student of TimeMatch and FixMatch trains with: 'kept', those of the
            source model behind the pooling of pixels; 'separate', of each region's own batches (published);
            'joint', of both together; 'auto': kept where the target lies near the source, otherwise separate
            (`normalization.NEAR`), and with the published start always separate.
        keep: which network is the result of TimeMatch (published: student).
        pixels_per_set, dates_per_sample: drawn in each step (published 64 and 30).
        seed: the same seed on a CPU gives the same model.
    """

    method: Method = "timematch"
    first_estimator: Estimator = "IS"
    start: Start = "shifted"
    estimator: Estimator = "AM"
    max_shift: int = 60
    shift: int | None = None
    epochs: int | None = None
    steps_per_epoch: int | None = None
    warm_up: int | None = None
    batch_size: int = 128
    learning_rate: float | None = None
    weight_decay: float = 1e-4
    gamma: float = 1.0
    threshold: float | None = None
    trade_off: float | None = None
    ema: float = 0.9999
    shift_augmentation: int | None = None
    balanced_source: bool = True
    norm: Norm = "auto"
    keep: Literal["student", "teacher"] = "student"
    pixels_per_set: int | None = None
    dates_per_sample: int = 30
    seed: int = 1
