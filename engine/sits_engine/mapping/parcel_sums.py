"""What the tiles of a map add to the parcels whose pixels they hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from sits_engine.series.types import Cube, Window

Ints = npt.NDArray[np.int64]
#: Half of the memory: parcels may hold most pixels of a whole satellite tile.
Small = npt.NDArray[np.int32]
#: Of the parcels of one tile: `parcels` (M,) their numbers, `sums` (M, K) of probabilities, `pixels` (M,)
#: that were seen, `dates` (M, T) bool at which one of them was clear.
Sums = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class ParcelPixels:
    """Pixels of parcels, in order of rows.

    Attributes:
        owner: (P,) number of the parcel.
        row, col: (P,) on the grid of the series.
        parcels: how many there are, with those that have no pixel.
    """

    owner: Small
    row: Small
    col: Small
    parcels: int

    @classmethod
    def of(cls, pixels: Sequence[Ints], width: int) -> Self:
        """Those of parcels 0, 1, …, given as flat numbers on a grid of that width."""
        owner = np.repeat(np.arange(len(pixels), dtype=np.int32), [len(own) for own in pixels])
        flat = np.concatenate([*pixels, np.zeros(0, np.int64)])
        order = np.argsort(flat, kind="stable")
        owner, flat = owner[order], flat[order]
        row, col = (flat // width).astype(np.int32), (flat % width).astype(np.int32)
        return cls(owner, row, col, len(pixels))

    def __len__(self) -> int:
        return len(self.owner)

    def __getitem__(self, index: Any) -> ParcelPixels:
        return ParcelPixels(self.owner[index], self.row[index], self.col[index], self.parcels)

    def within(self, window: Window) -> ParcelPixels:
        """Those that lie in a window."""
        start, end = np.searchsorted(self.row, [window.row, window.row + window.height])
        col = self.col[start:end]
        return self[start + np.flatnonzero((col >= window.col) & (col < window.col + window.width))]

    def beyond(self, window: Window) -> ParcelPixels:
        """Those that don't."""
        row, col = self.row - window.row, self.col - window.col
        return self[(row < 0) | (row >= window.height) | (col < 0) | (col >= window.width)]

    def mask(self, window: Window, scale: int) -> npt.NDArray[np.bool_]:
        """(H * scale, W * scale) bool, where they lie in the window that holds them all."""
        found = np.zeros((window.height, window.width), bool)
        found[self.row - window.row, self.col - window.col] = True
        return found.repeat(scale, axis=0).repeat(scale, axis=1)

    def measured(self, p: npt.NDArray[np.float32], window: Window, cube: Cube, area: Window) -> Sums:
        """What they add to their parcels; a pixel counts with the mean of its parts on a finer map.

        Args:
            p: (K, H * s, W * s) probabilities of the window, which holds all of the pixels.
            window: of the grid of the series.
            cube: what was read for it.
            area: the window of the cube.
        """
        row, col = self.row - window.row, self.col - window.col
        s = p.shape[1] // window.height
        # part by part: all parts at once would take the memory of another tile
        each = np.zeros((len(p), len(self)))
        for part in range(s * s):
            each += p[:, row * s + part // s, col * s + part % s]
        valid = cube.valid[:, self.row - area.row, self.col - area.col]
        who, index = np.unique(self.owner, return_inverse=True)
        sums = np.stack([np.bincount(index, one / s**2, len(who)) for one in each], axis=1)
        dates = np.stack([np.bincount(index, one, len(who)) > 0 for one in valid], axis=1)
        pixels = np.bincount(index, valid.any(axis=0), len(who)).astype(np.int64)
        return {"parcels": who, "sums": sums, "pixels": pixels, "dates": dates}


class ParcelTotals:
    """Sums over all tiles.

    Args:
        parcels, classes, dates: how many there are.
    """

    def __init__(self, parcels: int, classes: int, dates: int) -> None:
        self._total, self._pixels = np.zeros((parcels, classes)), np.zeros(parcels, np.int64)
        self._dates = np.zeros((parcels, dates), bool)

    def add(self, sums: Sums) -> None:
        """Those of one tile."""
        who = sums["parcels"]
        self._total[who] += sums["sums"]
        self._pixels[who] += sums["pixels"]
        self._dates[who] |= sums["dates"]

    def result(self) -> tuple[npt.NDArray[np.float32], Ints]:
        """(N, K) mean probabilities, zeros where nothing is clear, and (N,) dates seen."""
        found = (self._total / np.maximum(self._pixels, 1)[:, None]).astype(np.float32)
        return found, self._dates.sum(axis=1).astype(np.int64)
