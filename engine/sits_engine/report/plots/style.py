"""How figures look, and matplotlib figure to SVG that can stand in an HTML page."""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import matplotlib
import matplotlib.axes
import matplotlib.figure
import numpy as np
import numpy.typing as npt

matplotlib.use("agg", force=True)

INK = "#16242c"
SOFT = "#55666f"
LINE = "#d9e0e3"
ACCENT = "#0a6a66"
ACCENT_PALE = "#9cc9c4"
#: Blue and orange of Okabe and Ito (2008): told apart by all kinds of colour vision, and in grey.
BLUE, ORANGE, GREEN, PINK = "#0072b2", "#d55e00", "#009e73", "#cc79a7"
SEQUENTIAL = ("#f4f7f7", "#dcecea", "#b5d8d4", "#74b3ae", "#2f8a85", "#0a6a66", "#064441")

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

RC: dict[str, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["Segoe UI", "Helvetica Neue", "Helvetica", "Arial", "Liberation Sans", "DejaVu Sans"],
    "font.size": 10.5,
    "axes.edgecolor": SOFT,
    "axes.labelcolor": INK,
    "axes.titlesize": 11.5,
    "axes.titleweight": "semibold",
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.linewidth": 0.8,
    "grid.color": LINE,
    "grid.linewidth": 0.8,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "figure.facecolor": "none",
    "axes.facecolor": "white",
    "savefig.facecolor": "none",
    # Text stays text: it can be searched and read aloud, and names in any script show.
    "svg.fonttype": "none",
    # Names of classes and files may hold '$': they are no formulas.
    "text.parse_math": False,
    "svg.image_inline": True,
}

_ID = re.compile(r'\bid="([^"]+)"')


def draw(
    name: str,
    width: float,
    height: float,
    paint: Callable[[matplotlib.figure.Figure], None],
) -> str:
    """SVG of what `paint` puts on a figure of `width` x `height` inches.

    Args:
        name: unique on the page; the SVG's ids begin with it, so that two figures never share one.
        width, height: inches; the page scales the figure to its column.
        paint: draws.
    """
    import logging

    # A font that this computer lacks is no news to the reader: the page names several.
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
    settings: Any = RC | {"svg.hashsalt": name}
    with matplotlib.rc_context(settings):
        figure = matplotlib.figure.Figure(figsize=(width, height), layout="constrained")
        paint(figure)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    # Shown at the size it was drawn for and never larger, so that all figures have letters of one size.
    text = text[text.index("<svg") :].replace("<svg", f'<svg style="max-width:{96 * width:.0f}px"', 1)
    ids = set(_ID.findall(text))
    # matplotlib names a picture after its pixels: two equal ones have one name, which nothing refers to
    seen: Counter[str] = Counter()

    def own(match: re.Match[str]) -> str:
        seen[match[1]] += 1
        again = f"-{seen[match[1]]}" if seen[match[1]] > 1 else ""
        return f'id="{name}-{match[1]}{again}"'

    text = _ID.sub(own, text)
    # The page takes it as it is: matplotlib escapes texts when it writes SVG.
    return re.sub(
        r'(url\(#|href="#)([^)"]+)',
        lambda m: m.group(1) + (f"{name}-{m.group(2)}" if m.group(2) in ids else m.group(2)),
        text,
    )


def readable_on(color: str) -> str:
    """Black or white, whichever reads better on `color` (WCAG relative luminance)."""
    channels = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    luminance = float(linear @ [0.2126, 0.7152, 0.0722])
    return "#000000" if luminance > 0.179 else "#ffffff"


def readable(color: str) -> str:
    """`color`, darkened until a thin line of it shows on white."""
    channels = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)], dtype=float)
    while channels @ [0.2126, 0.7152, 0.0722] > 165:
        channels *= 0.93
    return "#" + "".join(f"{round(c):02x}" for c in channels)


def shorten(name: str, most: int = 24) -> str:
    """`name` cut to `most` characters."""
    return name if len(name) <= most else name[: most - 1] + "…"


def rgba(values: npt.NDArray[np.integer[Any]], colors: Sequence[str]) -> npt.NDArray[np.uint8]:
    """Picture (h, w, 4) of class values: 0 is transparent, i has the i-th of `colors` ('#rrggbb')."""
    table = np.zeros((256, 4), dtype=np.uint8)
    for value, color in enumerate(colors[:255], start=1):
        table[value] = (*(int(color[i : i + 2], 16) for i in (1, 3, 5)), 255)
    return np.asarray(table[values], dtype=np.uint8)


def month_axis(
    axes: matplotlib.axes.Axes, first: float, last: float, season_year: int, most: int = 7
) -> None:
    """Label an axis of day positions with at most about `most` months, and the year at each January."""
    import datetime

    start = datetime.date(season_year, 1, 1) + datetime.timedelta(days=int(np.floor(first)))
    end = datetime.date(season_year, 1, 1) + datetime.timedelta(days=int(np.ceil(last)))
    months = []
    year, month = start.year, start.month
    while (year, month) <= (end.year, end.month):
        months.append(datetime.date(year, month, 1))
        year, month = (year + 1, 1) if month == 12 else (year, month + 1)
    step = max(1, -(-len(months) // most))
    shown = [m for m in months if (m.month - 1) % step == 0] or months
    ticks = [(m - datetime.date(season_year, 1, 1)).days for m in shown]
    several = start.year != end.year

    def label(month: datetime.date) -> str:
        # English whatever the locale, like the rest of the page.
        text = MONTHS[month.month - 1]
        return f"{text}\n{month.year}" if several and (month.month == 1 or month == shown[0]) else text

    axes.set_xticks(ticks, [label(m) for m in shown])
    axes.set_xlim(first - 3, last + 3)
