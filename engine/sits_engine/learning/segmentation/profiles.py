"""What the classes look like over the season: means over labelled pixels of windows."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sits_engine.learning.held_out import date_columns, profiles_of_sums
from sits_engine.learning.summary import Profiles
from sits_engine.samples.windows import WindowSet


def window_profiles(windows: WindowSet, season_year: int) -> Profiles:
    """Mean and deviation over the clear labelled pixels of each class, date by date.

    A pixel of the images whose finer labels are of several classes counts for each by its share.

    Args:
        windows: labelled by class; hidden and unknown pixels don't count.
        season_year: the year that positions count from.
    """
    positions, columns = date_columns(windows.positions)
    k, s = len(windows.classes), windows.scale
    height, width = windows.size
    shape = (k, len(positions), len(windows.bands))
    count, total, squares = np.zeros(shape[:2]), np.zeros(shape), np.zeros(shape)
    for labels, values, valid, column in zip(
        windows.labels, windows.values, windows.valid, columns, strict=True
    ):
        here = np.unique(labels[labels >= 0])
        dates = np.flatnonzero(valid.any(axis=(1, 2)))
        if not len(here) or not len(dates):
            continue
        fine = (labels == here[:, None, None]).reshape(len(here), height, s, width, s)
        share = fine.mean(axis=(2, 4)).reshape(len(here), -1)
        clear = valid[dates].reshape(len(dates), -1)
        numbers = np.where(clear[:, None], values[dates].reshape(*clear.shape[:1], shape[2], -1), 0)
        numbers = numbers.astype(np.float64)
        place = here[:, None], column[dates]
        np.add.at(count, place, share @ clear.T)
        np.add.at(total, place, _summed(share, numbers))
        np.add.at(squares, place, _summed(share, numbers**2))
    return profiles_of_sums(positions, windows.bands, count, total, squares, season_year)


def _summed(share: npt.NDArray[np.float64], numbers: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Shares (K, P) and numbers (T, C, P) -> sums (K, T, C)."""
    flat = share @ numbers.reshape(-1, numbers.shape[-1]).T
    return flat.reshape(len(share), *numbers.shape[:2])
