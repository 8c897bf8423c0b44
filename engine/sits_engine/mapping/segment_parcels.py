"""Parcels from a segmentation network: the mean of the probabilities of their pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from sits_engine.mapping.journal import Journal
from sits_engine.mapping.parcel_sums import ParcelPixels, ParcelTotals, Sums
from sits_engine.mapping.parcels import Parcels
from sits_engine.mapping.pipeline import Readable
from sits_engine.mapping.segment_tiles import SegmentTiles
from sits_engine.series.types import Window


def classify_parcels(
    series: Readable,
    parcels: Parcels,
    bands: Sequence[str],
    segments: SegmentTiles,
    tile_size: int,
    journal: Journal,
    tick: Callable[[float], None],
    mapped: tuple[Window, ParcelTotals] | None = None,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Probabilities (N, K), zeros where nothing is clear, and (N,) dates seen, of each parcel.

    The network is run on the tiles that hold pixels of parcels, and there on the windows that these pixels
    need; finished tiles of the journal are not computed again. The pixels (all that lie inside the parcel
    without its edge) are those of the series' grid: of a finer answer each gives the mean of its parts.

    Args:
        series: what to read.
        parcels: their pixels are numbers on the series' grid.
        bands: the series' names of the model's bands, in the model's order.
        segments: the model on the series' grid.
        tile_size: side of a tile in pixels.
        journal: keeps what is finished.
        tick: progress 0..1; raises to cancel.
        mapped: a map's window, and what its pixels added while it was made: the network is run only where
            parcels reach beyond it.
    """
    every = ParcelPixels.of(parcels.pixels, segments.grid.width)
    totals = ParcelTotals(len(parcels.pixels), len(segments.predictor.card.classes), len(series.positions))
    if mapped is not None:
        every, totals = every.beyond(mapped[0]), mapped[1]
    tile = every.row // tile_size * (segments.grid.width // tile_size + 1) + every.col // tile_size
    order = np.argsort(tile, kind="stable")
    bounds = np.flatnonzero(np.diff(tile[order], prepend=-1, append=-1))
    done = 0
    for start, end in pairwise(bounds):
        part = order[start:end]
        name = f"parcels-tile-{tile[part[0]]}"
        if name not in journal.done:

            def step(pixels: int, share: float = done / len(every)) -> None:
                tick(share)  # only to look at the cancel flag

            step(0)
            sums, whole = _measured(series, bands, segments, every[part], step)
            journal.store(name, sums, for_good=whole)
        totals.add(journal.load(name))
        done += len(part)
        tick(done / len(every))
    return totals.result()


def _measured(
    series: Readable,
    bands: Sequence[str],
    segments: SegmentTiles,
    pixels: ParcelPixels,
    step: Callable[[int], None],
) -> tuple[Sums, bool]:
    """What the pixels of one tile add to the parcels that own them; and whether all images were read."""
    top, left = int(pixels.row.min()), int(pixels.col.min())
    tile = Window(top, left, int(pixels.row.max()) + 1 - top, int(pixels.col.max()) + 1 - left)
    area = segments.area(tile)
    cube = series.read(area, bands)
    wanted = pixels.mask(tile, segments.scale)
    p = segments.probabilities(cube, tile, wanted, series.positions, step)
    return pixels.measured(p, tile, cube, area), not cube.missing
