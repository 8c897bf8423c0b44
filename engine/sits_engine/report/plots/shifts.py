"""Scores of the tried shifts, and where the best shift falls in resamples of the target."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator

from sits_engine.learning.adaptation.summary import ESTIMATORS, ShiftCurves
from sits_engine.report.plots.style import ACCENT, ACCENT_PALE, BLUE, INK, LINE, ORANGE, SOFT, draw
from sits_engine.report.words import days

_COLORS = {"IS": ACCENT, "AM": BLUE, "ENT": ORANGE}
_DASHES: Mapping[str, str] = {"IS": "-", "AM": "--", "ENT": ":"}


def upright(estimator: str, scores: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Scores (D,) between 0 (worst) and 1 (best), whichever end is the best; all 0.5 where they are equal."""
    values = np.asarray(scores, dtype=float)
    values = values if estimator == "IS" else -values
    finite = values[np.isfinite(values)]
    spread = float(np.ptp(finite)) if finite.size else 0.0
    if spread < 1e-9:
        return np.where(np.isfinite(values), 0.5, np.nan)
    return np.asarray((values - finite.min()) / spread, dtype=float)


def shift_curves(name: str, curves: ShiftCurves, used: int | None = None) -> str:
    """Every estimator's scores over the shifts, best upwards; below, the best shifts of the resamples.

    Args:
        name: unique on the page.
        curves: the scores.
        used: the shift that was used where it is another one than the estimate.
    """
    keys = [key for key in ESTIMATORS if key in curves.scores]
    low, high = curves.interval

    def paint(figure: Figure) -> None:
        rows = [key for key in keys if len(curves.resampled.get(key, ()))]
        if rows:
            top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[3.2, 0.42 * len(rows) + 0.2])
            _resamples(bottom, curves, rows)
            below: Axes = bottom
        else:
            top = below = figure.add_subplot()
        for axes in {top, below}:
            axes.axvspan(low - 0.5, high + 0.5, color=ACCENT_PALE, alpha=0.45, linewidth=0, zorder=0)
            axes.axvline(0, color=SOFT, linewidth=1.2, linestyle=(0, (4, 3)), zorder=1)
            axes.axvline(curves.shift, color=INK, linewidth=1.4, zorder=1)
        for key in keys:
            mine = key == curves.estimator
            line = upright(key, curves.scores[key])
            word = f"{ESTIMATORS[key]} ({key}{', decides' if mine else ''}): {days(curves.best[key])}"
            # The one that decides is broad and lies below: curves of the same shape stay visible.
            look: dict[str, float] = {"linewidth": 4.0, "alpha": 0.85} if mine else {"linewidth": 1.8}
            top.plot(
                curves.shifts,
                line,
                color=_COLORS[key],
                linestyle="-" if mine else _DASHES[key],
                label=word,
                zorder=2 if mine else 3,
                **look,
            )
            at = line[np.flatnonzero(curves.shifts == curves.best[key])]
            if at.size and np.isfinite(at[0]):
                top.plot(
                    curves.best[key],
                    at[0],
                    marker="o",
                    markersize=9 if mine else 6,
                    color=_COLORS[key],
                    markeredgecolor="white",
                    zorder=4 if mine else 5,
                    clip_on=False,
                )
        other = used is not None and used not in (0, curves.shift)
        if used is not None and other:
            top.axvline(used, color=ORANGE, linewidth=1.6, linestyle=(0, (1, 1)), zorder=1)
            _tag(top, used, f"used {days(used)}", 1.12, ORANGE, right=used > curves.shift)
        # Away from the other line, else where there is room.
        middle = (int(curves.shifts[0]) + int(curves.shifts[-1])) / 2
        right = curves.shift > used if used is not None and other else curves.shift <= middle
        _tag(top, curves.shift, f"estimate {days(curves.shift)}", 1.12, INK, right)
        if curves.shift != 0:
            _tag(top, 0, "no shift (used)" if used == 0 else "no shift", -0.075, SOFT, curves.shift < 0)
        top.set_ylim(-0.14, 1.2)
        top.set_yticks([0, 1], ["worst", "best"])
        top.set_ylabel("score, each on its own scale")
        below.set_xlim(float(curves.shifts[0]) - 1.5, float(curves.shifts[-1]) + 1.5)
        below.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=13))
        below.xaxis.set_major_formatter(lambda value, _: f"{value:+.0f}".replace("-", "−") if value else "0")
        below.set_xlabel("days added to the dates of the target (crops there later ← 0 → earlier)")
        figure.legend(loc="outside lower center", ncols=3, fontsize=9.5)

    return draw(name, 10.4, 4.9, paint)


def _tag(axes: Axes, at: int, text: str, height: float, color: str, right: bool) -> None:
    """Words beside a vertical line."""
    axes.annotate(
        text,
        (at, height),
        xytext=(5 if right else -5, 0),
        textcoords="offset points",
        ha="left" if right else "right",
        va="center",
        color=color,
        fontsize=9.5,
        zorder=6,
    )


def _resamples(axes: Axes, curves: ShiftCurves, keys: list[str]) -> None:
    for row, key in enumerate(keys):
        found, counts = np.unique(curves.resampled[key], return_counts=True)
        height = 0.8 * counts / counts.max()
        axes.bar(found, height, 0.9, bottom=len(keys) - 1 - row, color=_COLORS[key], linewidth=0)
        axes.axhline(len(keys) - 1 - row, color=LINE, linewidth=0.8)
    axes.set_yticks([len(keys) - 1 - row + 0.35 for row in range(len(keys))], keys)
    axes.yaxis.set_minor_locator(NullLocator())
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(-0.02, len(keys))
    axes.set_ylabel("resamples")
