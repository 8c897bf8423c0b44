"""Scores of photo models: accuracy by steps of the year and prompts, recall by number of answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from sits_engine.report.plots.style import ACCENT, BLUE, INK, ORANGE, SOFT, draw

COLORS = (ACCENT, BLUE, ORANGE)
MARKERS = ("o", "s", "^")
STEPS = (12, 4, 1)


def accuracy_dots(
    name: str, values: Mapping[str, Mapping[int, tuple[float, float, float]]], chance: float, majority: float
) -> str:
    """Raw accuracy with its 95 % interval, a row a number of steps, a mark a kind of prompts.

    Args:
        name: unique on the page.
        values: kind of prompts -> steps -> (accuracy, lower and upper end of its interval).
        chance, majority: accuracies of a blind guess and of the most frequent class.
    """

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        for number, (kind, found) in enumerate(values.items()):
            offset = 0.22 * (number - (len(values) - 1) / 2)
            rows = [STEPS.index(steps) + offset for steps in found]
            axes.errorbar(
                [value for value, _, _ in found.values()],
                rows,
                # an end that is the value itself may lie beyond it by rounding, which Matplotlib refuses
                xerr=[
                    [max(0.0, value - low) for value, low, _ in found.values()],
                    [max(0.0, high - value) for value, _, high in found.values()],
                ],
                fmt=MARKERS[number % 3],
                color=COLORS[number % 3],
                markersize=7,
                capsize=3,
                linewidth=1.4,
                label=kind,
            )
        axes.axvline(chance, color=INK, linestyle=":", linewidth=1.2, label="chance")
        axes.axvline(majority, color=SOFT, linestyle="--", linewidth=1.2, label="most frequent class")
        axes.set_yticks(range(3), ["12 months", "4 quarters", "1 median"])
        axes.set_ylim(2.6, -0.6)
        highest = max(high for found in values.values() for _, _, high in found.values())
        axes.set_xlim(0, min(1.02, max(highest, majority) * 1.12 + 0.02))
        axes.set_xlabel("share of places that are right (raw scores)")
        axes.grid(axis="x")
        axes.tick_params(axis="y", length=0)
        figure.legend(loc="outside lower center", ncols=5, fontsize=9.5)

    return draw(name, 9.4, 3.3, paint)


def recall_curves(
    name: str,
    panels: Sequence[tuple[str, Mapping[int, Mapping[int, float]], Mapping[int, float]]],
) -> str:
    """Recall by the number of answers that count, a panel a direction and a curve a number of steps.

    Args:
        name: unique on the page.
        panels: (title, steps -> k -> recall, k -> chance).
    """

    def paint(figure: Figure) -> None:
        for axes, (title, found, chance) in zip(
            figure.subplots(1, len(panels), sharey=True, squeeze=False)[0], panels, strict=True
        ):
            for number, (steps, at) in enumerate(found.items()):
                axes.plot(
                    range(len(at)),
                    list(at.values()),
                    color=COLORS[number % 3],
                    marker=MARKERS[number % 3],
                    linewidth=2,
                    label=f"{steps} step{'s' if steps > 1 else ''}",
                )
            axes.plot(
                range(len(chance)),
                list(chance.values()),
                color=INK,
                linestyle=":",
                linewidth=1.4,
                label="chance",
            )
            axes.set_xticks(range(len(chance)), [f"R@{k}" for k in chance])
            axes.set_ylim(0, 1.03)
            axes.grid(axis="y")
            axes.set_title(title)
        handles, labels = axes.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=9.5)

    return draw(name, 4.7 * len(panels), 3.4, paint)
