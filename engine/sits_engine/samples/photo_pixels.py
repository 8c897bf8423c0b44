"""Places that have both photos and images: composites beside the photos."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from sits_engine.errors import InputError
from sits_engine.samples.composites import Composites, check_season, cut_composites

if TYPE_CHECKING:
    from sits_engine.samples.photos import PhotoSet
    from sits_engine.series.time_series import TimeSeries


@dataclass
class PhotoPixels:
    """N places with photos and composites.

    Attributes:
        photos: of these places, in their order.
        composites: row i belongs to place i of `photos`; its `rows` count in the places asked for.
        region: (N,) number of the series that a place was read from.
        notes: sentences for people.
        warnings: what they must know: months without an image, photos of another year than the images.
    """

    photos: PhotoSet
    composites: Composites
    region: npt.NDArray[np.int64]
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.composites)


def common_bands(series: Sequence[TimeSeries], wanted: Sequence[str]) -> list[str]:
    """Bands to read: the wanted ones, or all that every series has.

    Raises:
        InputError: a series lacks a wanted one, or they have none in common.
    """
    if wanted:
        found = [one.match_bands(wanted) for one in series]
        return found[0]
    names = [name for name in series[0].bands if all(name in one.bands for one in series)]
    if not names:
        lists = "; ".join(f"{one.path.name}: {', '.join(one.bands)}" for one in series)
        raise InputError(f"The series have no band in common ({lists}).", "Use series of the same kind.")
    return names


def photo_pixels(
    series: Sequence[TimeSeries],
    photos: PhotoSet,
    bands: Sequence[str],
    size: int = 1,
    progress: Callable[[float], None] = lambda share: None,
) -> PhotoPixels:
    """Cut composites at the places of photos; a place is read from the first series where it was clear.

    Args:
        series: one or more, all with the bands.
        photos: places and their photos.
        bands: names.
        size: pixels along the side of the square around each place, odd.
        progress: called with the done share; may raise to stop.

    Raises:
        InputError: no photo lies in any series (the files are named), or what `cut_composites` says.
    """
    xy = np.asarray(photos.xy, np.float64)
    left = np.arange(len(xy))
    parts: list[tuple[int, Composites]] = []
    notes: list[str] = []
    warnings: list[str] = []
    refusals: list[InputError] = []
    for number, one in enumerate(series):
        try:
            found = cut_composites(one, xy[left], bands, size, _part(progress, number, len(series)))
        except InputError as error:
            if len(series) == 1 or not error.details.get("no_place"):
                raise
            refusals.append(error)
            continue
        found.rows = left[found.rows]
        parts.append((number, found))
        # with several series most places lie outside of each
        named = "" if len(series) == 1 else f"{one.path.name}: "
        missing = check_season(one)
        warnings += [named + sentence for sentence in missing]
        notes += [named + note for note in found.notes if note not in missing]
        left = np.setdiff1d(left, found.rows)
        if not len(left):
            break
    if not parts:
        raise InputError(
            f"None of the {len(xy)} places with photos lies in one of the {len(series)} series.",
            refusals[0].advice,
            no_place=True,
        )
    rows = np.concatenate([part.rows for _, part in parts])
    order = np.argsort(rows, kind="stable")
    composites = Composites(
        tuple(bands),
        np.concatenate([part.values for _, part in parts])[order],
        np.concatenate([part.valid for _, part in parts])[order],
        np.concatenate([part.xy for _, part in parts])[order],
        rows[order],
        notes,
    )
    region = np.concatenate([np.full(len(part), number, np.int64) for number, part in parts])[order]
    kept = photos.subset(rows[order])
    warnings += _other_years(series, kept, region[kept.place])
    return PhotoPixels(kept, composites, region, notes, warnings)


def _other_years(series: Sequence[TimeSeries], photos: PhotoSet, region: npt.NDArray[np.int64]) -> list[str]:
    """A warning for each series whose photos were taken in a year of which it has no image.

    Args:
        series: the images.
        photos: those without a day count as right.
        region: (P,) number of the series of each photo.
    """
    found = []
    for number, one in enumerate(series):
        here = [photos.taken[row] for row in np.flatnonzero(region == number)]
        shown = {day.year for day in one.dates}
        others = [day.year for day in here if day is not None and day.year not in shown]
        if others:
            found.append(
                f"{len(others)} of {len(here)} photos at places of {one.path.name} are of another year than "
                f"its images (photos: {_years(others)}; images: {_years(shown)}): where crops rotate, the "
                "fields bore another crop then."
            )
    return found


def _years(years: Iterable[int]) -> str:
    """'2018, 2020 and 2021'."""
    names = [str(year) for year in sorted(set(years))]
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _part(progress: Callable[[float], None], number: int, parts: int) -> Callable[[float], None]:
    """Progress of one of several parts."""
    return lambda share: progress((number + share) / parts)
