"""Profiles of the classes and of points over the season."""

from __future__ import annotations

import datetime
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from sits_engine.report.plots.style import ACCENT, LINE, SOFT, draw, month_axis, readable, shorten
from sits_engine.series import bands as band_names

Values = npt.NDArray[np.floating]


def index_of(bands: Sequence[str], values: Values) -> tuple[str, Values]:
    """(name, (..., T)) of what a profile shows: NDVI where it can be, else another index, else a band.

    Args:
        bands: C names.
        values: (..., T, C) physical values, NaN where unknown.
    """
    canonical = [band_names.canonical(band) for band in bands]
    red = canonical.index("B04") if "B04" in canonical else None
    near = next((canonical.index(band) for band in ("B08", "B8A") if band in canonical), None)
    if red is not None and near is not None:
        total = values[..., near] + values[..., red]
        with np.errstate(invalid="ignore", divide="ignore"):
            ndvi = (values[..., near] - values[..., red]) / np.where(np.abs(total) < 1e-6, np.nan, total)
        return "NDVI", np.clip(ndvi, -1, 1)
    for wanted in ("NDVI", "EVI", "EVI2", "SAVI", "B08", "B8A"):
        if wanted in canonical:
            return wanted, values[..., canonical.index(wanted)]
    return bands[0], values[..., 0]


def limits(values: Values) -> tuple[float, float]:
    """Low and high end of an axis that holds nearly all values, with some room."""
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        return 0.0, 1.0
    low, high = float(np.percentile(finite, 0.5)), float(np.percentile(finite, 99.5))
    room = 0.08 * max(high - low, 1e-3)
    return low - room, high + room


def class_profiles(
    name: str,
    classes: Sequence[str],
    colors: Sequence[str],
    positions: Values,
    bands: Sequence[str],
    mean: Values,
    season_year: int,
) -> str:
    """One small panel a class: its mean profile, the other classes in grey behind it.

    Args:
        name: unique on the page.
        classes, colors: of the K classes.
        positions: (T,) days since 1 January of `season_year`.
        bands: C names.
        mean: (K, T, C) physical values, NaN where a class was not seen.
        season_year: for the names of the months.
    """
    label, lines = index_of(bands, np.asarray(mean, dtype=float))
    columns = min(4, max(2, len(classes)))
    rows = -(-len(classes) // columns)
    low, high = limits(lines)

    def paint(figure: Figure) -> None:
        panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
        for index, axes in enumerate(panels):
            if index >= len(classes):
                axes.set_visible(False)
                continue
            for other in range(len(classes)):
                seen = np.isfinite(lines[other])
                if other != index:
                    axes.plot(positions[seen], lines[other][seen], color=LINE, linewidth=1.0, zorder=1)
            seen = np.isfinite(lines[index])
            color = readable(colors[index])
            axes.plot(positions[seen], lines[index][seen], color=color, linewidth=2.6, zorder=3)
            axes.fill_between(
                positions[seen],
                low,
                lines[index][seen],
                color=colors[index],
                alpha=0.16,
                linewidth=0,
                zorder=2,
            )
            axes.set_title(shorten(classes[index]), fontsize=10.5)
            axes.set_ylim(low, high)
            month_axis(axes, float(positions.min()), float(positions.max()), season_year)
            if index + columns >= len(classes):
                axes.tick_params(labelbottom=True)
            if index % columns == 0:
                axes.set_ylabel(label)

    return draw(name, 10.4, 1.75 * rows + 0.4, paint)


def point_profiles(
    name: str,
    names: Sequence[str],
    dates: Sequence[datetime.date],
    bands: Sequence[str],
    values: Sequence[Values],
    season_year: int,
) -> str:
    """Series of single pixels, one panel a point: clear dates as dots, joined by a line.

    Args:
        name: unique on the page.
        names: of the points.
        dates: T dates.
        bands: C names.
        values: (T, C) a point, NaN where not clear.
        season_year: for the names of the months.
    """
    positions = np.array([(date - datetime.date(season_year, 1, 1)).days for date in dates], dtype=float)
    label, lines = index_of(bands, np.stack([np.asarray(v, dtype=float) for v in values]))
    columns = min(3, max(1, len(names)))
    rows = -(-len(names) // columns)
    low, high = limits(lines)

    def paint(figure: Figure) -> None:
        panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
        for index, axes in enumerate(panels):
            if index >= len(names):
                axes.set_visible(False)
                continue
            seen = np.isfinite(lines[index])
            axes.plot(
                positions[seen],
                lines[index][seen],
                color=ACCENT,
                linewidth=1.8,
                marker="o",
                markersize=4,
                clip_on=False,
            )
            for missing in positions[~seen]:
                axes.axvline(missing, 0, 0.05, color=SOFT, linewidth=1)
            axes.set_title(shorten(names[index], 30), fontsize=10.5)
            axes.set_ylim(low, high)
            axes.grid(axis="y")
            month_axis(axes, float(positions.min()), float(positions.max()), season_year)
            if index + columns >= len(names):
                axes.tick_params(labelbottom=True)
            if index % columns == 0:
                axes.set_ylabel(label)

    return draw(name, 10.4, 2.1 * rows + 0.4, paint)
