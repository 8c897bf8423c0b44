"""The windows in which a map is computed: fixed size, aligned with the blocks of the files."""

from __future__ import annotations

from collections.abc import Iterator

from sits_engine.series.types import Window

#: Side of a tile in pixels, the usual block of a tiled GeoTIFF.
DEFAULT_TILE = 256
#: One window of the series may take this much memory (bytes); four or five are alive at a time.
MAX_CUBE_BYTES = 64 * 2**20
#: GDAL's block cache (MB) while maps are made. Tiles follow the blocks of the files, so that blocks are
#: hardly ever wanted twice: a larger one takes memory and processor seconds (64 instead of 32: 100 MiB).
CACHE_MB = "32"


def tile_size_for(dates: int, bands: int, itemsize: int = 2, largest: int = DEFAULT_TILE) -> int:
    """Side of a tile so that a window of the series stays below `MAX_CUBE_BYTES`.

    Args:
        dates: dates of the series.
        bands: bands that the model reads.
        itemsize: bytes of one value in the files.
        largest: side that is wished.

    Returns:
        `largest`, or its half, quarter, … (at least 32) for long series.
    """
    per_pixel = dates * (bands * itemsize + 2)  # values, plus the masks valid and observed
    side = largest
    while side >= 64 and side * side * per_pixel > MAX_CUBE_BYTES:
        side //= 2
    return side


def tiles_of(window: Window, size: int) -> Iterator[Window]:
    """Windows of at most size x size pixels that cover `window`, row by row.

    The cuts lie at multiples of `size` of the whole grid, so that no block of a file is decoded for two
    tiles, wherever the region of interest begins.
    """
    if size < 1:
        raise ValueError("tile size must be positive")
    row = window.row
    while row < window.row + window.height:
        next_row = min((row // size + 1) * size, window.row + window.height)
        col = window.col
        while col < window.col + window.width:
            next_col = min((col // size + 1) * size, window.col + window.width)
            yield Window(row, col, next_row - row, next_col - col)
            col = next_col
        row = next_row
