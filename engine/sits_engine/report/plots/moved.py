"""Mean profiles of a source beside those of a target, before and after its dates are shifted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sits_engine.learning.summary import Profiles
from sits_engine.report.plots.profiles import Values, index_of, limits
from sits_engine.report.plots.style import BLUE, INK, LINE, SOFT, draw, month_axis, readable, shorten
from sits_engine.report.words import days

#: What `index_of` gives on purpose; any other name is the first band, for want of a better one.
_GREENNESS = ("NDVI", "EVI", "EVI2", "SAVI", "B08", "B8A")


def lines_of(source: Profiles, target: Profiles) -> tuple[str, Values, Values]:
    """(name, (K, T) of the source, (L, U) of the target) of the band or index that shows the season.

    NDVI or another measure of greenness where the bands give one, else the band in which the classes of
    the source differ most against the deviation within them. Both profiles hold the same bands.
    """
    label, ours = index_of(source.bands, source.mean.astype(float))
    if label in _GREENNESS:
        return label, ours, index_of(target.bands, target.mean.astype(float))[1]
    among = np.nanmean(_variance(source.mean.astype(float)), axis=0)
    within = np.nanmean(source.std.astype(float) ** 2, axis=(0, 1))
    best = int(np.argmax(np.nan_to_num(among / np.maximum(within, 1e-12), nan=-1.0)))
    name = source.bands[best]
    return name, source.mean[..., best].astype(float), target.mean[..., best].astype(float)


def _variance(mean: Values) -> Values:
    """(T, C) variance over the classes; 0 on dates that no class has."""
    known = np.isfinite(mean)
    number = np.maximum(known.sum(axis=0), 1)
    middle = np.where(known, mean, 0).sum(axis=0) / number
    return np.asarray(np.where(known, (mean - middle) ** 2, 0).sum(axis=0) / number)


def _line(axes: Axes, positions: Values, values: Values, **look: object) -> None:
    seen = np.isfinite(values)
    axes.plot(positions[seen], values[seen], **look)  # type: ignore[arg-type]


def class_pairs(
    name: str,
    classes: Sequence[str],
    colors: Sequence[str],
    source: Profiles,
    target: Profiles,
    shift: int,
) -> tuple[str, str]:
    """(SVG, what it shows): a panel a class, the source in its colour, the target before and after the shift.

    Args:
        name: unique on the page.
        classes, colors: of the K classes.
        source: (K, T, C).
        target: (K, U, C), the same bands, on its own positions; NaN where a class was not given.
        shift: days added to the target's positions for 'after'.
    """
    label, ours, theirs = lines_of(source, target)
    columns = min(4, max(2, len(classes)))
    rows = -(-len(classes) // columns)
    low, high = limits(np.concatenate([ours.ravel(), theirs.ravel()]))
    places = np.concatenate([source.positions, target.positions, target.positions + shift])

    def paint(figure: Figure) -> None:
        panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
        for index, axes in enumerate(panels):
            if index >= len(classes):
                axes.set_visible(False)
                continue
            color = readable(colors[index])
            _line(axes, source.positions, ours[index], color=color, linewidth=3.4, alpha=0.85, zorder=2)
            if shift:
                _line(
                    axes, target.positions, theirs[index], color=SOFT, linewidth=1.4, linestyle=":", zorder=3
                )
            _line(axes, target.positions + shift, theirs[index], color=INK, linewidth=1.7, zorder=4)
            found = np.isfinite(theirs[index]).any()
            title = shorten(classes[index]) if found else f"{shorten(classes[index], 15)} (not found)"
            axes.set_title(title, fontsize=10.5)
            axes.set_ylim(low, high)
            month_axis(axes, float(places.min()), float(places.max()), source.season_year, most=6)
            if index + columns >= len(classes):
                axes.tick_params(labelbottom=True)
            if index % columns == 0:
                axes.set_ylabel(label)
        after = f"target, dates {days(shift)}" if shift else "target, by its pseudo labels"
        handles = [Line2D([], [], color=BLUE, linewidth=3.4, label="source (in the colour of the class)")]
        if shift:
            handles.append(Line2D([], [], color=SOFT, linewidth=1.4, linestyle=":", label="target as it is"))
        handles.append(Line2D([], [], color=INK, linewidth=1.7, label=after))
        figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=9.5)

    return draw(name, 10.4, 1.75 * rows + 0.8, paint), label


def season_pair(name: str, source: Profiles | None, target: Profiles, shift: int) -> tuple[str, str]:
    """(SVG, what it shows): the target's mean before and after the shift over the classes of the source.

    Args:
        name: unique on the page.
        source: (K, T, C) class means, drawn in grey with their mean; None draws the target alone.
        target: (1, U, C) mean of all its samples, the same bands.
        shift: days added to the target's positions for 'after'.
    """
    label, ours, theirs = lines_of(target if source is None else source, target)
    places = np.concatenate([target.positions, target.positions + shift])
    year = target.season_year
    if source is not None:
        places, year = np.concatenate([places, source.positions]), source.season_year
    low, high = limits(np.concatenate([ours.ravel(), theirs.ravel()]))

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        if source is not None:
            for index, line in enumerate(ours):
                text = "classes where the model learned" if index == 0 else None
                _line(axes, source.positions, line, color="#b3c0c5", linewidth=1.4, label=text, zorder=1)
        if shift:
            _line(axes, target.positions, theirs[0], color=SOFT, linewidth=1.8, linestyle=":", zorder=3,
                  label="mean of the target as it is")  # fmt: skip
        word = f"mean of the target, dates {days(shift)}" if shift else "mean of the target"
        _line(axes, target.positions + shift, theirs[0], color=INK, linewidth=2.4, label=word, zorder=4)
        axes.set_ylim(low, high)
        axes.set_ylabel(label)
        axes.grid(axis="y", color=LINE)
        month_axis(axes, float(places.min()), float(places.max()), year, most=14)
        figure.legend(loc="outside lower center", ncols=3, fontsize=9.5)

    return draw(name, 10.4, 3.3, paint), label
