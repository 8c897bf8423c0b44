"""Mean scores of classes over a regular sample of a region: what normalised maps divide by."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sits_engine.errors import InputError
from sits_engine.learning.zeroshot import scores
from sits_engine.mapping.embedding_map import EmbeddingTiles
from sits_engine.mapping.pipeline import Readable
from sits_engine.samples.region import Region
from sits_engine.series.types import Window, intersect

#: Windows of the sample, and their side: 57,600 pixels, whatever the size of the region.
WINDOWS, SIDE = 100, 24
#: Lattices that are tried where polygons leave most windows empty: each twice as dense as the last.
ROUNDS = 5


@dataclass(frozen=True)
class SampleMeans:
    """Mean scores (K,) of the classes over `pixels` clear pixels in `windows` windows."""

    means: npt.NDArray[np.float64]
    pixels: int
    windows: int


def sample_windows(region: Region, windows: int = WINDOWS, side: int = SIDE) -> list[Window]:
    """Windows on a regular lattice with pixels of the region; the whole region where it is small enough.

    About `windows` of them; no chance plays a part.
    """
    whole = region.window
    if whole.height * whole.width <= windows * side**2:
        return [
            Window(r, c, min(side, whole.row + whole.height - r), min(side, whole.col + whole.width - c))
            for r in range(whole.row, whole.row + whole.height, side)
            for c in range(whole.col, whole.col + whole.width, side)
        ]
    found: list[Window] = []
    for turn in range(ROUNDS):
        found = [w for w in _lattice(whole, windows * 4**turn, side) if _touched(region, w)]
        if len(found) >= windows / 2:
            break
    step = max(1, len(found) // windows)
    return found[::step]


def mean_scores(
    series: Readable,
    bands: Sequence[str],
    region: Region,
    tiles: EmbeddingTiles,
    progress: Callable[[float], None],
) -> SampleMeans:
    """Mean scores over the clear pixels of the sample.

    Args:
        series: the images.
        bands: its names of the model's bands, in the model's order.
        region: what is mapped.
        tiles: encoder with a head that gives cosines.
        progress: gets 0..1; raises to cancel.

    Raises:
        InputError: the sample has no clear pixel.
    """
    windows = sample_windows(region)
    total: npt.NDArray[np.float64] | None = None
    pixels = 0
    for number, window in enumerate(windows):
        inside = region.mask(window)
        progress(number / len(windows))
        if not tiles.needed(window, inside):
            continue
        cube = series.read(tiles.area(window), bands)
        seen = tiles.seen(cube, inside)
        found = scores(tiles.answers(cube, seen).astype(np.float64))[:, seen]
        total = found.sum(axis=1) if total is None else total + found.sum(axis=1)
        pixels += found.shape[1]
    progress(1.0)
    if total is None or pixels == 0:
        raise InputError(
            f"None of {len(windows)} windows spread over the region has a clear pixel: normalised scores "
            "need the mean scores of the region.",
            "Check the cloud mask and the extent of the images, or use raw scores (SCORING raw).",
        )
    return SampleMeans(total / pixels, pixels, len(windows))


def _lattice(whole: Window, count: int, side: int) -> list[Window]:
    """About `count` windows, evenly spread, as dense along rows as along columns."""
    height, width = min(side, whole.height), min(side, whole.width)
    n_rows = min(max(1, round(math.sqrt(count * whole.height / whole.width))), whole.height // height)
    n_cols = min(max(1, round(count / n_rows)), whole.width // width)
    rows = whole.row + (np.arange(n_rows) + 0.5) * whole.height / n_rows - height / 2
    cols = whole.col + (np.arange(n_cols) + 0.5) * whole.width / n_cols - width / 2
    found = [
        intersect(Window(int(r), int(c), height, width), whole) for r in np.rint(rows) for c in np.rint(cols)
    ]
    return [window for window in found if window is not None]


def _touched(region: Region, window: Window) -> bool:
    inside = region.mask(window)
    return inside is None or bool(inside.any())
