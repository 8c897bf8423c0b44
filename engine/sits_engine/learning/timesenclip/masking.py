"""Hiding months while training, so that the encoder works with quarters, a single image, or gaps.

Source: shared/spec/timesenclip.md 4.2. The release draws once a batch and takes the median of what the first
layer makes of the months; here each place draws for itself, and the median is that of the images, as it is
when one image of the year is all there is. `batchwise` is the released form.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, Self

import numpy as np
import torch
from torch import Tensor

from sits_engine.models.timesenclip.encoder import SatelliteEncoder
from sits_engine.models.timesenclip.steps import MONTHS, YEAR, lower_median

#: What is done to a place.
WHOLE, MEDIAN, QUARTER, RANDOM = range(4)
Masking = Literal["none", "mixed", "all", "random", "spectral"]
#: Share of the places that stay whole; 'spectral' is the published TSMS: random months always, bands often.
_WHOLE_SHARE = {"none": 1.0, "mixed": 0.5, "all": 0.5, "random": 0.0, "spectral": 0.0}
_KINDS = {
    "none": (WHOLE,),
    "mixed": (MEDIAN, QUARTER),
    "all": (MEDIAN, QUARTER, RANDOM),
    "random": (RANDOM,),
    "spectral": (RANDOM,),
}
#: Bands that are never hidden, and how often others are.
FIRST_BANDS, BANDS_SHARE = 3, 0.7
#: Months that are dropped together.
DROPPED = 3


@dataclass
class Draw:
    """What is done to B places.

    Attributes:
        kind: (B,) int64, `WHOLE` ... `RANDOM`.
        keep: (B, 12) bool, months that stay (all True for a median).
        bands: (B, C) bool, bands that stay, or None.
    """

    kind: Tensor
    keep: Tensor
    bands: Tensor | None = None

    def of(self, rows: slice) -> Self:
        """What is done to some of the places."""
        bands = None if self.bands is None else self.bands[rows]
        return replace(self, kind=self.kind[rows], keep=self.keep[rows], bands=bands)

    def pinned(self) -> Self:
        """In memory from which a CUDA card can copy while it computes."""
        bands = None if self.bands is None else self.bands.pin_memory()
        return replace(self, kind=self.kind.pin_memory(), keep=self.keep.pin_memory(), bands=bands)

    def to(self, device: torch.device) -> Self:
        """On a device, without waiting for it."""
        bands = None if self.bands is None else self.bands.to(device, non_blocking=True)
        kind, keep = (part.to(device, non_blocking=True) for part in (self.kind, self.keep))
        return replace(self, kind=kind, keep=keep, bands=bands)


def draw(masking: Masking, places: int, bands: int, rng: np.random.Generator) -> Draw:
    """Chance for each of some places.

    Args:
        masking: 'mixed' (default of the release: half of the places whole, the others their median or
            without three months), 'all' (the paper's text: or a random choice of months as well), 'random'
            (1 to 11 months, always), 'spectral' (the same, and bands set to 0), 'none'.
        places, bands: B, C.
        rng: same state, same draw.
    """
    kind = rng.choice(np.array(_KINDS[masking]), places)
    kind[rng.random(places) < _WHOLE_SHARE[masking]] = WHOLE
    keep = np.ones((places, MONTHS), bool)
    start = rng.integers(0, MONTHS - DROPPED + 1, places)
    month = np.arange(MONTHS)
    dropped = (month >= start[:, None]) & (month < start[:, None] + DROPPED)
    keep[kind == QUARTER] = ~dropped[kind == QUARTER]
    order = rng.random((places, MONTHS)).argsort(axis=1).argsort(axis=1)
    some = order < rng.integers(1, MONTHS, places)[:, None]
    keep[kind == RANDOM] = some[kind == RANDOM]
    shown = None
    if masking == "spectral" and bands > FIRST_BANDS:
        rank = rng.random((places, bands - FIRST_BANDS)).argsort(axis=1).argsort(axis=1)
        left = rank < rng.integers(0, bands - FIRST_BANDS + 1, places)[:, None]
        left |= (rng.random(places) >= BANDS_SHARE)[:, None]
        shown = torch.from_numpy(np.concatenate([np.ones((places, FIRST_BANDS), bool), left], axis=1))
    return Draw(torch.from_numpy(kind.astype(np.int64)), torch.from_numpy(keep), shown)


def masked(images: Tensor, used: Tensor, chance: Draw) -> tuple[Tensor, Tensor, Tensor]:
    """Images of B places as the encoder is to see them.

    A place that would be left without a month stays whole.

    Args:
        images: (B, 12, C, S, S) normalised.
        used: (B, 12) bool.
        chance: on the same device.

    Returns:
        (B, 12, C, S, S), positions (B, 12) int64 and mask (B, 12); a median stands in the first place.
    """
    median = (chance.kind == MEDIAN) & used.any(1)
    left = used & chance.keep
    left = torch.where(left.any(1, keepdim=True), left, used)
    first = torch.zeros_like(used)
    first[:, 0] = True
    mask = torch.where(median[:, None], first, left)
    positions = torch.arange(MONTHS, device=used.device).expand(len(used), -1)
    positions = torch.where(median[:, None] & first, torch.full_like(positions, YEAR), positions)
    year = lower_median(images, used).unsqueeze(1)
    shown = torch.where((median[:, None] & first)[:, :, None, None, None], year, images)
    if chance.bands is not None:
        shown = shown * chance.bands[:, None, :, None, None]
    return shown, positions, mask


def batchwise(
    module: SatelliteEncoder, images: Tensor, used: Tensor, chance: Draw
) -> tuple[Tensor, Tensor, Tensor | None]:
    """The released form: what the first place drew is done to all, after the first layer.

    Args:
        module: the encoder.
        images, used: as `masked`. Missing months are hidden as everywhere (the release fills them).
        chance: on the same device as `used`.

    Returns:
        Tokens (B, T, dim), positions (T, dim) and mask (B, T) for `module.encode`.
    """
    kind = int(chance.kind[0])
    if chance.bands is not None:
        images = images * chance.bands[0, :, None, None]
    tokens, positions = module.tokens(images), module.positions()
    if kind == MEDIAN:
        there = used.any(1, keepdim=True)
        return lower_median(tokens, used).unsqueeze(1), positions[YEAR : YEAR + 1], there
    keep = chance.keep[0].nonzero().squeeze(1)
    return tokens[:, keep], positions[keep], used[:, keep]
