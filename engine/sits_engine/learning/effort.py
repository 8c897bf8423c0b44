"""How long to train, and how large a network: from the effort asked for and the size of the data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Effort = Literal["quick", "standard", "thorough"]


@dataclass(frozen=True)
class Plan:
    """Length of a training run.

    Attributes:
        epochs: at most; early stopping may end it sooner.
        steps_per_epoch: optimiser steps between two looks at the validation blocks.
        pixels_per_set: pixels drawn of a parcel in each step.
        patience: epochs without a better validation macro-F1 before it stops.
    """

    epochs: int
    steps_per_epoch: int
    pixels_per_set: int
    patience: int


#: (most epochs, fewest and most steps an epoch, pixels): thorough is the published length.
_LIMITS: dict[Effort, tuple[int, int, int, int]] = {
    "quick": (25, 10, 24, 32),
    "standard": (50, 20, 48, 64),
    "thorough": (100, 20, 100, 64),
}


def plan(effort: Effort, n_train: int, batch_size: int, largest_set: int) -> Plan:
    """Length for `n_train` samples: an epoch sees each about once, within the limits of the effort.

    Args:
        effort: what the user chose.
        n_train: training samples.
        batch_size: samples a step.
        largest_set: most pixels of any set; drawing more than that is of no use.
    """
    epochs, fewest, most, pixels = _LIMITS[effort]
    steps = min(most, max(fewest, -(-n_train // batch_size)))
    return Plan(epochs, steps, max(1, min(pixels, largest_set)), max(8, epochs // 3))
