"""How the training on ticks went: losses, their parts, and precision on polygons that were held out."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sits_engine.learning.exact.summary import ExactEpochRow
from sits_engine.report.plots.curves import marks, panel
from sits_engine.report.plots.style import ACCENT, BLUE, GREEN, INK, ORANGE, PINK, SOFT, draw


def exact_curves(name: str, epochs: Sequence[ExactEpochRow], contrast_from: int | None) -> str:
    """Panels over the epochs; one without numbers is left out.

    Args:
        name: unique on the page.
        epochs: curves.
        contrast_from: first epoch with the contrastive loss, marked; None marks none.
    """
    numbers = [row.epoch for row in epochs]
    few = marks(numbers)

    def column(attribute: str) -> list[float]:
        return [np.nan if (v := getattr(row, attribute)) is None else float(v) for row in epochs]

    def losses(axes: Axes) -> None:
        lines = (
            ("loss", "sum", INK, "-", 2.4),
            ("classes", "class token", ACCENT, "-", 1.8),
            ("temporal", "map of dates", ORANGE, "--", 1.8),
            ("spatial", "map of places", BLUE, ":", 2.0),
        )
        for attribute, label, color, style, width in lines:
            axes.plot(numbers, column(attribute), color=color, linewidth=width, linestyle=style, label=label,
                      **few)  # fmt: skip
        top = max((v for a, *_ in lines for v in column(a) if np.isfinite(v)), default=1.0)
        panel(axes, "Loss: are the ticks found?", 0.0, 1.05 * top)

    def parts(axes: Axes) -> None:
        """Each relative to its largest value: their units have nothing in common."""
        for attribute, label, color in (("contrast", "contrast", PINK), ("affinity", "affinity", GREEN)):
            values = np.array(column(attribute))
            known = values[np.isfinite(values)]
            if len(known) and known.max() > 0:
                axes.plot(numbers, values / known.max(), color=color, linewidth=2.0, label=label, **few)
        panel(axes, "Further parts, of their largest", 0.0, 1.05)

    def precision(axes: Axes) -> None:
        axes.plot(numbers, column("validation_map_macro"), color=ACCENT, linewidth=2.2,
                  label="mean over crops", **few)  # fmt: skip
        axes.plot(numbers, column("validation_map_micro"), color=BLUE, linewidth=1.8, linestyle="--",
                  label="all ticks together", **few)  # fmt: skip
        panel(axes, "Average precision, held out", 0.0, 1.03)

    panels: list[Callable[[Axes], None]] = [losses]
    if np.isfinite([*column("contrast"), *column("affinity")]).any():
        panels.append(parts)
    if np.isfinite([*column("validation_map_macro"), *column("validation_map_micro")]).any():
        panels.append(precision)

    def paint(figure: Figure) -> None:
        for axes, fill in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
            fill(axes)
            axes.set_xlim(numbers[0] - 0.5, numbers[-1] + 0.5)
            if contrast_from is not None and fill is not precision:
                axes.axvline(contrast_from, color=SOFT, linewidth=1.1, linestyle=(0, (4, 3)), zorder=1)

    return draw(name, 10.4, 3.3, paint)
