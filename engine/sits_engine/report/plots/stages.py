"""Curves of the two stages of a segmentation model: contrastive pre-training, then the classes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from sits_engine.report.plots.style import ACCENT, BLUE, INK, ORANGE, SOFT, draw

#: Up to so many epochs each has a mark of its own.
MARKED = 40


def _panel(axes: Axes, title: str, low: float, high: float) -> None:
    axes.set_title(title)
    axes.set_xlabel("Epoch")
    axes.grid(axis="y")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    axes.set_ylim(low, high)
    if any(np.isfinite(np.asarray(line.get_ydata(), dtype=float)).any() for line in axes.get_lines()):
        axes.legend(loc="best")


def _marks(epochs: Sequence[int]) -> dict[str, object]:
    return {"marker": "o", "markersize": 3.5} if len(epochs) <= MARKED else {}


def _span(values: Sequence[float], least: float) -> tuple[float, float]:
    """Limits of an axis that hold all finite values, with room; at least `least` apart."""
    seen = np.array([v for v in values if np.isfinite(v)] or [0.0])
    low, high = float(seen.min()), float(seen.max())
    room = max(0.08 * (high - low), (least - (high - low)) / 2, 1e-9)
    return low - room, high + room


def pretraining_curves(
    name: str,
    epochs: Sequence[int],
    losses: tuple[Sequence[float], Sequence[float]],
    similarity: tuple[Sequence[float], Sequence[float]],
) -> str:
    """Loss, and mean similarity of neighbours of the same and of different classes.

    Args:
        name: unique on the page.
        epochs: numbers of the epochs.
        losses: training and validation loss, at best -1.
        similarity: same class, different classes; cosines, NaN where there is no such pair.
    """
    few = _marks(epochs)

    def paint(figure: Figure) -> None:
        left, right = figure.subplots(1, 2)
        left.plot(epochs, losses[0], color=SOFT, linewidth=1.8, linestyle="--", label="training", **few)
        left.plot(epochs, losses[1], color=ORANGE, linewidth=2.2, label="validation", **few)
        _panel(left, "Contrastive loss (lower is better)", *_span([*losses[0], *losses[1]], 0.02))
        right.axhline(0, color=INK, linewidth=0.8)
        right.plot(epochs, similarity[0], color=ACCENT, linewidth=2.2, label="same class", **few)
        right.plot(epochs, similarity[1], color=ORANGE, linewidth=2.2, label="different classes", **few)
        _panel(right, "Similarity of neighbours, validation", -1.05, 1.05)

    return draw(name, 10.4, 3.5, paint)


def training_curves(
    name: str,
    epochs: Sequence[int],
    best: int,
    losses: tuple[Sequence[float], Sequence[float]],
    scores: tuple[Sequence[float], Sequence[float]],
) -> str:
    """Loss (training, validation) and validation scores (mean IoU, accuracy).

    Args:
        name: unique on the page.
        epochs: numbers of the epochs.
        best: the epoch whose weights were kept; 0 marks none.
        losses: training and validation loss, NaN where there is no validation side.
        scores: mean IoU and accuracy of known pixels, 0..1.
    """
    few = _marks(epochs)

    def paint(figure: Figure) -> None:
        left, right = figure.subplots(1, 2)
        left.plot(epochs, losses[0], color=SOFT, linewidth=1.8, linestyle="--", label="training", **few)
        left.plot(epochs, losses[1], color=ORANGE, linewidth=2.2, label="validation", **few)
        right.plot(epochs, scores[0], color=ACCENT, linewidth=2.2, label="mean IoU", **few)
        right.plot(epochs, scores[1], color=BLUE, linewidth=1.8, linestyle="--", label="accuracy", **few)
        for axes in (left, right) if best else ():
            axes.axvline(best, color=SOFT, linewidth=1.2, linestyle=(0, (4, 3)), zorder=1)
            axes.annotate(
                "kept",
                (best, 0.02),
                xycoords=("data", "axes fraction"),
                xytext=(4, 0),
                textcoords="offset points",
                color=SOFT,
            )
        _panel(left, "Loss", 0.0, _span([*losses[0], *losses[1], 0.0], 0.1)[1])
        _panel(right, "Scores on the validation side", 0.0, 1.02)

    return draw(name, 10.4, 3.5, paint)
