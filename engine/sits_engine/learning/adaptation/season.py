"""Does the season of a target fit the season that a model knows? Asked before anything is computed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sits_engine.errors import InputError
from sits_engine.samples.pixel_sets import PixelSets

#: A series of more days than this (15 months) holds more than one season.
MOST_DAYS = 456
#: Below the first share of the model's season the target is refused; below the second there is a warning.
LEAST_COVER, GOOD_COVER = 0.5, 0.8


def check_season(target: PixelSets, trained_on: Sequence[float], reach: int) -> list[str]:
    """Sentences about a season that fits badly; empty where all is well.

    Args:
        target: sets, positions in days since 1 January of their own season year.
        trained_on: days of the source's season (`positions` of a model's card).
        reach: largest shift in days that may be added to the target's positions.

    Raises:
        InputError: the series is longer than a season, or holds less than half of the model's, whatever the
            shift.
    """
    first, last = _spans(target)
    if not len(first) or len(trained_on) < 2:
        return []
    begin, end = float(min(trained_on)), float(max(trained_on))
    length = float(np.median(last - first))
    if length > max(MOST_DAYS, end - begin + 91):
        raise InputError(
            f"The series of the target covers {length:.0f} days, more than one season; the model was trained "
            f"on {end - begin:.0f} days.",
            "Build the time series of one season (START_DATE and END_DATE), and adapt to each season alone.",
        )
    start, stop = float(first.min()), float(last.max())
    cover = _cover(start, stop, begin, end, reach)
    facts = (
        f"The target has images from day {start:.0f} to {stop:.0f} of its season year, the model was trained "
        f"on day {begin:.0f} to {end:.0f}"
    )
    if cover < LEAST_COVER:
        raise InputError(
            f"{facts}: at most {100 * cover:.0f} % of the model's season are there, even with a shift of "
            f"{reach} days.",
            "Add images of the missing part of the season, check the season year of the series, or train the "
            "source model on the part of the season that the target has.",
        )
    if cover < GOOD_COVER:
        return [
            f"{facts}: {100 * cover:.0f} % of the model's season are there. Crops that differ only in the "
            "missing part will be confused."
        ]
    return []


def _spans(target: PixelSets) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """First and last day with a valid pixel of each set that has one."""
    filled = np.flatnonzero(target.n_pixels > 0)
    if not len(filled):
        return np.empty(0), np.empty(0)
    seen = np.bitwise_or.reduceat(target.valid, target.offsets[filled], axis=0)
    filled, seen = filled[seen.any(axis=1)], seen[seen.any(axis=1)]
    days = target.positions[filled].astype(float)
    return np.where(seen, days, np.inf).min(axis=1), np.where(seen, days, -np.inf).max(axis=1)


def _cover(start: float, stop: float, begin: float, end: float, reach: int) -> float:
    """Share of begin..end that start..stop covers under the best shift of at most `reach` days."""
    middle = (begin + end) / 2 - (start + stop) / 2
    shift = min(max(middle, -reach), reach)
    common = min(stop + shift, end) - max(start + shift, begin)
    return max(0.0, common) / (end - begin)
