"""Windows of the test side as pictures: image, truth, map, mistakes, similarity of neighbours."""

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
from matplotlib.patches import Patch

from sits_engine.report.plots.style import ACCENT_PALE, INK, LINE, ORANGE, SEQUENTIAL, draw, rgba, shorten

#: What is not labelled, and pixels that were mapped right.
UNKNOWN, RIGHT = "#eef1f2", ACCENT_PALE
#: Most pixels along a side of a picture: larger ones are thinned, a page stays small.
LARGEST = 512


@dataclass(frozen=True)
class WindowPictures:
    """One window; arrays as in `learning.segmentation.summary.Example`, similarity NaN where unknown."""

    title: str
    picture: npt.NDArray[np.uint8]
    picture_words: str
    truth: npt.NDArray[np.int16]
    found: npt.NDArray[np.int16]
    similarity: npt.NDArray[np.float32]


def _thin(array: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    step = -(-max(array.shape[:2]) // LARGEST)
    return array[::step, ::step]


def _frame(axes: Axes, title: str) -> None:
    axes.set_title(title, fontsize=10.5)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set(visible=True, color=LINE)


def _classes(axes: Axes, values: npt.NDArray[np.integer], colors: Sequence[str]) -> None:
    axes.set_facecolor(UNKNOWN)
    axes.imshow(rgba(np.asarray(_thin(values), dtype=np.int64) + 1, colors), interpolation="none")


def _mistakes(truth: npt.NDArray[np.int16], found: npt.NDArray[np.int16]) -> npt.NDArray[np.int64]:
    """-1 where the truth is not known, 0 right, 1 wrong."""
    return np.where(truth < 0, -1, (found != truth).astype(np.int64))


def class_windows(
    name: str, windows: Sequence[WindowPictures], classes: Sequence[str], colors: Sequence[str]
) -> str:
    """Row by row: image, truth, map, what is wrong; legend of the classes that occur.

    Args:
        name: unique on the page.
        windows: one a row.
        classes, colors: of the model.
    """
    rows = len(windows)
    seen = set()
    for one in windows:
        seen |= set(np.unique(one.truth[one.truth >= 0])) | set(np.unique(one.found[one.found >= 0]))
    handles: list[Artist] = [
        Patch(facecolor=colors[i], edgecolor=INK, linewidth=0.5, label=shorten(classes[i]))
        for i in sorted(int(i) for i in seen)
    ]
    handles += [
        Patch(facecolor=UNKNOWN, edgecolor=LINE, label="no label"),
        Patch(facecolor=ORANGE, edgecolor=INK, linewidth=0.5, label="mapped wrong"),
        Patch(facecolor=RIGHT, edgecolor=INK, linewidth=0.5, label="mapped right"),
    ]
    columns = 4

    def paint(figure: Figure) -> None:
        panels = figure.subplots(rows, columns, squeeze=False)
        for one, axes in zip(windows, panels, strict=True):
            axes[0].imshow(_thin(one.picture), interpolation="none")
            _frame(axes[0], textwrap.fill(one.picture_words, 26))
            axes[0].set_ylabel(one.title, fontsize=10)
            _classes(axes[1], one.truth, colors)
            _frame(axes[1], "truth")
            _classes(axes[2], one.found, colors)
            _frame(axes[2], "map")
            _classes(axes[3], _mistakes(one.truth, one.found), (RIGHT, ORANGE))
            _frame(axes[3], "mistakes")
        figure.legend(handles=handles, loc="outside lower left", ncols=min(5, len(handles)), fontsize=10)

    legend = 0.28 * -(-len(handles) // 5)
    return draw(name, 10.4, 2.9 * rows + legend + 0.2, paint)


def similarity_windows(name: str, windows: Sequence[WindowPictures], colors: Sequence[str]) -> str:
    """Truth beside the mean similarity of each pixel with its neighbours, two windows a row.

    Args:
        name: unique on the page.
        windows: up to four; similarity is a mean of cosines, -1..1.
        colors: of the classes.
    """
    rows = -(-len(windows) // 2)
    stack = np.concatenate([one.similarity[np.isfinite(one.similarity)].ravel() for one in windows])
    # the darkest few belong to borders: they set the low end, so that borders show whatever the level
    low = float(np.quantile(stack, 0.01)) if len(stack) else -1.0
    high = max(float(stack.max()) if len(stack) else 1.0, low + 1e-3)
    palette = LinearSegmentedColormap.from_list("alike", SEQUENTIAL[::-1])
    norm = Normalize(low, high)

    def paint(figure: Figure) -> None:
        panels = figure.subplots(rows, 4, squeeze=False).reshape(-1, 2)
        for index, axes in enumerate(panels):
            if index >= len(windows):
                axes[0].set_visible(False)
                axes[1].set_visible(False)
                continue
            one = windows[index]
            _classes(axes[0], one.truth, colors)
            _frame(axes[0], f"truth, {one.title}")
            axes[1].imshow(_thin(one.similarity), cmap=palette, norm=norm, interpolation="none")
            axes[1].set_facecolor(UNKNOWN)
            _frame(axes[1], "similarity")
        bar = figure.colorbar(
            ScalarMappable(norm, palette),
            ax=panels.ravel().tolist(),
            location="bottom",
            shrink=0.4,
            aspect=36,
        )
        bar.set_label("mean cosine with the neighbours")
        bar.outline.set_visible(False)

    return draw(name, 10.4, 2.95 * rows + 0.95, paint)
