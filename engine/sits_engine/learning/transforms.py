"""From ragged pixel sets to training batches: draw pixels and dates, shift, normalise.

Everything works on whole batches with index tensors; nothing loops over parcels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sits_engine.models.card import BandCard
from sits_engine.samples.pixel_sets import PixelSets

#: Published scaling of digital numbers, as band cards for reflectance (DN / 10000): DN / 65535.
PUBLISHED_STD = 6.5535
#: Published divisors of perimeter (m), area (m2), perimeter / area, cover ratio.
GEOMETRY_DIVISORS = (40000.0, 1e8, 40000.0, 1.0)
#: All samples of a batch.
EVERYTHING = slice(None)


@dataclass(frozen=True)
class Sampling:
    """How a training sample is drawn from a parcel.

    Attributes:
        pixels: pixels of each sample; smaller parcels are padded with copies that don't count.
        dates: dates of each sample, drawn without repetition and kept in order; None or more than
            there are: all dates.
        shift: one whole number of days in -shift..shift is added to all positions; 0 switches it off.
        small_share: share of the samples that get few pixels, so that one model serves parcels and
            single pixels; 0 is the published behaviour.
        small_pixels: such samples get 1 to this many.
        mask_dates: clouded pixels don't count (published: every pixel of every date does).
    """

    pixels: int = 64
    dates: int | None = 30
    shift: int = 0
    small_share: float = 0.25
    small_pixels: int = 8
    mask_dates: bool = True


@dataclass
class Batch:
    """What a network gets.

    Attributes:
        pixels: (B, T, C, S) float32 normalised; stored channels last, as the fast training step wants it.
        pixel_mask: (B, T, S) bool.
        positions: (B, T) float32 days.
        date_mask: (B, T) bool.
        labels: (B,) int64.
    """

    pixels: Tensor
    pixel_mask: Tensor
    positions: Tensor
    date_mask: Tensor
    labels: Tensor

    def to(self, device: torch.device) -> Batch:
        """The batch on `device`, copied without waiting where that is possible."""
        if device.type == "cpu":
            return self
        pinned = device.type == "cuda"

        def move(tensor: Tensor) -> Tensor:
            return (tensor.pin_memory() if pinned else tensor).to(device, non_blocking=True)

        return Batch(
            pixels=move(self.pixels.transpose(2, 3)).transpose(2, 3),
            pixel_mask=move(self.pixel_mask),
            positions=move(self.positions),
            date_mask=move(self.date_mask),
            labels=move(self.labels),
        )

    @property
    def inputs(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(pixels, pixel_mask, positions, date_mask): the arguments of a network."""
        return self.pixels, self.pixel_mask, self.positions, self.date_mask


class Collator:
    """Draws batches from pixel sets.

    Args:
        sets: where to draw from; its arrays are shared, not copied.
        bands: normalisation of each band, in the order of `sets.bands`.
        sampling: how to draw.
    """

    def __init__(self, sets: PixelSets, bands: Sequence[BandCard], sampling: Sampling) -> None:
        if [band.name for band in bands] != list(sets.bands):
            raise ValueError(f"normalisation of {[b.name for b in bands]} given for bands {list(sets.bands)}")
        self.sampling = sampling
        self.sets = sets
        self._values = torch.from_numpy(sets.values).reshape(-1, len(bands))
        self._valid = torch.from_numpy(sets.valid).reshape(-1)
        self._labels = torch.from_numpy(sets.labels)
        self._sizes = sets.n_pixels
        self._real = real_dates(sets.positions)
        self._mean = torch.tensor([band.mean for band in bands])
        self._factor = 1.0 / torch.tensor([band.std for band in bands])

    def __call__(
        self, index: npt.NDArray[np.int64], rng: np.random.Generator, share: slice = EVERYTHING
    ) -> Batch:
        """Draw one sample from each of the sets `index`; the same generator state, the same batch.

        Args:
            index: (B,) numbers of sets.
            rng: source of chance.
            share: which samples of the batch to return; chance is drawn for all.
        """
        rule = self.sampling
        limit = draw_limits(len(index), rule, rng)
        pixel, counts = draw_pixels(self._sizes[index], limit, rule.pixels, rng)
        date = draw_dates(self._real[index], rule.dates, rng)
        moved = rng.integers(-rule.shift, rule.shift, (len(index), 1), endpoint=True) if rule.shift else None
        index, pixel, counts, date = index[share], pixel[share], counts[share], date[share]
        pixel += self.sets.offsets[index][:, None]
        n_dates = self.sets.positions.shape[1]
        # One row number for each (set, date, pixel): the gather writes channels last.
        rows = torch.from_numpy(pixel[:, None, :] * n_dates + date[:, :, None])
        shape = rows.shape
        rows = rows.reshape(-1)
        values = self._values.index_select(0, rows).sub_(self._mean).mul_(self._factor)
        real = torch.from_numpy(np.take_along_axis(self._real[index], date, 1))
        pixel_mask = torch.from_numpy(counts).unsqueeze(1) & real.unsqueeze(2)
        if rule.mask_dates:
            pixel_mask = pixel_mask & self._valid.index_select(0, rows).view(shape)
        positions = np.take_along_axis(self.sets.positions[index], date, 1).astype(np.float32)
        if moved is not None:
            positions += moved[share]
        return Batch(
            pixels=values.view(*shape, -1).transpose(2, 3),
            pixel_mask=pixel_mask,
            positions=torch.from_numpy(positions),
            date_mask=pixel_mask.any(-1),
            labels=self._labels[torch.from_numpy(index)],
        )


