"""Parcels from a segmentation network: the mean of the probabilities of their pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from sits_engine.mapping.journal import Journal
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
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Probabilities (N, K), zeros where nothing is clear, and (N,) dates seen, of each parcel.

    The network is run on the tiles that hold pixels of parcels, and there on the windows that these pixels
    need; finished tiles of the journal are not computed again. The pixels are those that other models read
    (inside the parcel without its edge, at most 128), on the series' grid: of a finer answer each gives the
    mean of its parts.

    Args:
        series: what to read.
        parcels: their pixels are numbers on the series' grid.
        bands: the series' names of the model's bands, in the model's order.
        segments: the model on the series' grid.
        tile_size: side of a tile in pixels.
        journal: keeps what is finished.
        tick: progress 0..1; raises to cancel.
    """
    n, k = len(parcels.pixels), len(segments.predictor.card.classes)
    total, pixels = np.zeros((n, k)), np.zeros(n, np.int64)
    dates = np.zeros((n, len(series.positions)), bool)
    owner = np.repeat(np.arange(n), [len(own) for own in parcels.pixels])
    place = np.concatenate([*parcels.pixels, np.zeros(0, np.int64)])
    row, col = np.divmod(place, segments.grid.width)
    tile = row // tile_size * (segments.grid.width // tile_size + 1) + col // tile_size
    order = np.argsort(tile, kind="stable")
    bounds = np.flatnonzero(np.diff(tile[order], prepend=-1, append=-1))
    done = 0
    for start, end in pairwise(bounds):
        part = order[start:end]
        name = f"parcels-tile-{tile[part[0]]}"
        if name not in journal.done:

            def step(pixels: int, share: float = done / len(place)) -> None:
                tick(share)  # only to look at the cancel flag

            step(0)
            journal.store(name, _measured(series, bands, segments, owner[part], row[part], col[part], step))
        stored = journal.load(name)
        who = stored["parcels"]
        total[who] += stored["sums"]
        pixels[who] += stored["pixels"]
        dates[who] |= stored["dates"]
        done += len(part)
        tick(done / len(place))
    found = (total / np.maximum(pixels, 1)[:, None]).astype(np.float32)
    return found, dates.sum(axis=1).astype(np.int64)


def _measured(
    series: Readable,
    bands: Sequence[str],
    segments: SegmentTiles,
    owner: npt.NDArray[np.int64],
    row: npt.NDArray[np.int64],
    col: npt.NDArray[np.int64],
    step: Callable[[int], None],
) -> dict[str, npt.NDArray[np.generic]]:
    """What the pixels (row, col) of one tile add to the parcels that own them."""
    top, left = int(row.min()), int(col.min())
    tile = Window(top, left, int(row.max()) + 1 - top, int(col.max()) + 1 - left)
    area = segments.area(tile)
    cube = series.read(area, bands)
    s = segments.scale
    wanted = np.zeros((tile.height, tile.width), bool)
    wanted[row - top, col - left] = True
    fine = wanted.repeat(s, axis=0).repeat(s, axis=1)
    p = segments.probabilities(cube, tile, fine, series.positions, step)
    coarse = p.reshape(len(p), tile.height, s, tile.width, s).mean(axis=(2, 4))
    each = coarse[:, row - top, col - left].T.astype(np.float64)
    valid = cube.valid[:, row - area.row, col - area.col].T
    who, index = np.unique(owner, return_inverse=True)
    sums = np.zeros((len(who), len(p)))
    np.add.at(sums, index, each)
    dates = np.zeros((len(who), valid.shape[1]), bool)
    np.logical_or.at(dates, index, valid)
    pixels = np.bincount(index, valid.any(axis=1), len(who)).astype(np.int64)
    return {"parcels": who, "sums": sums, "pixels": pixels, "dates": dates}
