"""How many bytes of its files a map reads."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rasterio.errors import RasterioError

from sits_engine.series.probe import in_threads, unreadable
from sits_engine.series.reader import rectangle
from sits_engine.series.remote import open_raster
from sits_engine.series.scenes import Band, over_network
from sits_engine.series.time_series import TimeSeries
from sits_engine.series.types import Window

#: Files and blocks of a file that are looked at; more are judged by these.
FILES, BLOCKS = 96, 64


@dataclass(frozen=True)
class Stored:
    """Bytes that lie under a window of a series.

    Attributes:
        bytes: of all dates and of the bands asked for, clouds included, as stored.
        files: that lie there.
        exact: told by the files (sizes of blocks), rather than judged by file size and share of area.
    """

    bytes: float
    files: int
    exact: bool


def stored_bytes(series: TimeSeries, bands: Sequence[str], window: Window) -> Stored:
    """What is read of a window.

    Args:
        series: the time series.
        bands: names as in `series.bands`; its mask counts, too.
        window: of the grid.

    Raises:
        InputError: an image is missing or damaged. EngineError: NETWORK.
    """
    names = {*bands} | ({series.mask.band} if series.mask is not None else set())
    parts: list[tuple[list[Band], tuple[int, int, int, int]]] = []
    for scenes in series.scenes:
        for scene in scenes:
            for href in scene.hrefs():
                used = [band for band in scene.bands if band.href == href and band.name in names]
                # minus half a pixel: a file that ends where the window begins isn't under it
                found = rectangle(used[0].grid, series.grid, window, -0.5) if used else None
                if found is not None:
                    parts.append((used, found))
    if not parts:
        return Stored(0.0, 0, True)
    step = -(-len(parts) // FILES)
    some = parts[::step]
    sizes = in_threads(_of_file, some)
    area, every = (sum(_area(box) * len(used) for used, box in group) for group in (some, parts))
    total = sum(size for size, _ in sizes) * every / area
    return Stored(total, len(parts), all(exact for _, exact in sizes))


def _area(box: tuple[int, int, int, int]) -> int:
    return (box[1] - box[0]) * (box[3] - box[2])


def _of_file(part: tuple[list[Band], tuple[int, int, int, int]]) -> tuple[float, bool]:
    """(bytes under (first row, end row, first column, end column) of a file, whether it tells)."""
    used, box = part
    href = used[0].href
    try:
        with open_raster(href) as image:
            if image.driver == "GTiff":
                return _of_blocks(image, [band.index for band in used], box), True
            whole = image.height * image.width
            # Nobody says how large a remote file is: as large as it would be in memory, at worst.
            size = os.path.getsize(href) if os.path.exists(href) else whole * _itemsize(image) * image.count
            return size * _area(box) / whole, False
    except RasterioError as error:
        raise unreadable(href, error) from (None if over_network(href) else error)


def _of_blocks(image: Any, indexes: list[int], box: tuple[int, int, int, int]) -> float:
    """Bytes of the blocks of a GeoTIFF that touch a rectangle, from some of them."""
    height, width = image.block_shapes[0]
    rows, cols = range(box[0] // height, -(-box[1] // height)), range(box[2] // width, -(-box[3] // width))
    places = [(row, col) for row in rows for col in cols]
    some = places[:: -(-len(places) // BLOCKS)]
    # blocks of one pixel interleaved image hold all bands
    own = indexes if image.interleaving.name != "pixel" else indexes[:1]
    found = [
        int(image.get_tag_item(f"BLOCK_SIZE_{col}_{row}", "TIFF", bidx=index) or 0)
        for row, col in some
        for index in own
    ]
    return sum(found) * len(places) / len(some)


def _itemsize(image: Any) -> int:
    return max(int(np.dtype(name).itemsize) for name in image.dtypes)
