"""What a step of an adaptation sees: views of samples, and batches of both regions joined."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from sits_engine.learning.adaptation.settings import AdaptSettings
from sits_engine.learning.transforms import Batch, Sampling, real_dates
from sits_engine.samples.pixel_sets import PixelSets

_FIELDS = ("pixels", "pixel_mask", "positions", "date_mask", "labels")


@dataclass
class Tally:
    """What the steps of one epoch add up to; tensors stay on the device until somebody asks.

    Attributes:
        source_loss, target_loss: one scalar a step.
        kept: confident target samples of each step; `seen` target samples in all.
        confidence: mean of the highest probabilities of each step.
        classes: (B,) most probable class of each target sample.
    """

    source_loss: list[Tensor] = field(default_factory=list)
    target_loss: list[Tensor] = field(default_factory=list)
    kept: list[Tensor] = field(default_factory=list)
    seen: int = 0
    confidence: list[Tensor] = field(default_factory=list)
    classes: list[Tensor] = field(default_factory=list)

    def shares(self, n_classes: int) -> Tensor:
        """(K,) float32 shares of the classes that the target samples were given, on the CPU."""
        counts = torch.bincount(torch.cat(self.classes), minlength=n_classes).float().cpu()
        return counts / counts.sum()


def strong_view(settings: AdaptSettings, *, mask_dates: bool) -> Sampling:
    """Some pixels, some dates, a random shift (spec timematch.md section 2)."""
    return Sampling(
        pixels=settings.pixels_per_set,
        dates=settings.dates_per_sample,
        shift=settings.shift_augmentation,
        mask_dates=mask_dates,
    )


def weak_view(settings: AdaptSettings, *, mask_dates: bool) -> Sampling:
    """Some pixels, all dates."""
    strong = strong_view(settings, mask_dates=mask_dates)
    return replace(strong, dates=None, shift=0, small_share=0.0)


def without_padding(view: Sampling, *regions: PixelSets) -> Sampling:
    """The view with no more dates than every set has: nothing is padded where regions are joined.

    The published form of the network attends to padding as to any date, so it must not see any.
    """
    fewest = min(int(real_dates(sets.positions).sum(1).min()) for sets in regions)
    return replace(view, dates=fewest if view.dates is None else min(view.dates, fewest))


def take(batch: Batch, keep: Tensor) -> Batch:
    """The samples of a batch where `keep` (B,) is True."""
    return Batch(*(getattr(batch, name)[keep] for name in _FIELDS))


def joined(a: Batch, b: Batch) -> Batch:
    """Both batches one after the other; the shorter series is padded with dates that don't count."""
    dates = max(a.positions.shape[1], b.positions.shape[1])
    pair = [_padded(a, dates), _padded(b, dates)]
    return Batch(*(torch.cat([getattr(one, name) for one in pair]) for name in _FIELDS))


def _padded(batch: Batch, dates: int) -> Batch:
    missing = dates - batch.positions.shape[1]
    if not missing:
        return batch
    pad = torch.nn.functional.pad
    return Batch(
        pixels=pad(batch.pixels, (0, 0, 0, 0, 0, missing)),
        pixel_mask=pad(batch.pixel_mask, (0, 0, 0, missing)),
        positions=pad(batch.positions, (0, missing)),
        date_mask=pad(batch.date_mask, (0, missing)),
        labels=batch.labels,
    )
