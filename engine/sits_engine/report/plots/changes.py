"""What an adaptation changed: shares of the classes, and where samples have another class now."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.artist import Artist
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import PercentFormatter

from sits_engine.report.plots.style import INK, SOFT, draw, shorten

UNCHANGED = "#c3ccd0"
#: More points than this go in as a picture: as drawings each would cost the page about 100 bytes.
AS_DRAWING = 3000


def class_shares(
    name: str,
    classes: Sequence[str],
    colors: Sequence[str],
    source: npt.NDArray[np.float64],
    before: npt.NDArray[np.float64],
    after: npt.NDArray[np.float64],
) -> str:
    """Shares (K,) of the classes: the source's samples, the target by the source model and by the adapted."""

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        places = np.arange(len(classes))
        looks: tuple[tuple[npt.NDArray[np.float64], float, list[str], str | None], ...] = (
            (source, -0.27, ["white"] * len(classes), None),
            (before, 0.0, list(colors), "////"),
            (after, 0.27, list(colors), None),
        )
        for values, offset, fills, hatch in looks:
            axes.barh(places + offset, np.nan_to_num(np.asarray(values, dtype=float)), 0.25, color=fills,
                      edgecolor=INK, linewidth=0.6, hatch=hatch, alpha=0.75 if hatch else 1)  # fmt: skip
            for place, value in zip(places, values, strict=True):
                text = "–" if not np.isfinite(value) else f"{100 * value:.1f} %"
                axes.annotate(text, (np.nan_to_num(value), place + offset), xytext=(4, 0), va="center",
                              textcoords="offset points", fontsize=8.4, color=SOFT)  # fmt: skip
        top = max((float(np.nanmax(np.nan_to_num(v), initial=0)) for v in (source, before, after)), default=0)
        axes.set_xlim(0, min(1.1, max(0.05, 1.13 * top)))
        axes.set_yticks(places, [shorten(c) for c in classes])
        axes.set_ylim(len(classes) - 0.5, -0.5)
        axes.xaxis.set_major_formatter(PercentFormatter(1, symbol=" %", decimals=0))
        axes.grid(axis="x")
        axes.tick_params(axis="y", length=0)
        handles = [
            Patch(facecolor="white", edgecolor=INK, label="samples of the source"),
            Patch(
                facecolor=SOFT, edgecolor=INK, alpha=0.75, hatch="////", label="target by the source model"
            ),
            Patch(facecolor=SOFT, edgecolor=INK, label="target by the adapted model"),
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=9.5)

    return draw(name, 9.4, 0.62 * len(classes) + 1.2, paint)


def change_map(
    name: str,
    xy: npt.NDArray[np.float64],
    before: npt.NDArray[np.int64],
    after: npt.NDArray[np.int64],
    classes: Sequence[str],
    colors: Sequence[str],
) -> str:
    """Samples (N, 2) longitude, latitude: grey where the class stayed, else in the colour of the new class.

    Rows with NaN are left out. At least one row has a place.
    """
    placed = np.isfinite(xy).all(axis=1)
    xy, before, after = xy[placed], before[placed], after[placed]
    changed = before != after
    middle = float(xy[:, 1].mean())
    stretch = 1 / max(np.cos(np.deg2rad(middle)), 0.05)
    width, height = np.ptp(xy, axis=0)
    shape = float(np.clip(stretch * height / max(width, 1e-9), 0.35, 1.3))
    # In random order, so that no class hides the others where points lie on each other.
    order = np.random.default_rng(0).permutation(np.flatnonzero(changed))
    size = float(np.clip(12000 / max(len(xy), 1), 5, 22))

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        picture = len(xy) > AS_DRAWING
        if picture:
            figure.set_dpi(200)
        axes.scatter(
            xy[~changed, 0], xy[~changed, 1], s=0.6 * size, c=UNCHANGED, linewidths=0, rasterized=picture
        )
        axes.scatter(xy[order, 0], xy[order, 1], s=size, c=[to_rgba(colors[i]) for i in after[order]] or None,
                     edgecolors=INK, linewidths=0.1 if picture else 0.25, rasterized=picture)  # fmt: skip
        axes.set_aspect(stretch, adjustable="datalim")
        axes.margins(0.04)
        axes.set_xlabel("longitude")
        axes.set_ylabel("latitude")
        axes.locator_params(nbins=4)
        axes.ticklabel_format(useOffset=False)
        axes.grid()

        def dot(color: str, text: str, edge: str = INK) -> Line2D:
            return Line2D([], [], linestyle="none", marker="o", markersize=6.5, color=color,
                          markeredgecolor=edge, markeredgewidth=0.5, label=text)  # fmt: skip

        handles: list[Artist] = [dot(UNCHANGED, f"same class ({int((~changed).sum())})", UNCHANGED)]
        for index, label in enumerate(classes):
            number = int((changed & (after == index)).sum())
            if number:
                handles.append(dot(colors[index], f"now {shorten(label)} ({number})"))
        figure.legend(handles=handles, loc="outside right upper", fontsize=9.5)

    return draw(name, 9.4, 6.0 * shape + 0.6, paint)
