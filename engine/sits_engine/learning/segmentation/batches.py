"""Batches of crops from labelled windows: places, dates, symmetries, normalisation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sits_engine.learning.segmentation.flips import Turning, draw, turned
from sits_engine.learning.segmentation.steps import EVERYTHING
from sits_engine.models.card import BandCard
from sits_engine.samples.dates import evenly
from sits_engine.samples.windows import WindowSet

Ints = npt.NDArray[np.int64]
#: Places from which crops are cut: (window, first row, first column) in pixels of the images.
Place = tuple[int, int, int]


@dataclass(frozen=True)
class Cutting:
    """How crops are made.

    Attributes:
        window: side of a crop, pixels of the images.
        n_dates: dates that the network is given.
        turning: symmetries drawn in training.
        leave_out: in training each usable date is left out with this chance before dates are chosen evenly,
            as long as `n_dates` are left: other dates every time, always in order and over the whole season.
    """

    window: int
    n_dates: int
    turning: Turning = "all"
    leave_out: float = 0.3


@dataclass
class Batch:
    """B crops as the networks take them.

    Attributes:
        images: (B, T, C, H, W) float32, normalised; 0 where not valid.
        positions: (B, T) int64 days.
        date_mask: (B, T) bool, False for padding and for dates of which the crop has no clear pixel.
        labels: (B, H * scale, W * scale) int64, < 0 unknown.
    """

    images: Tensor
    positions: Tensor
    date_mask: Tensor
    labels: Tensor

    @property
    def inputs(self) -> tuple[Tensor, Tensor, Tensor]:
        """Arguments of a network."""
        return self.images, self.positions, self.date_mask


@dataclass
class RawBatch:
    """A batch as it was cut: physical values on the CPU, normalised where it is used."""

    values: Tensor
    valid: Tensor
    positions: Tensor
    labels: Tensor

    def pinned(self) -> RawBatch:
        """In memory from which a CUDA card can copy while it computes."""
        return RawBatch(
            self.values.pin_memory(),
            self.valid.pin_memory(),
            self.positions.pin_memory(),
            self.labels.pin_memory(),
        )


class Cutter:
    """Cuts crops out of windows.

    Args:
        windows: where to cut; its arrays are shared, not copied.
        bands: normalisation of each band, in the order of `windows.bands`.
        cutting: how to cut.
        device: where batches are used.
    """

    def __init__(
        self, windows: WindowSet, bands: Sequence[BandCard], cutting: Cutting, device: torch.device
    ) -> None:
        if [band.name for band in bands] != list(windows.bands):
            raise ValueError(f"normalisation of {[b.name for b in bands]} for bands {list(windows.bands)}")
        if cutting.window > min(windows.size):
            raise ValueError(f"crops of {cutting.window} pixels from windows of {windows.size}")
        self.windows, self.cutting, self.device = windows, cutting, device
        #: (M,) windows that hold a known pixel; others can't be drawn
        self.usable = np.flatnonzero((windows.labels >= 0).any(axis=(1, 2)))
        self._mean = torch.tensor([b.mean for b in bands], device=device)[:, None, None]
        self._factor = 1.0 / torch.tensor([b.std for b in bands], device=device)[:, None, None]

    def drawn(
        self, index: npt.NDArray[np.integer], rng: np.random.Generator, share: slice | Ints = EVERYTHING
    ) -> RawBatch:
        """One random crop of each of these windows: same generator state, same batch.

        A crop holds one known pixel drawn from those of its window, and lies anywhere around it. All pixels
        are about equally likely then, and no crop is without a label.

        Args:
            share: which crops of the batch to cut; chance is drawn for all.
        """
        places = [(int(i), *self._place(int(i), rng)) for i in index]
        symmetries = draw(len(places), self.cutting.turning, rng)
        seeds = rng.integers(0, 2**63, len(places))
        mine = np.arange(len(places))[share]
        return self._cut([places[i] for i in mine], symmetries[mine], seeds[mine])

    def at(self, places: Sequence[Place]) -> RawBatch:
        """Crops at these places, unturned, with dates chosen evenly: nothing is left to chance."""
        return self._cut(places, np.zeros(len(places), np.int64), None)

    def on_device(self, raw: RawBatch) -> Batch:
        """Move and normalise; doesn't wait for a CUDA card."""
        values, valid, positions, labels = (
            part.to(self.device, non_blocking=True)
            for part in (raw.values, raw.valid, raw.positions, raw.labels)
        )
        images = (values - self._mean) * self._factor * valid.unsqueeze(2)
        return Batch(images, positions, valid.flatten(2).any(2), labels)

    def _place(self, i: int, rng: np.random.Generator) -> tuple[int, int]:
        """First row and column of a crop around a known pixel."""
        scale, side = self.windows.scale, self.cutting.window
        labels = self.windows.labels[i]
        known = np.flatnonzero(labels >= 0)
        if not len(known):
            raise ValueError(f"window {i} holds no known pixel")
        pixel = np.divmod(known[rng.integers(len(known))], labels.shape[1])
        at = []
        for fine, length in zip(pixel, self.windows.size, strict=True):
            inside = int(fine) // scale
            at.append(int(rng.integers(max(0, inside - side + 1), min(inside, length - side), endpoint=True)))
        return at[0], at[1]

    def _cut(self, places: Sequence[Place], symmetries: Ints, seeds: Ints | None) -> RawBatch:
        """Dates are left out by the seeds; None: none is."""
        windows, side, n = self.windows, self.cutting.window, self.cutting.n_dates
        scale, bands = windows.scale, len(windows.bands)
        values = np.zeros((len(places), n, bands, side, side), np.float32)
        valid = np.zeros((len(places), n, side, side), np.bool_)
        positions = np.zeros((len(places), n), np.int64)
        labels = np.zeros((len(places), side * scale, side * scale), np.int64)
        for b, ((i, row, col), symmetry) in enumerate(zip(places, symmetries, strict=True)):
            here = np.s_[..., row : row + side, col : col + side]
            fine = np.s_[row * scale : (row + side) * scale, col * scale : (col + side) * scale]
            clear = windows.valid[i][here]
            share = clear.mean(axis=(1, 2), dtype=np.float32)
            usable = share > 0 if seeds is None else self._left(share > 0, int(seeds[b]))
            dates, used = evenly(windows.positions[i], usable, n, clear=share)
            values[b] = turned(windows.values[i][here][dates], int(symmetry))
            valid[b] = turned(clear[dates] & used[:, None, None], int(symmetry))
            positions[b] = windows.positions[i][dates]
            labels[b] = turned(windows.labels[i][fine], int(symmetry))
        raw = (torch.from_numpy(array) for array in (values, valid, positions, labels))
        return RawBatch(*raw)

    def _left(self, usable: npt.NDArray[np.bool_], seed: int) -> npt.NDArray[np.bool_]:
        """Usable dates of which some were left out; never fewer than the network takes, where there are."""
        index = np.flatnonzero(usable)
        spare = len(index) - self.cutting.n_dates
        if spare <= 0:
            return usable
        out, rng = usable.copy(), np.random.default_rng(seed)
        gone = min(spare, int(rng.binomial(len(index), self.cutting.leave_out)))
        out[rng.choice(index, gone, replace=False)] = False
        return out


def normalisation(windows: WindowSet, index: Iterable[int] | None = None) -> list[BandCard]:
    """Mean and deviation of each band over valid pixels; a constant band keeps deviation 1.

    Args:
        windows: as gathered.
        index: the windows that count: those of training. None: all.
    """
    sums, squares, count = np.zeros(len(windows.bands)), np.zeros(len(windows.bands)), 0
    for i in range(len(windows)) if index is None else index:
        count += int(windows.valid[i].sum())
        # 0 where not valid: sums over everything are sums over the valid ones
        wide = windows.values[i].astype(np.float64)
        sums += wide.sum(axis=(0, 2, 3))
        squares += np.square(wide).sum(axis=(0, 2, 3))
    mean = sums / max(1, count)
    std = np.sqrt(np.maximum(squares / max(1, count) - mean**2, 0))
    return [
        BandCard(name=name, mean=float(m), std=float(s) if s > 1e-6 else 1.0)
        for name, m, s in zip(windows.bands, mean, std, strict=True)
    ]
