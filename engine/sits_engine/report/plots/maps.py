"""Small maps: classes with legend, clear observations, where the parcels of each split lie."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from sits_engine.report.plots.style import (
    BLUE,
    GREEN,
    INK,
    LINE,
    ORANGE,
    SEQUENTIAL,
    SOFT,
    draw,
    rgba,
    shorten,
)

Bounds = tuple[float, float, float, float]


def _bare(axes: Axes) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set(visible=True, color=LINE)


def _scale_bar(axes: Axes, bounds: Bounds) -> None:
    """A bar of a round length, about a fifth of the map, where the units are metres."""
    width = bounds[2] - bounds[0]
    if not 200 < width < 5e6:
        return
    length = 10 ** np.floor(np.log10(width / 4))
    length *= max(f for f in (1, 2, 5) if f * length <= width / 4)
    x0, y0 = bounds[0] + 0.03 * width, bounds[1] - 0.035 * (bounds[3] - bounds[1])
    axes.plot([x0, x0 + length], [y0, y0], color=INK, linewidth=2.5, solid_capstyle="butt", clip_on=False)
    text = f"{length / 1000:g} km" if length >= 1000 else f"{length:g} m"
    axes.text(x0 + length + 0.015 * width, y0, text, va="center", color=INK, clip_on=False)


def class_map(
    name: str,
    values: npt.NDArray[np.uint8],
    bounds: Bounds,
    classes: Sequence[str],
    colors: Sequence[str],
    points: npt.NDArray[np.float64] | None = None,
    right: npt.NDArray[np.bool_] | None = None,
    metric: bool = True,
) -> str:
    """Map of classes with legend; reference places as marks if given.

    Args:
        name: unique on the page.
        values: (h, w), 0 nodata, i = i-th class.
        bounds: xmin, ymin, xmax, ymax.
        classes, colors: of the classes; those that don't occur are left out of the legend.
        points: (N, 2) in the map's CRS.
        right: (N,) bool.
        metric: units are metres, so that a scale bar is right.
    """
    height, width = values.shape
    shape = height / max(width, 1)
    shown = [i for i in range(len(classes)) if np.any(values == i + 1)]

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        extent = (bounds[0], bounds[2], bounds[1], bounds[3])
        axes.imshow(rgba(values, colors), extent=extent, interpolation="none")
        axes.set_facecolor("#f4f7f7")
        _bare(axes)
        handles: list[Artist] = [
            Patch(facecolor=colors[i], edgecolor=INK, linewidth=0.5, label=shorten(classes[i])) for i in shown
        ]
        if points is not None and right is not None and len(points):
            marks = (
                (right, "white", "o", 9, "reference, mapped right"),
                (~right, "#000000", "x", 16, "reference, mapped wrong"),
            )
            for chosen, color, marker, size, label in marks:
                style = {"edgecolors": INK, "linewidths": 0.5} if marker == "o" else {"linewidths": 1.2}
                spots = axes.scatter(
                    points[chosen, 0], points[chosen, 1], s=size, c=color, marker=marker, label=label, **style
                )
                handles.append(spots)
        axes.set_xlim(bounds[0], bounds[2])
        axes.set_ylim(bounds[1], bounds[3])
        if metric:
            _scale_bar(axes, bounds)
        figure.legend(handles=handles, loc="outside right upper", fontsize=10)

    return draw(name, 9.4, float(np.clip(6.6 * shape, 2.6, 9.5)) + 0.3, paint)


def clear_map(name: str, counts: npt.NDArray[np.int32]) -> str:
    """Number of clear observations of each place (h, w); places without any are hatched red."""
    height, width = counts.shape
    palette = LinearSegmentedColormap.from_list("clear", SEQUENTIAL[1:])
    norm = Normalize(0, max(1, int(counts.max(initial=1))))

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        picture = palette(norm(counts))
        picture[counts == 0] = (0.83, 0.37, 0.0, 1.0)
        axes.imshow(picture, interpolation="none")
        _bare(axes)
        bar = figure.colorbar(ScalarMappable(norm, palette), ax=axes, shrink=0.8, aspect=24)
        bar.set_label("clear observations")
        bar.outline.set_visible(False)
        if (counts == 0).any():
            handle = [Patch(facecolor=ORANGE, label="never clear")]
            figure.legend(handles=handle, loc="outside lower left")

    return draw(name, 5.6, float(np.clip(4.4 * height / max(width, 1), 2.2, 7.0)) + 0.4, paint)


def split_map(
    name: str,
    xy: npt.NDArray[np.float64],
    split: npt.NDArray[np.int64],
    names: Sequence[str],
    right: npt.NDArray[np.bool_] | None = None,
) -> str:
    """Where the parcels of training, validation and test lie.

    Args:
        name: unique on the page.
        xy: (N, 2) longitude and latitude; rows with NaN are left out.
        split: (N,) index into `names`.
        names: of the splits.
        right: (N,) whether the model gives the right class; then the last split (the test) is drawn as
            what is right and what is wrong.
    """
    placed = np.isfinite(xy).all(axis=1)
    groups = [
        (names[i], split == i, look)
        for i, look in enumerate(((SOFT, "o", 9), (BLUE, "s", 14), (ORANGE, "^", 18))[: len(names)])
    ]
    if right is not None:
        test, mine, _ = groups.pop()
        groups.append((f"{test}, right", mine & right, (GREEN, "^", 18)))
        groups.append((f"{test}, wrong", mine & ~right, (ORANGE, "X", 26)))

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        for label, chosen, (color, marker, size) in groups:
            mine = placed & chosen
            axes.scatter(
                xy[mine, 0],
                xy[mine, 1],
                s=size,
                c=color,
                marker=marker,
                linewidths=0,
                label=f"{label} ({int(mine.sum())})",
            )
        middle = float(np.nanmean(xy[placed, 1])) if placed.any() else 0.0
        axes.set_aspect(1 / max(np.cos(np.deg2rad(middle)), 0.05), adjustable="datalim")
        axes.margins(0.04)
        axes.set_xlabel("longitude")
        axes.set_ylabel("latitude")
        axes.locator_params(nbins=4)
        axes.ticklabel_format(useOffset=False)
        axes.grid()
        figure.legend(loc="outside upper left", ncols=3 if right is None else 2, markerscale=1.5)

    return draw(name, 5.2, 5.0, paint)
