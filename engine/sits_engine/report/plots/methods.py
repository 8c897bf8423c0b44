"""Methods of adaptation beside each other: macro-F1 of every run, mean and deviation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sits_engine.report.plots.style import ACCENT, INK, LINE, SOFT, draw, shorten


def method_dots(
    name: str,
    methods: Sequence[str],
    runs: Sequence[Sequence[float]],
    bounds: Sequence[tuple[str, float]],
) -> str:
    """Macro-F1 of the runs of each method, their mean and deviation; bounds as vertical lines.

    Args:
        name: unique on the page.
        methods: words, from the top down.
        runs: macro-F1 of every run of each of them; NaN where there is none.
        bounds: word and mean macro-F1 of source-only and trained-on-target.
    """

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        # The lower bound's words end at its line and the upper's begin there: they never meet.
        for word, value in bounds:
            axes.axvline(value, color=SOFT, linewidth=1.2, linestyle=(0, (4, 3)), zorder=1)
            lowest = value == min(v for _, v in bounds)
            axes.annotate(
                word,
                (value, 1),
                xycoords=("data", "axes fraction"),
                xytext=(-2 if lowest else 2, 4),
                textcoords="offset points",
                ha="right" if lowest else "left",
                va="bottom",
                color=SOFT,
                fontsize=9.5,
            )
        for place, values in enumerate(runs):
            known = np.array([value for value in values if np.isfinite(value)])
            if not known.size:
                axes.text(
                    0.02, place, "no figure", va="center", color=SOFT, transform=axes.get_yaxis_transform()
                )
                continue
            mean, deviation = float(known.mean()), float(known.std())
            if known.size > 1:
                axes.plot(
                    [mean - deviation, mean + deviation],
                    [place, place],
                    color=ACCENT,
                    linewidth=6,
                    alpha=0.4,
                    solid_capstyle="butt",
                    zorder=2,
                )
            axes.plot(mean, place, "|", markersize=18, markeredgewidth=3, color=ACCENT, zorder=3)
            if known.size > 1:
                axes.plot(
                    known,
                    np.full(known.size, place),
                    "o",
                    markersize=4.5,
                    color="white",
                    markeredgecolor=INK,
                    markeredgewidth=0.9,
                    zorder=4,
                )
            text = f"{mean:.3f}" + (f" ± {deviation:.3f}" if known.size > 1 else "")
            axes.text(1.015, place, text, va="center", transform=axes.get_yaxis_transform())
        for place in range(len(methods)):
            axes.axhline(place, color=LINE, linewidth=0.7, zorder=0)
        axes.set_yticks(range(len(methods)), [shorten(m, 34) for m in methods])
        axes.set_ylim(len(methods) - 0.5, -0.6)
        everything = [v for values in runs for v in values if np.isfinite(v)] + [v for _, v in bounds]
        low, high = (min(everything), max(everything)) if everything else (0.0, 1.0)
        room = max(0.06 * (high - low), 0.02)
        axes.set_xlim(max(0.0, low - room), min(1.0, high + room) if high < 1 else 1.01)
        axes.set_xlabel("macro-F1 on the test side of the target")
        axes.grid(axis="x")
        axes.tick_params(axis="y", length=0)
        handles = [
            Line2D(
                [],
                [],
                linestyle="none",
                marker="|",
                color=ACCENT,
                markersize=14,
                markeredgewidth=3,
                label="mean",
            )
        ]
        if any(len(values) > 1 for values in runs):
            handles.append(Line2D([], [], linestyle="none", marker="o", color="white", markeredgecolor=INK,
                                  markersize=5, label="one seed"))  # fmt: skip
            handles.append(Line2D([], [], color=ACCENT, alpha=0.4, linewidth=5, label="± standard deviation"))
        figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=9.5)

    return draw(name, 9.4, 0.42 * len(methods) + 1.5, paint)
