"""The minimum mapping unit: patches of a class that are too small take the class of a neighbour.

A patch is a set of pixels of one class that touch along an edge. GDAL's sieve leaves small patches whose
neighbours are all small as well, so it is not used here: patches merge until none below the unit is left.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from rasterio.windows import Window as RioWindow
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from sits_engine.errors import InputError
from sits_engine.mapping.tiles import tiles_of
from sits_engine.series.types import Window, intersect

#: Pixels of a block's side; with its margin it needs some 500 MiB if every pixel is a patch and the unit
#: the largest, and below 100 MiB in maps as they are.
BLOCK = 1024
#: Patches of more pixels than this would need blocks that are too large.
MAX_PIXELS = 1024


def pixels_of(hectares: float, pixel_ha: float) -> int:
    """Smallest number of pixels that reaches `hectares`.

    Raises:
        InputError: more than `MAX_PIXELS`.
    """
    # A rounding error of the division must not add a pixel.
    pixels = max(1, math.ceil(round(hectares / pixel_ha, 6)))
    if pixels > MAX_PIXELS:
        raise InputError(
            f"A minimum mapping unit of {hectares:g} ha is {pixels} pixels; at most {MAX_PIXELS} "
            f"({MAX_PIXELS * pixel_ha:.4g} ha) are possible.",
            "Choose a smaller unit.",
        )
    return pixels


def sieve_band(
    source: Any, target: Any, pixels: int, tick: Callable[[float], None] = lambda share: None
) -> int:
    """Copy band 1 of `source` to band 1 of `target`; patches below `pixels` join their largest neighbour.

    Nodata (0) is neither filled nor taken for a neighbour, so a patch that nodata and the image's edge
    enclose keeps its class. No other patch below `pixels` is left. The image is worked off once, block by
    block with a margin and in place: only whole patches change, so patches never shrink, and what reaches
    from a block to the end of its margin is large enough. Which of several neighbours is the largest is
    judged by what the block and its margin show of them.

    Args:
        source: open rasterio dataset, uint8.
        target: open rasterio dataset of the same size, writable and readable.
        pixels: patches of at least this many pixels stay.
        tick: progress, 0..1.

    Returns:
        Number of pixels that changed.
    """
    whole = Window(0, 0, source.height, source.width)
    blocks = list(tiles_of(whole, BLOCK))
    for block in blocks:
        target.write(source.read(1, window=_rio(block)), 1, window=_rio(block))
    # A patch below the limit that touches the block reaches at most `pixels` out of it; the rest shows
    # more of its neighbours.
    margin = min(MAX_PIXELS, pixels) + 32
    for number, block in enumerate(blocks if pixels > 1 else ()):
        grown = Window(
            block.row - margin, block.col - margin, block.height + 2 * margin, block.width + 2 * margin
        )
        area = intersect(grown, whole) or whole
        before = target.read(1, window=_rio(area))
        inside = (
            area.row > 0,
            area.row + area.height < whole.height,
            area.col > 0,
            area.col + area.width < whole.width,
        )
        after = merge_small(before, pixels, inside)
        if after is not before:
            target.write(after, 1, window=_rio(area))
        tick((number + 1) / len(blocks))
    changed = 0
    for block in blocks:
        window = _rio(block)
        changed += int((source.read(1, window=window) != target.read(1, window=window)).sum())
    return changed


def merge_small(
    values: npt.NDArray[np.uint8], pixels: int, cut: tuple[bool, bool, bool, bool] = (False,) * 4
) -> npt.NDArray[np.uint8]:
    """`values` without patches below `pixels`, except those that have no neighbour.

    Args:
        values: (h, w) classes, 0 nodata.
        pixels: patches of at least this many pixels stay.
        cut: whether the image goes on beyond the top, bottom, left and right edge. A patch that touches such
            an edge is not known whole: it stays, whatever its size.
    """
    labels, count = patches(values)
    size = np.bincount(labels.ravel(), minlength=count + 1)
    if not (size[1:] < pixels).any():
        return values
    kind = np.zeros(count + 1, np.uint8)
    kind[labels] = values
    fixed = np.zeros(count + 1, bool)
    fixed[0] = True
    for goes_on, edge in zip(cut, (labels[0], labels[-1], labels[:, 0], labels[:, -1]), strict=True):
        if goes_on:
            fixed[edge] = True
    pairs = _neighbours(labels)
    place = np.arange(count + 1)  # patch of `labels` -> what it has become
    while len(pairs):
        small = (size < pixels) & ~fixed
        both = np.concatenate([pairs, pairs[:, ::-1]])
        both = both[small[both[:, 0]]]
        if not len(both):
            break
        # Each small patch follows its largest neighbour if that is larger (of equals, the later one is), so
        # that nobody follows in a circle; it ends where the one it follows ends.
        order = np.argsort(np.where(fixed, np.maximum(size, pixels), size), kind="stable")
        rank = np.empty_like(order)
        rank[order] = np.arange(len(order))
        best = rank.copy()
        np.maximum.at(best, both[:, 0], rank[both[:, 1]])
        follows = order[best]
        while (follows[follows] != follows).any():
            follows = follows[follows]
        kind = kind[follows]
        # Neighbours of one class are one patch now. At least one pair was, so this ends.
        same = kind[pairs[:, 0]] == kind[pairs[:, 1]]
        links = coo_array((np.ones(same.sum(), bool), tuple(pairs[same].T)), shape=(len(size),) * 2)
        number, group = connected_components(links, directed=False)
        size = np.bincount(group, size, number).astype(np.int64)
        fixed = np.bincount(group, fixed, number) > 0
        merged = np.zeros(number, np.uint8)
        merged[group] = kind
        kind, place = merged, group[place]
        pairs = _distinct(group[pairs[~same]])
    found: npt.NDArray[np.uint8] = kind[place][labels]
    return found


def patches(values: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.int32], int]:
    """(h, w) number of each pixel's patch, 1, 2, …; 0 is nodata. And how many there are."""
    labels = np.zeros(values.shape, np.int32)
    count = 0
    for value in np.flatnonzero(np.bincount(values.ravel(), minlength=256)):
        if value:
            mask = values == value
            found, number = ndimage.label(mask)
            labels[mask] = found[mask] + count
            count += number
    return labels, count


def _neighbours(labels: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
    """(P, 2) pairs of patches that touch, each once."""
    found = []
    for one, other in ((labels[:-1], labels[1:]), (labels[:, :-1], labels[:, 1:])):
        touch = (one != other) & (one > 0) & (other > 0)
        found.append(np.stack([one[touch], other[touch]], axis=1))
    return _distinct(np.concatenate(found).astype(np.int64))


def _distinct(pairs: npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
    """The pairs, each once and in either order."""
    low, high = pairs.min(axis=1).astype(np.int64), pairs.max(axis=1).astype(np.int64)
    codes = np.unique(low << 32 | high)
    return np.stack([codes >> 32, codes & 0xFFFFFFFF], axis=1)


def _rio(window: Window) -> RioWindow:
    return RioWindow(window.col, window.row, window.width, window.height)
