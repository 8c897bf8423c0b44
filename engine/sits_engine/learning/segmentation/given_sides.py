"""Training, validation and test as whole regions, or as the folds that a published data set comes with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from sits_engine.errors import InputError
from sits_engine.learning.segmentation.sides import (
    Sides,
    counts_of,
    everywhere,
    lack_notes,
    lacking_classes,
)
from sits_engine.samples.splits import assign_groups
from sits_engine.samples.windows import WindowSet

OTHERWISE = "Choose SPLIT = blocks (or inside, with few windows)."


def split_regions(windows: WindowSet, *, seed: int = 0) -> Sides:
    """Whole regions (series, patches, years) go to a side, so that each side gets its share of each class.

    Args:
        windows: labelled by class.
        seed: same seed, same split.

    Raises:
        InputError: fewer than three regions, or training lacks a class.
    """
    own, groups = np.unique(windows.region, return_inverse=True)
    if len(own) < 3:
        raise InputError(
            f"The windows are of {len(own)} region{'' if len(own) == 1 else 's'}; training, validation and "
            "test need at least three.",
            OTHERWISE,
        )
    numbers = groups.reshape(-1).astype(np.int64)
    side = assign_groups(counts_of(windows, everywhere(windows, numbers), len(own)), seed)[numbers]
    return _sides(windows, side, "regions")


def split_folds(windows: WindowSet, folds: Sequence[int], *, validation: int = 4, test: int = 5) -> Sides:
    """Validation and test are a fold each, and training is all others.

    Args:
        windows: labelled by class.
        folds: of each region.
        validation, test: numbers of the folds.

    Raises:
        InputError: no folds, both are one, there is no window in one of them or in none of the others, or
            training lacks a class.
    """
    if not folds:
        raise InputError("The windows have no folds, which only published data sets have.", OTHERWISE)
    if validation == test:
        raise InputError(
            f"VALIDATION_FOLD and TEST_FOLD are both {test}: the model would be chosen by its test.",
            "Choose two different folds.",
        )
    own = np.asarray(folds, np.int64)[windows.region]
    there = ", ".join(map(str, np.unique(own)))
    for name, number in (("VALIDATION_FOLD", validation), ("TEST_FOLD", test)):
        if not (own == number).any():
            raise InputError(
                f"{name} is {number}, but no window is of that fold. Folds with windows: {there}.",
                "Choose one of those, raise MAX_WINDOWS, or convert more folds.",
            )
    side = np.where(own == validation, 1, np.where(own == test, 2, 0)).astype(np.int64)
    if not (side == 0).any():
        raise InputError(
            f"No fold is left for training: there are windows of the folds {there} only.",
            "Convert the other folds, too.",
        )
    return _sides(windows, side, "folds")


def _sides(windows: WindowSet, side: npt.NDArray[np.int64], kind: Literal["regions", "folds"]) -> Sides:
    where = everywhere(windows, side).astype(np.int8)
    found = Sides(windows, where, kind, None, windows.xy, side)
    lacking = lacking_classes(found, 0)
    if lacking:
        raise InputError(
            f"No training pixel of {', '.join(lacking)}: all lie in {kind} for validation or test.",
            f"Raise MIN_PIXELS, so that rare classes are left out, or MAX_WINDOWS. Or: {OTHERWISE}",
        )
    found.notes += lack_notes(found)
    return found
