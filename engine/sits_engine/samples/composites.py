"""Monthly composites: the median of the clear observations of each calendar month.

Months of several years are pooled. Where a month was never clear it is missing, not filled from others
(the published code counts clouds as zeros and fills with the year's median: shared/spec/pitfalls.md 5.10).
"""

from __future__ import annotations

import calendar
import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from pyproj import Transformer

from sits_engine.errors import InputError
from sits_engine.series.time_series import TimeSeries
from sits_engine.series.types import Grid, Window

MONTHS = 12
#: Days that a series must span: the shortest month.
SHORTEST_SPAN = 28
#: Places are read together that lie in the same square of so many pixels.
BLOCK = 256
#: Sides of the square of pixels seen around a place.
CONTEXTS = (1, 3, 5, 9)


@dataclass
class Composites:
    """Monthly composites of N places.

    Attributes:
        bands: C names, as asked for.
        values: (N, 12, C, S, S) float32 physical, January first; 0 where the month isn't valid.
        valid: (N, 12) bool, the pixel of the place was clear at least once in that month.
        xy: (N, 2) float64 longitude, latitude.
        rows: (N,) int64, which of the places asked for these are.
        notes: sentences for people: places outside, months never clear.
    """

    bands: tuple[str, ...]
    values: npt.NDArray[np.float32]
    valid: npt.NDArray[np.bool_]
    xy: npt.NDArray[np.float64]
    rows: npt.NDArray[np.int64]
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def context(self) -> int:
        """Pixels along the side of the square around each place."""
        return int(self.values.shape[-1])

    def subset(self, index: npt.ArrayLike) -> Composites:
        """The places of `index` (numbers or a boolean mask), in that order."""
        i = np.asarray(index)
        return Composites(
            self.bands, self.values[i], self.valid[i], self.xy[i], self.rows[i], list(self.notes)
        )


def months_of(dates: Sequence[datetime.date]) -> npt.NDArray[np.int64]:
    """(T,) calendar month of each date, 0..11."""
    return np.array([date.month - 1 for date in dates], np.int64)


def check_season(series: TimeSeries) -> list[str]:
    """What to say about the months of a series; [] where all twelve have an image.

    Raises:
        InputError: it spans less than a month.
    """
    span = (series.dates[-1] - series.dates[0]).days + 1
    if span < SHORTEST_SPAN:
        raise InputError(
            f"The series {series.path.name} spans {span} days ({series.dates[0]} to {series.dates[-1]}); "
            "monthly composites need at least a month.",
            "Build a series of a whole season, best of a whole year.",
        )
    there = np.bincount(months_of(series.dates), minlength=MONTHS) > 0
    if there.all():
        return []
    return [f"The series has no image in {month_names(~there)}; the encoder goes without."]


def month_names(which: npt.NDArray[np.bool_]) -> str:
    """'January, February and May' of (12,) bool."""
    names = [calendar.month_name[int(i) + 1] for i in np.flatnonzero(which)]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def monthly(
    values: npt.NDArray[np.generic], valid: npt.NDArray[np.bool_], months: npt.NDArray[np.integer]
) -> tuple[npt.NDArray[np.generic], npt.NDArray[np.bool_]]:
    """Lower median of the clear observations of each month, band by band.

    Args:
        values: (T, C, ...) of any number type; finite where valid.
        valid: (T, ...).
        months: (T,) 0..11.

    Returns:
        (12, C, ...) of the same type, 0 where there is none, and (12, ...) bool.
    """
    out = np.zeros((MONTHS, *values.shape[1:]), values.dtype)
    seen = np.zeros((MONTHS, *valid.shape[1:]), bool)
    for month in np.unique(months):
        dates = months == month
        seen[month] = _lower_median(values[dates], valid[dates], out[month])
    return out, seen


