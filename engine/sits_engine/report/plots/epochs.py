"""How an adaptation went: pseudo labels, confidence, losses and class shares, epoch by epoch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from sits_engine.learning.adaptation.summary import AdaptEpoch
from sits_engine.report.plots.style import ACCENT, BLUE, INK, ORANGE, SOFT, draw, readable_on, shorten


def adaptation_curves(name: str, epochs: Sequence[AdaptEpoch]) -> str:
    """Small panels over the epochs; one that the method has no numbers for is left out."""
    numbers = np.array([row.epoch for row in epochs])
    few: dict[str, Any] = {"marker": "o", "markersize": 3.5} if len(epochs) <= 40 else {}
    panels: list[Callable[[Axes], None]] = []

    def accepted(axes: Axes) -> None:
        share = [row.pseudo_labels / row.pseudo_seen if row.pseudo_seen else np.nan for row in epochs]
        axes.plot(numbers, share, color=ACCENT, linewidth=2.2, **few)
        axes.set_title("Target samples above the confidence threshold")
        _percent(axes)

    def confidence(axes: Axes) -> None:
        axes.plot(numbers, [row.confidence for row in epochs], color=ACCENT, linewidth=2.2,
                  label="mean confidence", **few)  # fmt: skip
        axes.plot(numbers, [row.agreement for row in epochs], color=BLUE, linewidth=1.8, linestyle="--",
                  label="same class as by the source model", **few)  # fmt: skip
        axes.set_title("Confidence and agreement on the target")
        _percent(axes)
        axes.legend(loc="best", fontsize=9.5)

    def losses(axes: Axes) -> None:
        for values, color, style, label in (
            ([row.source_loss for row in epochs], ORANGE, "-", "source"),
            ([row.target_loss for row in epochs], SOFT, "--", "target"),
        ):
            if np.isfinite(values).any():
                axes.plot(numbers, values, color=color, linewidth=2, linestyle=style, label=label, **few)
        axes.set_title("Loss")
        axes.legend(loc="best", fontsize=9.5)

    def shift(axes: Axes) -> None:
        axes.plot(numbers, [row.shift for row in epochs], color=INK, linewidth=2, **few)
        axes.axhline(0, color=SOFT, linewidth=1, linestyle=(0, (4, 3)))
        axes.set_title("Days added for the pseudo labels")
        axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))

    if any(row.pseudo_seen for row in epochs):
        panels.append(accepted)
    if any(np.isfinite(row.confidence) or np.isfinite(row.agreement) for row in epochs):
        panels.append(confidence)
    if any(np.isfinite(row.source_loss) or np.isfinite(row.target_loss) for row in epochs):
        panels.append(losses)
    if any(row.shift for row in epochs):
        panels.append(shift)
    rows = max(1, -(-len(panels) // 2))

    def paint(figure: Figure) -> None:
        for axes, fill in zip(
            figure.subplots(rows, 2, squeeze=False).ravel(), [*panels, None, None], strict=False
        ):
            if fill is None:
                axes.set_visible(False)
                continue
            fill(axes)
            axes.set_xlabel("Epoch")
            axes.grid(axis="y")
            axes.set_xlim(numbers[0] - 0.5, numbers[-1] + 0.5)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8, min_n_ticks=1))

    return draw(name, 10.4, 2.75 * rows, paint)


def _percent(axes: Axes) -> None:
    axes.set_ylim(-0.02, 1.04)
    axes.yaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))


def shares_by_epoch(
    name: str,
    epochs: Sequence[AdaptEpoch],
    classes: Sequence[str],
    colors: Sequence[str],
) -> str:
    """Stacked bars: the shares of the classes that the target samples were given, an epoch a bar."""
    shares = np.array([row.class_shares for row in epochs], dtype=float)  # (E, K)

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        numbers = [row.epoch for row in epochs]
        bottom = np.zeros(len(epochs))
        for index, (label, color) in enumerate(zip(classes, colors, strict=True)):
            part = np.nan_to_num(shares[:, index])
            axes.bar(numbers, part, 0.9, bottom=bottom, color=color, edgecolor="white", linewidth=0.4,
                     label=shorten(label))  # fmt: skip
            if len(epochs) <= 12:
                for number, low, size in zip(numbers, bottom, part, strict=True):
                    if size >= 0.06:
                        axes.text(number, low + size / 2, f"{100 * size:.0f} %", ha="center", va="center",
                                  fontsize=8.6, color=readable_on(color))  # fmt: skip
            bottom += part
        axes.set_ylim(0, 1)
        axes.yaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
        axes.set_xlabel("Epoch")
        axes.set_xlim(numbers[0] - 0.6, numbers[-1] + 0.6)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=20, min_n_ticks=1))
        # From the top down, like the stack.
        handles, labels = axes.get_legend_handles_labels()
        figure.legend(handles[::-1], labels[::-1], loc="outside right upper", fontsize=9.5)

    return draw(name, 10.4, max(3.2, 0.21 * len(classes) + 0.8), paint)
