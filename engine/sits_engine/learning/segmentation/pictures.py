"""Windows of the test side as pictures: the image of one clear date, truth, map and similarity."""

from __future__ import annotations

import datetime
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sits_engine.samples.windows import WindowSet

#: Windows shown.
MOST = 4
#: Bands of a picture, by preference: as the eye sees it.
NATURAL = ("B04", "B03", "B02")
#: With the near infrared as red: green plants are red, bare soil is grey to blue.
FALSE_COLOR = ("B08", "B04", "B03")


def chosen_windows(windows: WindowSet, usable: npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
    """(up to 4,) windows with the most classes, then the most known pixels; in order.

    Args:
        windows: with the labels of one side.
        usable: numbers of the windows that hold some.
    """

    def worth(i: int) -> tuple[int, int]:
        labels = windows.labels[i]
        known = labels[labels >= 0]
        return len(np.unique(known)), len(known)

    order = sorted((int(i) for i in usable), key=worth, reverse=True)
    return np.array(sorted(order[:MOST]), np.int64)


def picture_of(
    windows: WindowSet,
    i: int,
    season_years: Sequence[int | None] = (),
    *,
    bands: Sequence[str] = NATURAL,
    others: npt.NDArray[np.integer] | None = None,
) -> tuple[npt.NDArray[np.uint8], str]:
    """(H, W, 3) image of the clearest date, stretched from its 2nd to its 98th percentile, and what it shows.

    `bands` (red, green, blue) where the series has them, else its first bands. Among equally clear dates
    the one nearest to the middle of the season wins; what isn't clear is black.

    Args:
        windows: the set.
        i: number of the window.
        season_years: of each region, for the date; without it (None), the day of the year is told.
        bands: of the picture.
        others: windows with the same dates that are stretched alike: a small window of one field alone would
            show nothing but noise.
    """
    clear = windows.valid[i].mean(axis=(1, 2))
    days = windows.positions[i]
    best = np.flatnonzero(clear >= clear.max() - 0.01)
    date = int(best[np.argmin(np.abs(days[best] - np.median(days)))])
    names = list(windows.bands)
    if all(name in names for name in bands):
        index = [names.index(name) for name in bands]
    else:
        index = [min(c, len(names) - 1) for c in range(3)]
    values = np.moveaxis(windows.values[i, date, index], 0, 2).astype(np.float64)
    valid = windows.valid[i, date]
    out = np.zeros(values.shape, np.uint8)
    if valid.any():
        known = values[valid]
        if others is not None:
            more = np.moveaxis(windows.values[others, date][:, index], 1, 3)
            known = np.concatenate([known, more[windows.valid[others, date]]])
        low, high = np.percentile(known, [2, 98], axis=0)
        scaled = (values - low) / np.maximum(high - low, 1e-6)
        out[valid] = np.round(255 * np.clip(scaled[valid], 0, 1)).astype(np.uint8)
    shown = ", ".join(dict.fromkeys(names[c] for c in index))
    return out, f"{_date(int(days[date]), season_years, int(windows.region[i]))}, {shown}"


def _date(position: int, season_years: Sequence[int | None], region: int) -> str:
    year = season_years[region] if region < len(season_years) else None
    if year is None:
        return f"day {position} after 1 January"
    return str(datetime.date(year, 1, 1) + datetime.timedelta(days=position))
