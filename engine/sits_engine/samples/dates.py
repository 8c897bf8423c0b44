"""A fixed number of dates for networks that need one: spread over the whole season, not the first ones.

Source: pitfalls.md 3.3 and 3.4 (the published loaders keep the first 16 dates of the year, or random ones
even when they test).
"""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from sits_engine.samples.windows import WindowSet


def evenly(
    positions: npt.NDArray[np.integer],
    mask: npt.NDArray[np.bool_],
    n: int,
    *,
    clear: npt.NDArray[np.floating] | None = None,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Choose `n` dates spread evenly over the season; the same input always gives the same dates.

    From the first to the last usable date there are `n` equally spaced target days. Each gets a date of its
    own, in order of time, such that the distances add up to the least possible.

    Args:
        positions: (T,) days, ascending.
        mask: (T,) bool, dates that may be used.
        n: dates wanted, 1 or more.
        clear: (T,) share of clear pixels, 0 to 1. A wholly clouded date is taken only where a clear one is
            further from the target by the distance between two targets.

    Returns:
        (n,) place of each date, ascending, and (n,) bool. With fewer usable dates than `n` all are taken and
        the rest is padding: False there, the place of the last one (0 where there is none).
    """
    usable = np.flatnonzero(mask)
    if len(usable) <= n:
        padding = n - len(usable)
        filler = usable[-1] if len(usable) else 0
        index = np.concatenate([usable, np.full(padding, filler)]).astype(np.int64)
        return index, np.arange(n) < len(usable)
    days = positions[usable].astype(np.float64)
    targets = np.linspace(days[0], days[-1], n) if n > 1 else np.array([(days[0] + days[-1]) / 2])
    cost = np.abs(days[None, :] - targets[:, None])
    if clear is not None:
        spacing = (days[-1] - days[0]) / max(1, n - 1)
        cost += spacing * (1 - np.clip(clear[usable].astype(np.float64), 0, 1))
    return usable[_match(cost)].astype(np.int64), np.ones(n, dtype=bool)


def thinned(windows: WindowSet, n: int, *, prefer_clear: bool = True) -> WindowSet:
    """The windows with `n` dates each, chosen by `evenly` for each window of its own.

    Dates on which a window has no valid pixel are not used; padded ones are not valid and hold zeros.

    Args:
        windows: with any number of dates.
        n: dates wanted.
        prefer_clear: a date near the target with more clear pixels wins over a nearer one with few.
    """
    shares = windows.valid.mean(axis=(2, 3), dtype=np.float32)
    index = np.zeros((len(windows), n), dtype=np.int64)
    used = np.zeros((len(windows), n), dtype=bool)
    for i, share in enumerate(shares):
        clear = share if prefer_clear else None
        index[i], used[i] = evenly(windows.positions[i], share > 0, n, clear=clear)
    each = np.arange(len(windows))[:, None]
    values, valid = windows.values[each, index], windows.valid[each, index]
    values[~used], valid[~used] = 0, False
    return dataclasses.replace(
        windows, values=values, valid=valid, positions=windows.positions[each, index].astype(np.int32)
    )


def _match(cost: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Columns, ascending and each used once, one a row, with the least sum of `cost` (n, T), n <= T."""
    rows, columns = cost.shape
    total = np.full((rows, columns), np.inf)
    total[0] = cost[0]
    for i in range(1, rows):
        total[i, 1:] = np.minimum.accumulate(total[i - 1])[:-1] + cost[i, 1:]
    chosen = np.empty(rows, dtype=np.int64)
    end = columns
    for i in range(rows - 1, -1, -1):
        chosen[i] = np.argmin(total[i, :end])
        end = int(chosen[i])
    return chosen
