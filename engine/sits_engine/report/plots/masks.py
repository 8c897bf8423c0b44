"""Windows with ticks as pictures: image, where each ticked crop shows, mask, truth."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from sits_engine.report.plots.style import INK, LINE, SOFT, draw, readable, rgba, shorten

#: Land that no polygon holds, or that stays unlabelled.
NOTHING = "#eef1f2"
#: From nothing to sure: dark to light, in one order for all kinds of colour vision and in grey.
HEAT = ("#0b1026", "#2b1f5c", "#6a1f76", "#b02d6e", "#e65c4f", "#fb9f3a", "#fcf4a3")
#: Maps of ticked crops in a line; with more than twice as many the pictures are smaller.
FEW, MANY = 4, 6
#: Lines of pictures on the page, from which windows are left out; the first one is always there.
MOST_LINES = 10
#: Inches: width of the page, heading of a row, strip left of the pictures, gap between pictures.
WIDTH, HEADING, LEFT, GAP = 10.4, 0.5, 0.42, 0.1
#: Letters of a heading on an inch.
LETTERS = 12


@dataclass(frozen=True)
class MaskPictures:
    """One window; arrays as in `learning.exact.summary.Thumbnail`.

    Attributes:
        title: place in words.
        picture: (H, W, 3) uint8.
        picture_words: date and bands of it.
        crops: (name, colour, (H, W) float 0..1) of each ticked crop.
        mask: (H, W) class, -1 nothing.
        truth: (H, W) class, -1 unknown; None without labels.
    """

    title: str
    picture: npt.NDArray[np.uint8]
    picture_words: str
    crops: Sequence[tuple[str, str, npt.NDArray[np.float32]]]
    mask: npt.NDArray[np.int16]
    truth: npt.NDArray[np.int16] | None


def fitting(windows: Sequence[MaskPictures]) -> list[MaskPictures]:
    """The first windows that the page has room for with the maps of all their crops."""
    shown: list[MaskPictures] = []
    for one in windows:
        more = [*shown, one]
        if not shown or sum(_lines(more)) <= MOST_LINES:
            shown = more
    return shown


def _slots(windows: Sequence[MaskPictures]) -> int:
    """Maps in a line."""
    most = max((len(one.crops) for one in windows), default=1)
    return max(1, most) if most <= FEW else FEW if most <= 2 * FEW else MANY


def _lines(windows: Sequence[MaskPictures]) -> list[int]:
    """Lines of each window."""
    slots = _slots(windows)
    return [max(1, -(-len(one.crops) // slots)) for one in windows]


def mask_windows(
    name: str,
    windows: Sequence[MaskPictures],
    classes: Sequence[str],
    colors: Sequence[str],
    threshold: float,
) -> str:
    """Window by window: image, a map of each ticked crop with the line of the threshold, mask, truth.

    Args:
        name: unique on the page.
        windows: one below the other; many maps take several lines.
        classes, colors: all that masks may hold, the background too.
        threshold: a crop must exceed it.
    """
    slots, lines = _slots(windows), _lines(windows)
    told = any(one.truth is not None for one in windows)
    columns = 2 + slots + told
    side = (WIDTH - LEFT) / columns - GAP
    letters = int(LETTERS * side)
    rows = sum(lines)
    handles = _legend(windows, classes, colors)
    # few short names fit into one line
    across = 6 if sum(len(str(one.get_label())) + 7 for one in handles) <= 100 else 4
    legend = 0.27 * -(-len(handles) // across)
    heat = LinearSegmentedColormap.from_list("heat", HEAT)

    def paint(figure: Figure) -> None:
        figure.set_layout_engine("constrained", h_pad=0.07)
        grid = GridSpec(rows, columns, figure)
        for number, one in enumerate(windows):
            row = sum(lines[:number])
            axes = [figure.add_subplot(grid[row, column]) for column in range(columns)]
            for line in range(1, lines[number]):
                axes[1 + line * slots : 1 + line * slots] = [
                    figure.add_subplot(grid[row + line, 1 + column]) for column in range(slots)
                ]
            axes[0].imshow(one.picture, interpolation="none")
            _frame(axes[0], _two_lines(one.picture_words, letters))
            axes[0].set_ylabel(textwrap.fill(one.title, letters + 6), fontsize=8.6, color=SOFT)
            last = 1 + slots * lines[number]
            for place, cell in enumerate(axes[1:last]):
                if place < len(one.crops):
                    crop, color, values = one.crops[place]
                    _heat(cell, values, heat, threshold)
                    _frame(cell, _two_lines(crop, letters))
                    cell.title.set_color(readable(color))
                    _edge(cell, color)
                else:
                    cell.axis("off")
                    if not one.crops and place == 0:
                        cell.text(0.5, 0.5, "no crop\nticked", ha="center", va="center", color=SOFT)
            _classes(axes[last], one.mask, colors)
            _frame(axes[last], "mask")
            if told and one.truth is not None:
                _classes(axes[-1], one.truth, colors)
                _frame(axes[-1], "truth")
            elif told:
                axes[-1].axis("off")
        figure.legend(handles=handles, loc="outside lower left", ncols=min(across, len(handles)), fontsize=10)
        bar = figure.colorbar(
            ScalarMappable(Normalize(0, 1), heat),
            ax=figure.axes,
            location="bottom",
            shrink=0.36,
            aspect=34,
            anchor=(0.0, 1.0),
        )
        bar.set_label("score of a ticked crop; the white line is the threshold", fontsize=9.5)
        bar.ax.axvline(threshold, color="white", linewidth=2)
        bar.outline.set_visible(False)

    return draw(name, WIDTH, rows * (side + HEADING) + legend + 0.8, paint)


def _two_lines(text: str, letters: int) -> str:
    """`text` in two lines at most."""
    lines = textwrap.wrap(text, letters, max_lines=2, placeholder="…")
    return "\n".join(shorten(line, letters) for line in lines)


def _legend(windows: Sequence[MaskPictures], classes: Sequence[str], colors: Sequence[str]) -> list[Artist]:
    shown = [array for one in windows for array in (one.mask, one.truth) if array is not None]
    seen = sorted({int(value) for array in shown for value in np.unique(array)})
    handles: list[Artist] = [
        Patch(facecolor=colors[i], edgecolor=INK, linewidth=0.5, label=shorten(classes[i]))
        for i in seen
        if i >= 0
    ]
    if -1 in seen:
        handles.append(Patch(facecolor=NOTHING, edgecolor=LINE, label="not labelled"))
    return handles


def _frame(axes: Axes, title: str) -> None:
    axes.set_title(title, fontsize=9.6, pad=4)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set(visible=True, color=LINE)


def _edge(axes: Axes, color: str) -> None:
    """A bar below the picture in the colour of the crop ties it to the mask."""
    axes.spines["bottom"].set(visible=True, color=color, linewidth=4)


def _heat(
    axes: Axes, values: npt.NDArray[np.float32], palette: LinearSegmentedColormap, threshold: float
) -> None:
    axes.imshow(values, cmap=palette, vmin=0, vmax=1, interpolation="none")
    if min(values.shape) > 1 and values.min() <= threshold < values.max():
        axes.contour(values, levels=[threshold], colors="white", linewidths=1.3)


def _classes(axes: Axes, values: npt.NDArray[np.integer], colors: Sequence[str]) -> None:
    axes.set_facecolor(NOTHING)
    axes.imshow(rgba(np.asarray(values, dtype=np.int64) + 1, colors), interpolation="none")


def ticks_and_shares(
    name: str,
    classes: Sequence[str],
    colors: Sequence[str],
    ticked: Sequence[float],
    shares: Sequence[float],
) -> str:
    """Of each class: share of the polygons that are ticked, beside its share of the masks' pixels.

    Args:
        name: unique on the page.
        classes, colors: the background too.
        ticked: 0..1, NaN for the background.
        shares: 0..1.
    """

    def paint(figure: Figure) -> None:
        left, right = figure.subplots(1, 2, sharey=True)
        places = np.arange(len(classes))
        for axes, values, title in (
            (left, np.asarray(ticked, dtype=float), "Polygons in which it is ticked"),
            (right, np.asarray(shares, dtype=float), "Share of the pixels of the masks"),
        ):
            axes.barh(places, np.nan_to_num(values), 0.62, color=colors, edgecolor=INK, linewidth=0.5)
            for place, value in zip(places, values, strict=True):
                text = f"{100 * value:.0f} %" if np.isfinite(value) else "\u2013"
                text = "< 1 %" if 0 < value < 0.01 else "none" if value == 0 else text
                axes.annotate(text, (np.nan_to_num(value), place), (4, 0), textcoords="offset points",
                              va="center", fontsize=9.5)  # fmt: skip
            axes.set_title(title)
            axes.set_xlim(0, 1.14 * max(0.05, float(np.nanmax([*np.nan_to_num(values), 0.0]))))
            axes.xaxis.set_visible(False)
            axes.tick_params(axis="y", length=0)
            axes.spines["bottom"].set_visible(False)
        left.set_yticks(places, [shorten(c) for c in classes])
        left.invert_yaxis()

    return draw(name, 9.4, 0.33 * len(classes) + 0.7, paint)


def counts(name: str, values: Sequence[int], labels: Sequence[str], title: str, axis: str) -> str:
    """A small diagram of counts as columns.

    Args:
        name: unique on the page.
        values: one a column.
        labels: below the columns.
        title: above.
        axis: what the columns are, below their labels.
    """

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        places = np.arange(len(values))
        axes.bar(places, values, 0.86, color="#2f8a85")
        axes.set_xticks(places, labels)
        axes.set_title(title)
        axes.set_xlabel(axis)
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}".replace(",", "\u202f"))
        axes.grid(axis="y")
        axes.tick_params(axis="x", length=0)

    return draw(name, 5.0, 2.7, paint)
