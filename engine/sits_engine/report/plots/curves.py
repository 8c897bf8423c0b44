"""Training curves and the reliability diagram."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from sits_engine.report.plots.style import ACCENT, ACCENT_PALE, BLUE, INK, ORANGE, SOFT, draw

#: Up to so many epochs each has a mark of its own.
MARKED = 40


def panel(axes: Axes, title: str, low: float, high: float) -> None:
    """Title, epochs, limits, and a legend where a line shows anything."""
    axes.set_title(title)
    axes.set_xlabel("Epoch")
    axes.grid(axis="y")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    axes.set_ylim(low, high)
    if any(np.isfinite(np.asarray(line.get_ydata(), dtype=float)).any() for line in axes.get_lines()):
        axes.legend(loc="best")


def marks(epochs: Sequence[int]) -> dict[str, Any]:
    """How single epochs of a line are drawn."""
    return {"marker": "o", "markersize": 3.5} if len(epochs) <= MARKED else {}


def losses_of(axes: Axes, epochs: Sequence[int], losses: tuple[Sequence[float], Sequence[float]]) -> None:
    """Lines of the training and the validation loss."""
    few = marks(epochs)
    axes.plot(epochs, losses[0], color=SOFT, linewidth=1.8, linestyle="--", label="training", **few)
    axes.plot(epochs, losses[1], color=ORANGE, linewidth=2.2, label="validation", **few)


def mark_kept(axes: Axes, best: int) -> None:
    """The epoch whose weights were kept."""
    axes.axvline(best, color=SOFT, linewidth=1.2, linestyle=(0, (4, 3)), zorder=1)
    axes.annotate(
        "kept",
        (best, 0.02),
        xycoords=("data", "axes fraction"),
        xytext=(4, 0),
        textcoords="offset points",
        color=SOFT,
    )


def training_curves(
    name: str,
    epochs: Sequence[int],
    best: int,
    losses: tuple[Sequence[float], Sequence[float]],
    scores: tuple[Sequence[float], Sequence[float]],
) -> str:
    """Loss (training, validation) and validation scores (macro-F1, accuracy) over the epochs.

    Args:
        name: unique on the page.
        epochs: numbers of the epochs.
        best: the epoch whose weights were kept, marked in both panels.
        losses: training and validation loss.
        scores: macro-F1 and accuracy on the validation parcels, 0..1.
    """
    few = marks(epochs)

    def paint(figure: Figure) -> None:
        left, right = figure.subplots(1, 2)
        losses_of(left, epochs, losses)
        panel(left, "Loss", 0.0, 1.05 * float(np.nanmax([*losses[0], *losses[1], 1e-6])))
        right.plot(epochs, scores[0], color=ACCENT, linewidth=2.2, label="macro-F1", **few)
        right.plot(epochs, scores[1], color=BLUE, linewidth=1.8, linestyle="--", label="accuracy", **few)
        for axes in (left, right):
            mark_kept(axes, best)
        lowest = float(np.nanmin([*scores[0], *scores[1], 0.9]))
        panel(right, "Scores on the validation side", max(0.0, np.floor(10 * lowest) / 10 - 0.05), 1.02)

    return draw(name, 10.4, 3.5, paint)


def reliability(
    name: str,
    edges: npt.NDArray[np.float64],
    before: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]],
    after: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]],
    counts: npt.NDArray[np.int64],
) -> str:
    """Confidence against the share that is right, before and after calibration, and how often it occurs.

    Args:
        name: unique on the page.
        edges: (bins + 1,) limits of the confidence.
        before, after: (confidence, accuracy) of the bins, NaN where empty.
        counts: (bins,) after calibration.
    """

    def paint(figure: Figure) -> None:
        top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[4, 1.1])
        top.plot([0, 1], [0, 1], color=SOFT, linewidth=1.2, linestyle=(0, (4, 3)))
        top.annotate("as sure as right", (0.02, 0.07), rotation=36, color=SOFT, fontsize=9.5)
        seen = np.isfinite(before[0])
        top.plot(
            before[0][seen],
            before[1][seen],
            color=ORANGE,
            marker="o",
            fillstyle="none",
            linestyle=":",
            label="before calibration",
        )
        seen = np.isfinite(after[0])
        top.plot(
            after[0][seen], after[1][seen], color=ACCENT, marker="o", linewidth=2.2, label="after calibration"
        )
        top.set(xlim=(0, 1.02), ylim=(0, 1.04))
        top.set_ylabel("share that is right")
        top.xaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
        top.yaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
        top.grid()
        top.legend(loc="upper left")
        bottom.bar(
            edges[:-1], counts, width=np.diff(edges), align="edge", color=ACCENT_PALE, edgecolor="white"
        )
        bottom.set_xlabel("confidence of the model")
        bottom.set_ylabel("count", color=INK)
        bottom.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=3))

    return draw(name, 5.2, 5.0, paint)