def real_dates(positions: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
    """(N, T) True for dates of the set's own series: padding repeats the last position."""
    real = np.ones(positions.shape, np.bool_)
    real[:, 1:] = np.diff(positions, axis=1) != 0
    return real


def draw_limits(n: int, rule: Sampling, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """(n,) most pixels that each sample may have: `rule.pixels`, or few for `rule.small_share` of them."""
    limit = np.full(n, rule.pixels, np.int64)
    if rule.small_share > 0:
        few = rng.integers(1, min(rule.small_pixels, rule.pixels), n, endpoint=True)
        limit = np.where(rng.random(n) < rule.small_share, few, limit)
    return limit


def draw_pixels(
    sizes: npt.NDArray[np.int64], limit: npt.NDArray[np.int64], pixels: int, rng: np.random.Generator
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Pixels of each sample, the same for all its dates.

    A set of up to `limit` pixels keeps them in order; of a larger one `limit` distinct pixels are
    drawn. The rest up to `pixels` is filled with copies of the first.

    Args:
        sizes: (B,) pixels that each set has, at least 1.
        limit: (B,) most pixels that may count, at most `pixels`.
        pixels: width of the result.

    Returns:
        index (B, pixels) into the set, and counts (B, pixels) True where the pixel is no filling.
    """
    widest = max(int(sizes.max(initial=1)), pixels)
    column = np.arange(widest)
    # Smallest random keys = distinct pixels; without a draw the keys are the pixels' own numbers.
    keys = np.where((sizes > limit)[:, None], 0.0, column).astype(np.float32)
    drawn = np.flatnonzero(sizes > limit)
    keys[drawn] = rng.random((len(drawn), widest), dtype=np.float32)
    keys[column >= sizes[:, None]] = np.inf
    if widest > pixels:
        chosen = np.argpartition(keys, pixels - 1, axis=1)[:, :pixels]
        order = np.argsort(np.take_along_axis(keys, chosen, 1), axis=1, kind="stable")
        chosen = np.take_along_axis(chosen, order, 1)
    else:
        chosen = np.argsort(keys, axis=1, kind="stable")
    counts = np.arange(pixels) < np.minimum(sizes, limit)[:, None]
    return np.where(counts, chosen, chosen[:, :1]).astype(np.int64), counts


def draw_dates(
    real: npt.NDArray[np.bool_], dates: int | None, rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """(B, min(dates, T)) distinct dates in chronological order, real ones before padding.

    Args:
        real: (B, T) as `real_dates` gives it.
        dates: how many; None or at least T: all, without a draw.
    """
    n, total = real.shape
    if dates is None or dates >= total:
        return np.broadcast_to(np.arange(total), (n, total))
    keys = rng.random((n, total), dtype=np.float32)
    keys[~real] = np.inf
    return np.sort(np.argpartition(keys, dates - 1, axis=1)[:, :dates], axis=1)


def normalise_geometry(features: Tensor) -> Tensor:
    """Published scaling of (..., 4) perimeter, area, perimeter / area, cover ratio."""
    return features / torch.tensor(GEOMETRY_DIVISORS, dtype=features.dtype)
