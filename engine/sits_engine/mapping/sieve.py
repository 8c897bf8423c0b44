"""The minimum mapping unit: patches of a class that are too small take the class of a neighbour."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from rasterio.features import sieve
from rasterio.windows import Window as RioWindow

from sits_engine.errors import InputError
from sits_engine.mapping.tiles import intersect, tiles_of
from sits_engine.series.types import Window

#: Pixels of a block's side; memory stays below some 200 MiB even if every pixel is a patch.
BLOCK = 2048
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

    Patches are 4-connected. Nodata (0) is neither filled nor taken for a neighbour, so an island in nodata
    keeps its class. The image is worked off in blocks with a margin: which patches are too small is exact
    across the blocks' borders, the choice among several neighbours compares their sizes within the block.

    Args:
        source: open rasterio dataset, uint8.
        target: open rasterio dataset of the same size, writable.
        pixels: patches of at least this many pixels stay.
        tick: progress, 0..1.

    Returns:
        Number of pixels that changed.
    """
    whole = Window(0, 0, source.height, source.width)
    # A patch below the limit that touches the block reaches at most this far out of it.
    margin = min(MAX_PIXELS, pixels) + 1
    blocks = list(tiles_of(whole, BLOCK))
    changed = 0
    for number, block in enumerate(blocks):
        grown = Window(
            block.row - margin, block.col - margin, block.height + 2 * margin, block.width + 2 * margin
        )
        area = intersect(grown, whole) or whole
        before = source.read(1, window=RioWindow(area.col, area.row, area.width, area.height))
        after = sieve(before, pixels, mask=before != 0, connectivity=4) if pixels > 1 else before
        after = np.where(before == 0, 0, after).astype(np.uint8)
        inner = (
            slice(block.row - area.row, block.row - area.row + block.height),
            slice(block.col - area.col, block.col - area.col + block.width),
        )
        changed += int((before[inner] != after[inner]).sum())
        target.write(after[inner], 1, window=RioWindow(block.col, block.row, block.width, block.height))
        tick((number + 1) / len(blocks))
    return changed
