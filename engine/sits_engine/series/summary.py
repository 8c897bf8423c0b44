"""Numbers for the report on a series: clear observations by place and date, profiles at points."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from sits_engine.errors import InputError
from sits_engine.series import gridding
from sits_engine.series.probe import in_threads
from sits_engine.series.time_series import TimeSeries
from sits_engine.series.types import Window

#: Longest side of the map of clear observations, in cells.
MAP_SIZE = 256
#: More points than this make no readable picture.
MAX_PROFILES = 12


@dataclass(frozen=True)
class Profile:
    """Series of one pixel: name of the point, its dates, physical values (T, C) with NaN where not clear."""

    name: str
    x: float
    y: float
    values: npt.NDArray[np.float32]


@dataclass
class SeriesReportData:
    """What the report on a series shows.

    Attributes:
        dates: acquisition dates (T).
        clear_share: (T,) share of the pixels with data that are clear, 0..1.
        data_share: (T,) share of the area with data.
        clear_count: (h, w) int32, clear observations of sampled pixels; row 0 is north.
        profiles: at points, or at places chosen by `places`.
        scenes: one row a scene: id, date, CRS, pixel size, cloud cover in percent (None unknown), files.
        facts: lines of a small table (name, value), in words.
    """

    title: str
    dates: tuple[datetime.date, ...]
    bands: tuple[str, ...]
    clear_share: npt.NDArray[np.float64]
    data_share: npt.NDArray[np.float64]
    clear_count: npt.NDArray[np.int32]
    profiles: list[Profile] = field(default_factory=list)
    scenes: list[dict[str, Any]] = field(default_factory=list)
    facts: list[tuple[str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def clear_median(self) -> float:
        """Median number of clear observations of the pixels that have any data."""
        seen = self.clear_count[self.clear_count > 0]
        return float(np.median(seen)) if seen.size else 0.0


def summarise(
    series: TimeSeries,
    *,
    points: Sequence[tuple[str, float, float]] = (),
    warnings: Sequence[str] = (),
    tick: Callable[[float], None] | None = None,
) -> SeriesReportData:
    """Count clear observations on a sample of pixels and read profiles.

    Args:
        series: what to look at.
        points: (name, x, y) in the CRS of the series' grid.
        warnings: to be shown.
        tick: gets the finished share; may raise to cancel.

    Returns:
        Numbers of every pixel up to `MAP_SIZE` pixels a side; of larger series those of one pixel a cell.
    """
    coarse, step = series.overview(MAP_SIZE)
    window = coarse.grid.whole
    first = coarse.bands[:1]

    def one_date(t: int) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        shape = (window.height, window.width)
        values = np.zeros((1, *shape), dtype=coarse.number_type(first))
        valid, observed = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool)
        coarse.read_date(t, window, first, values, valid, observed)
        return valid, observed

    clear = np.zeros((window.height, window.width), dtype=np.int32)
    shares = np.zeros((len(series.dates), 2), dtype=np.int64)
    for t, (valid, observed) in enumerate(in_threads(one_date, range(len(series.dates)), tick)):
        clear += valid
        shares[t] = valid.sum(), observed.sum()
    area = max(1, clear.size)
    scene_rows = [
        {
            "id": scene.id,
            "date": scene.date.isoformat(),
            "crs": gridding.label(scene.bands[0].grid.crs),
            "resolution": min(band.grid.resolution[0] for band in scene.bands),
            "cloud_cover": scene.cloud_cover,
            "files": len(scene.hrefs()),
        }
        for scenes in series.scenes
        for scene in scenes
    ]
    return SeriesReportData(
        title=series.title,
        dates=series.dates,
        bands=series.bands,
        clear_share=shares[:, 0] / np.maximum(shares[:, 1], 1),
        data_share=shares[:, 1] / area,
        clear_count=clear,
        profiles=profiles(series, points),
        scenes=scene_rows,
        facts=_facts(series, step),
        warnings=list(warnings),
    )


def profiles(series: TimeSeries, points: Sequence[tuple[str, float, float]]) -> list[Profile]:
    """Series of the pixels under points (name, x, y in the CRS of the grid).

    Raises:
        InputError: no point lies on the series.
    """
    found = []
    for name, x, y in points:
        col, row = ~series.grid.transform * (x, y)
        if not (0 <= row < series.grid.height and 0 <= col < series.grid.width):
            continue
        cube = series.read(Window(int(row), int(col), 1, 1), series.bands)
        values = cube.physical()[:, :, 0, 0]
        values[~cube.valid[:, 0, 0]] = np.nan
        found.append(Profile(name, x, y, values))
        if len(found) == MAX_PROFILES:
            break
    if points and not found:
        raise InputError(
            "None of the profile points lies on the images.",
            "Choose points within the images (PROFILE_POINTS).",
        )
    return found


def _facts(series: TimeSeries, step: int) -> list[tuple[str, str]]:
    grid = series.grid
    x_size, _ = grid.resolution
    unit = "°" if gridding.is_geographic(grid.crs) else "m"
    mask = (
        "none"
        if series.mask is None
        else (f"{series.mask.band}; not clear: {', '.join(str(v) for v in series.mask.not_clear)}")
    )
    facts = [
        ("Dates", f"{len(series.dates)}, {series.dates[0]} to {series.dates[-1]}"),
        ("Season year", str(series.season_year)),
        ("Bands", ", ".join(series.bands)),
        ("Grid", f"{grid.width} x {grid.height} pixels of {x_size:g} {unit}, {gridding.label(grid.crs)}"),
        ("Cloud mask", mask),
    ]
    if step > 1:
        facts.append(("Sample", f"one pixel in {step} x {step} was looked at for the map and the bars"))
    return facts
