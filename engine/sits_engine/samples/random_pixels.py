"""Single pixels drawn at random inside a region: samples where nobody has drawn parcels."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from sits_engine.errors import InputError
from sits_engine.samples.parcels import Series, read_pixels
from sits_engine.samples.pixel_sets import PixelSets, offsets_of
from sits_engine.samples.region import Region
from sits_engine.series.dates import MIN_DATES
from sits_engine.series.types import Window

#: Pixels are drawn from blocks of this side, aligned to the files' own blocks …
BLOCK = 64
#: … and from so many of them at most: beyond (13 x 13 km at 10 m) reading every corner would take hours.
MOST_BLOCKS = 400
#: Pixels with too few clear dates are replaced by others, in so many rounds …
ROUNDS = 3
#: … of which none reads more than this many times what is missing.
MOST_TRIES = 4


def candidate_pixels(region: Region, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """(P,) flat indices on the region's grid of the pixels that may be drawn, in random order.

    All pixels of the region, or, where it reaches over more than `MOST_BLOCKS` blocks, all of its pixels in
    so many random ones.
    """
    blocks = list(_blocks(region.window))
    found: list[npt.NDArray[np.int64]] = []
    for number in rng.permutation(len(blocks)):
        window = blocks[int(number)]
        mask = region.mask(window)
        inside = np.ones((window.height, window.width), bool) if mask is None else mask
        rows, cols = np.nonzero(inside)
        if len(rows):
            found.append((rows + window.row) * region.grid.width + cols + window.col)
        if len(found) == MOST_BLOCKS:
            break
    if not found:
        return np.empty(0, dtype=np.int64)
    return rng.permutation(np.concatenate(found).astype(np.int64))


def random_pixels(
    series: Series,
    region: Region,
    bands: Sequence[str],
    count: int,
    *,
    keep_clouds: bool = False,
    seed: int = 0,
    number: int = 0,
    progress: Callable[[float], None] = lambda fraction: None,
) -> tuple[PixelSets, list[str]]:
    """Draw pixels with at least `MIN_DATES` clear dates; each becomes a set of one pixel without label.

    Args:
        series: the images.
        region: on the grid of `series`.
        bands: names as the series has them.
        count: pixels wanted.
        keep_clouds: clouded dates count as clear.
        seed: same seed, same pixels.
        number: of the region, to write into the result.
        progress: gets 0..1; may raise to cancel.

    Returns:
        The sets in the order of the draw (fewer where the region holds fewer), and sentences with counts.

    Raises:
        InputError: too few dates, or no such pixel.
    """
    dates = len(series.positions)
    if dates < MIN_DATES:
        raise InputError(
            f"The series {series.title} has {dates} dates; at least {MIN_DATES} are needed.",
            "Add images of more dates of the season.",
        )
    order = candidate_pixels(region, np.random.default_rng(seed))
    pixels = np.empty(0, dtype=np.int64)
    values = np.empty((0, dates, len(bands)), dtype=np.float32)
    valid = np.empty((0, dates), dtype=bool)
    tried = 0
    for turn in range(ROUNDS):
        missing, left = count - len(pixels), len(order) - tried
        if not missing or not left:
            break
        share = len(pixels) / tried if tried else 1.0
        take = order[tried : tried + min(left, math.ceil(missing / max(share, 1 / MOST_TRIES)))]
        tried += len(take)
        got, clear = read_pixels(
            series,
            take,
            bands,
            keep_clouds=keep_clouds,
            progress=lambda fraction, done=turn: progress((done + fraction) / ROUNDS),  # type: ignore[misc]
        )
        good = np.flatnonzero(clear.sum(axis=1) >= MIN_DATES)[:missing]
        pixels = np.concatenate([pixels, take[good]])
        values = np.concatenate([values, got[good]])
        valid = np.concatenate([valid, clear[good]])
    progress(1.0)
    if not len(pixels):
        raise InputError(
            f"None of {tried} pixels drawn in the region has {MIN_DATES} clear dates in {series.title}.",
            "Check the cloud mask and the extent of the images, or choose another region.",
        )
    notes = [f"{series.title}: {len(pixels)} single pixels were drawn at random from {tried} tried."]
    if len(pixels) < count:
        notes.append(
            f"{series.title}: {count} pixels were asked for; there are no more with {MIN_DATES} clear dates "
            f"among {len(order)} of the region."
        )
    n = len(pixels)
    return PixelSets(
        bands=tuple(bands),
        values=values,
        valid=valid,
        offsets=offsets_of(np.ones(n, dtype=np.int64)),
        positions=np.tile(np.asarray(series.positions, dtype=np.int32), (n, 1)),
        labels=np.full(n, -1, dtype=np.int64),
        classes=(),
        ids=np.array([f"pixel {p // region.grid.width},{p % region.grid.width}" for p in pixels], np.str_),
        xy=_centres(pixels, region),
        region=np.full(n, number, dtype=np.int16),
        blocks=np.full(n, -1, dtype=np.int64),
    ), notes


def _blocks(window: Window) -> Iterator[Window]:
    """The window cut at multiples of `BLOCK` of the whole grid."""
    bottom, right = window.row + window.height, window.col + window.width
    for top in range(window.row // BLOCK * BLOCK, bottom, BLOCK):
        row = max(top, window.row)
        for left in range(window.col // BLOCK * BLOCK, right, BLOCK):
            col = max(left, window.col)
            yield Window(row, col, min(top + BLOCK, bottom) - row, min(left + BLOCK, right) - col)


def _centres(pixels: npt.NDArray[np.int64], region: Region) -> npt.NDArray[np.float64]:
    """(P, 2) longitude and latitude of the pixels' centres."""
    from pyproj import Transformer

    rows, cols = pixels // region.grid.width + 0.5, pixels % region.grid.width + 0.5
    t = region.grid.transform
    x, y = t.a * cols + t.b * rows + t.c, t.d * cols + t.e * rows + t.f
    moved = Transformer.from_crs(region.grid.crs, "EPSG:4326", always_xy=True).transform(x, y)
    return np.column_stack(moved)
