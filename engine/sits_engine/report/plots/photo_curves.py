"""How a photo model learned, and what it learned from: retrieval, months and photos of the places."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from sits_engine.learning.timesenclip.summary import PhotoEpochRow
from sits_engine.report.plots.curves import mark_kept, marks, panel
from sits_engine.report.plots.style import ACCENT, ACCENT_PALE, BLUE, INK, MONTHS, SOFT, draw


def photo_curves(name: str, epochs: Sequence[PhotoEpochRow], best: int, chance: float | None) -> str:
    """Loss of the training, and retrieval among validation places where there are any.

    Args:
        name: unique on the page.
        epochs: curves.
        best: epoch whose weights were kept.
        chance: recall at 1 of guessing; None without validation.
    """
    numbers = [row.epoch for row in epochs]
    few = marks(numbers)
    known = any(row.recall_1 is not None for row in epochs)

    def column(attribute: str) -> list[float]:
        return [np.nan if (v := getattr(row, attribute)) is None else float(v) for row in epochs]

    def paint(figure: Figure) -> None:
        panels: list[Axes] = list(figure.subplots(1, 2 if known else 1, squeeze=False)[0])
        losses = column("loss")
        panels[0].plot(numbers, losses, color=INK, linewidth=2.2, label="training", **few)
        panel(panels[0], "Loss", 0.0, 1.05 * max(losses))
        if known:
            axes = panels[1]
            axes.plot(numbers, column("recall_5"), color=BLUE, linewidth=1.8, linestyle="--",
                      label="among the first five", **few)  # fmt: skip
            axes.plot(numbers, column("recall_1"), color=ACCENT, linewidth=2.4, label="at first place", **few)
            if chance is not None:
                axes.axhline(chance, color=SOFT, linewidth=1.1, linestyle=":", label="chance, first place")
            panel(axes, "Own partner found, validation places", 0.0, 1.03)
            axes.yaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
        for axes in panels:
            axes.set_xlim(numbers[0] - 0.5, numbers[-1] + 0.5)
            mark_kept(axes, best)

    return draw(name, 10.4, 3.4, paint)


def months_clear(name: str, shares: npt.NDArray[np.float64]) -> str:
    """Share of the places that were clear at least once in each month, (12,) 0..1, as bars."""

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        places = np.arange(12)
        axes.bar(places, shares, 0.72, color=ACCENT)
        for place, share in enumerate(shares.tolist()):
            axes.text(place, share + 0.02, f"{100 * share:.0f}", ha="center", fontsize=9.5, color=INK)
        axes.set_xticks(places, MONTHS)
        axes.set_ylim(0, 1.1)
        axes.set_yticks([0, 0.5, 1])
        axes.yaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
        axes.tick_params(axis="x", length=0)
        axes.grid(axis="y")
        axes.set_title("Places with a clear image")

    return draw(name, 5.6, 2.9, paint)


def photos_of_places(name: str, counts: npt.NDArray[np.int64]) -> str:
    """How many places have one, two, ... photos, (N,) counts, as bars; from nine on together."""
    most = min(9, int(counts.max()))
    number = np.minimum(counts, most)
    bars = np.bincount(number, minlength=most + 1)[1:]

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        places = np.arange(1, most + 1)
        axes.bar(places, bars, 0.62, color=ACCENT_PALE, edgecolor=ACCENT)
        for place, count in enumerate(bars.tolist(), start=1):
            if count:
                axes.text(place, count, f"{count:,}".replace(",", "\u202f"), ha="center", va="bottom")
        labels = [str(place) for place in places]
        if int(counts.max()) > most:
            labels[-1] = f"{most}+"
        axes.set_xticks(places, labels)
        axes.set_xlim(0.3, most + 0.7)
        axes.set_ylim(0, 1.12 * max(1, int(bars.max())))
        axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=4))
        axes.tick_params(axis="x", length=0)
        axes.grid(axis="y")
        axes.set_title("Places by their number of photos")

    return draw(name, 4.6, 2.9, paint)