def _lower_median(
    values: npt.NDArray[np.generic], valid: npt.NDArray[np.bool_], out: npt.NDArray[np.generic]
) -> npt.NDArray[np.bool_]:
    """Median over the first axis into `out`, zeros where nothing is valid; returns where something is."""
    far = np.inf if values.dtype.kind == "f" else np.iinfo(values.dtype.name).max
    ordered: npt.NDArray[Any] = np.where(valid[:, None], values, np.asarray(far, values.dtype))
    n = len(ordered)
    # Sorting by exchanges of whole dates is ten times as fast as sorting each pixel's few values.
    for start in range(n):
        for i in range(start % 2, n - 1, 2):
            low = np.minimum(ordered[i], ordered[i + 1])
            np.maximum(ordered[i], ordered[i + 1], out=ordered[i + 1])
            ordered[i] = low
    count = valid.sum(axis=0)
    middle = (count - 1) // 2
    for rank in range((n + 1) // 2):
        np.copyto(out, ordered[rank], where=((middle == rank) & (count > 0))[None])
    return np.asarray(count > 0)


def filled(values: npt.NDArray[np.float32], valid: npt.NDArray[np.bool_]) -> None:
    """Pixels of the context that a month doesn't show take the value of the middle one, in place.

    Args:
        values: (N, 12, C, S, S).
        valid: (N, 12, S, S).
    """
    middle = values.shape[-1] // 2
    centre = values[..., middle : middle + 1, middle : middle + 1]
    np.copyto(values, centre, where=~valid[:, :, None])


def places_in(
    grid: Grid, xy: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """(rows of `xy` inside the grid, their pixel rows, their pixel columns); xy longitude, latitude."""
    to_grid = Transformer.from_crs("EPSG:4326", grid.crs, always_xy=True)
    x, y = to_grid.transform(xy[:, 0], xy[:, 1])
    with np.errstate(invalid="ignore"):
        col, row = ~grid.transform * (np.asarray(x, np.float64), np.asarray(y, np.float64))
        inside = (col >= 0) & (row >= 0) & (col < grid.width) & (row < grid.height)
    which = np.flatnonzero(inside)
    return which, np.floor(row[which]).astype(np.int64), np.floor(col[which]).astype(np.int64)


def cut_composites(
    series: TimeSeries,
    xy: npt.NDArray[np.float64],
    bands: Sequence[str],
    size: int = 1,
    progress: Callable[[float], None] = lambda share: None,
) -> Composites:
    """Monthly composites around places, read square by square of the series.

    A month counts where the pixel of the place was clear; other pixels of the context that it doesn't show
    (clouds, the edge of the series) take the value of that pixel.

    Args:
        series: where to read.
        xy: (M, 2) longitude, latitude WGS 84.
        bands: names, matched by name ('blue' finds B02).
        size: pixels along the side of the square around each place, odd.
        progress: called with the done share; may raise to stop.

    Raises:
        InputError: a band is missing, the series spans less than a month, no place lies in it or was ever
            clear.
    """
    notes = check_season(series)
    own = series.match_bands(bands)
    rows, row, col = places_in(series.grid, xy)
    if not len(rows):
        raise InputError(
            f"None of the {len(xy)} places lies in the series {series.path.name}.",
            "Check the coordinates of the photos, or choose the series of their region.",
            no_place=True,
        )
    outside = len(xy) - len(rows)
    if outside:
        notes.append(f"{outside} of {len(xy)} places lie outside of the series and were left out.")
    half, months = size // 2, months_of(series.dates)
    values = np.zeros((len(rows), MONTHS, len(own), size, size), np.float32)
    valid = np.zeros((len(rows), MONTHS), bool)
    squares: dict[tuple[int, int], list[int]] = {}
    for i, key in enumerate(zip((row // BLOCK).tolist(), (col // BLOCK).tolist(), strict=True)):
        squares.setdefault(key, []).append(i)
    steps = np.arange(size)
    for done, members in enumerate(squares.values()):
        progress(done / len(squares))
        index = np.array(members)
        top, left = int(row[index].min()) - half, int(col[index].min()) - half
        window = Window(
            top, left, int(row[index].max()) + half + 1 - top, int(col[index].max()) + half + 1 - left
        )
        cube = series.read(window, own)
        for part in np.array_split(index, -(-len(index) * size**2 // BLOCK**2)):
            r = (row[part] - half - top)[:, None, None] + steps[:, None]
            c = (col[part] - half - left)[:, None, None] + steps
            clear = cube.valid[:, r, c]
            numbers = cube.values[:, :, r, c].astype(np.float32)
            numbers *= cube.scale[:, :, None, None, None]
            numbers += cube.offset[:, :, None, None, None]
            found, seen = monthly(numbers, clear, months)
            cut = np.ascontiguousarray(found.transpose(2, 0, 1, 3, 4), np.float32)
            shown = np.ascontiguousarray(seen.transpose(1, 0, 2, 3))
            filled(cut, shown)
            valid[part] = shown[:, :, half, half]
            values[part] = cut * valid[part][:, :, None, None, None]
    progress(1.0)
    clear_somewhere = valid.any(axis=1)
    if not clear_somewhere.any():
        raise InputError(
            f"None of the {len(rows)} places was ever clear in the series {series.path.name}.",
            "Check the cloud mask of the series, or use a longer one.",
            no_place=True,
        )
    if not clear_somewhere.all():
        notes.append(f"{int((~clear_somewhere).sum())} places were never clear and were left out.")
    never = ~valid.any(axis=0) & (np.bincount(months, minlength=MONTHS) > 0)
    if never.any():
        notes.append(f"No place was clear in {month_names(never)}.")
    keep = np.flatnonzero(clear_somewhere)
    kept = rows[keep]
    return Composites(tuple(bands), values[keep], valid[keep], xy[kept], kept, notes)
