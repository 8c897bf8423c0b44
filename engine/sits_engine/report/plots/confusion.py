"""Confusion matrix as a heat map with counts and row percentages."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.colors import LinearSegmentedColormap, to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from sits_engine.report.plots.style import INK, SEQUENTIAL, SOFT, draw, readable_on, shorten

#: More classes than this leave no room for two lines in a cell, and than this for any text.
TWO_LINES, ONE_LINE = 14, 26


def confusion_matrix(
    name: str,
    counts: npt.NDArray[np.int64],
    classes: Sequence[str],
    rows: str,
    columns: str,
    more_rows: Sequence[str] = (),
) -> str:
    """SVG of `counts` (K + E, K); the colour is the share of the row.

    Args:
        name: unique on the page.
        counts: rows and columns in the order of `classes`, then rows of `more_rows`.
        classes: names.
        rows, columns: what they mean, e.g. 'True class (reference)'.
        more_rows: names of rows that have no column.
    """
    size, height = len(classes), len(classes) + len(more_rows)
    total = counts.sum(axis=1)
    share = counts / np.maximum(total, 1)[:, None]
    palette = LinearSegmentedColormap.from_list("share", SEQUENTIAL)
    side = min(9.5, max(3.2, 0.62 * size))

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        axes.imshow(share, cmap=palette, vmin=0, vmax=1, aspect="auto", interpolation="none")
        axes.set_xticks(range(size), [shorten(c) for c in classes], rotation=40, ha="left")
        axes.set_yticks(
            range(height),
            [
                f"{shorten(c)}  ({n:,})".replace(",", " ")
                for c, n in zip([*classes, *more_rows], total, strict=True)
            ],
        )
        axes.xaxis.tick_top()
        axes.xaxis.set_label_position("top")
        axes.set_xlabel(columns, color=SOFT, labelpad=8)
        axes.set_ylabel(rows, color=SOFT)
        axes.tick_params(length=0)
        for spine in axes.spines.values():
            spine.set_visible(False)
        axes.set_xticks(np.arange(size + 1) - 0.5, minor=True)
        axes.set_yticks(np.arange(height + 1) - 0.5, minor=True)
        axes.grid(which="minor", color="white", linewidth=1.5)
        axes.tick_params(which="minor", length=0)
        for row, column in np.argwhere(counts > 0) if size <= ONE_LINE else ():
            background = to_hex(palette(float(share[row, column])))
            value = 100 * share[row, column]
            label = f"{value:.0f} %" if value >= 0.5 else "<1 %"
            if size <= TWO_LINES:
                label = f"{_thousands(int(counts[row, column]))}\n{label}"
            axes.text(
                column,
                row,
                label,
                ha="center",
                va="center",
                fontsize=8.6 if size <= TWO_LINES else 7,
                linespacing=1.25,
                color=readable_on(background),
            )
        for index in range(size):
            box = Rectangle((index - 0.5, index - 0.5), 1, 1, fill=False, edgecolor=INK, linewidth=1.1)
            axes.add_patch(box)

    return draw(name, side + 3.4, side * height / size + 1.3, paint)


def _thousands(value: int) -> str:
    return (
        str(value)
        if value < 10_000
        else f"{value / 1000:.0f}k"
        if value < 1_000_000
        else f"{value / 1e6:.1f}M"
    )
