"""Scores and areas of the classes, and clear observations of the dates, as bars and dots."""

from __future__ import annotations

import datetime
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from sits_engine.report.plots.style import ACCENT, ACCENT_PALE, INK, LINE, draw, month_axis, shorten


def class_scores(
    name: str,
    classes: Sequence[str],
    colors: Sequence[str],
    f1: Sequence[float],
    precision: Sequence[float],
    recall: Sequence[float],
) -> str:
    """F1 of each class as a bar in its colour, precision and recall as marks; NaN leaves a gap."""
    order = np.argsort([-(v if np.isfinite(v) else -1.0) for v in f1], kind="stable")

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        places = np.arange(len(classes))
        values = np.nan_to_num(np.asarray(f1, dtype=float)[order])
        axes.barh(places, values, 0.62, color=[colors[i] for i in order], edgecolor=INK, linewidth=0.5)
        axes.plot(
            np.asarray(precision, dtype=float)[order],
            places - 0.16,
            linestyle="none",
            marker="v",
            color="white",
            markeredgecolor=INK,
            markersize=6.5,
            clip_on=False,
            label="precision: what is mapped so is so",
        )
        axes.plot(
            np.asarray(recall, dtype=float)[order],
            places + 0.16,
            linestyle="none",
            marker="^",
            color=INK,
            markersize=6.5,
            clip_on=False,
            label="recall: what is so is found",
        )
        for place, index in enumerate(order):
            text = f"{f1[index]:.2f}" if np.isfinite(f1[index]) else "not tested"
            axes.text(1.025, place, text, va="center", transform=axes.get_yaxis_transform())
        axes.text(1.025, -0.85, "F1", va="center", weight="semibold", transform=axes.get_yaxis_transform())
        axes.set_yticks(places, [shorten(classes[i]) for i in order])
        axes.invert_yaxis()
        axes.set_xlim(0, 1)
        axes.xaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
        axes.grid(axis="x")
        axes.tick_params(axis="y", length=0)
        figure.legend(loc="outside lower center", ncols=2, fontsize=9.5)

    return draw(name, 9.4, 0.34 * len(classes) + 1.1, paint)


def areas(
    name: str,
    classes: Sequence[str],
    colors: Sequence[str],
    area: Sequence[float],
    half_width: Sequence[float],
    mapped: Sequence[float],
) -> str:
    """Estimated area of each class with its 95 % interval, and the area that the map shows, in hectares."""

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        places = np.arange(len(classes))
        values = np.asarray(area, dtype=float)
        error = np.asarray(half_width, dtype=float)
        axes.barh(places, np.nan_to_num(values), 0.6, color=list(colors), edgecolor=INK, linewidth=0.5)
        known = np.isfinite(error) & np.isfinite(values)
        low = np.minimum(error[known], np.clip(values[known], 0, None))
        axes.errorbar(
            values[known],
            places[known],
            xerr=np.stack([low, error[known]]),
            fmt="none",
            ecolor=INK,
            elinewidth=1.8,
            capsize=5,
            label="estimate with 95 % interval",
        )
        axes.plot(
            mapped,
            places,
            linestyle="none",
            marker="D",
            markersize=6.5,
            color="white",
            markeredgecolor=INK,
            label="as counted on the map",
        )
        axes.set_yticks(places, [shorten(c) for c in classes])
        axes.invert_yaxis()
        axes.set_xlim(left=0)
        axes.set_xlabel("hectares")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}".replace(",", "\u202f"))
        axes.grid(axis="x")
        axes.tick_params(axis="y", length=0)
        figure.legend(loc="outside lower center", ncols=2, fontsize=9.5)

    return draw(name, 9.4, 0.42 * len(classes) + 1.5, paint)


def date_bars(
    name: str,
    dates: Sequence[datetime.date],
    data_share: npt.NDArray[np.float64],
    clear_share: npt.NDArray[np.float64],
) -> str:
    """One bar a date: share of the area with data (pale), of which clear (dark).

    Args:
        name: unique on the page.
        dates: T dates.
        data_share: (T,) share of the area with data.
        clear_share: (T,) share of the pixels with data that are clear.
    """
    first = datetime.date(dates[0].year, 1, 1)
    days = np.array([(date - first).days for date in dates], dtype=float)
    gaps = np.diff(np.unique(days))
    width = float(np.clip(0.8 * gaps.min(), 0.6, 8)) if gaps.size else 4.0

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        axes.bar(days, data_share, width, color=ACCENT_PALE, label="with data (cloud, shadow, snow)")
        axes.bar(days, data_share * clear_share, width, color=ACCENT, label="clear")
        axes.axhline(1, color=LINE, linewidth=1)
        axes.set_ylim(0, 1.02)
        axes.yaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
        axes.set_ylabel("share of the area")
        month_axis(axes, days[0] - width, days[-1] + width, dates[0].year, most=18)
        figure.legend(loc="outside upper right", ncols=2)

    return draw(name, 10.4, 2.9, paint)
