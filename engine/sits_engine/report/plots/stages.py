"""Curves of the two stages of a segmentation model: contrastive pre-training, then the classes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from sits_engine.report.plots.curves import losses_of, mark_kept, marks, panel
from sits_engine.report.plots.style import ACCENT, BLUE, INK, ORANGE, draw


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
    few = marks(epochs)

    def paint(figure: Figure) -> None:
        left, right = figure.subplots(1, 2)
        losses_of(left, epochs, losses)
        panel(left, "Contrastive loss (lower is better)", *_span([*losses[0], *losses[1]], 0.02))
        right.axhline(0, color=INK, linewidth=0.8)
        right.plot(epochs, similarity[0], color=ACCENT, linewidth=2.2, label="same class", **few)
        right.plot(epochs, similarity[1], color=ORANGE, linewidth=2.2, label="different classes", **few)
        panel(right, "Similarity of neighbours, validation", -1.05, 1.05)

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
    few = marks(epochs)

    def paint(figure: Figure) -> None:
        left, right = figure.subplots(1, 2)
        losses_of(left, epochs, losses)
        right.plot(epochs, scores[0], color=ACCENT, linewidth=2.2, label="mean IoU", **few)
        right.plot(epochs, scores[1], color=BLUE, linewidth=1.8, linestyle="--", label="accuracy", **few)
        for axes in (left, right) if best else ():
            mark_kept(axes, best)
        panel(left, "Loss", 0.0, _span([*losses[0], *losses[1], 0.0], 0.1)[1])
        panel(right, "Scores on the validation side", 0.0, 1.02)

    return draw(name, 10.4, 3.5, paint)
