"""Batches of places: composites, photo vectors and what is hidden; a `segmentation.steps.Source`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sits_engine.learning.segmentation.steps import EVERYTHING
from sits_engine.learning.timesenclip.masking import Draw, Masking, draw
from sits_engine.models.card import BandCard
from sits_engine.samples.composites import Composites

Floats = npt.NDArray[np.float32]


@dataclass
class PairedPlaces:
    """N places with images and photos.

    Attributes:
        composites: of the places.
        vectors: (M, dim) unit vectors of all photos, those of a place together.
        offsets: (N + 1,) place i has the photos `vectors[offsets[i]:offsets[i + 1]]`, one or more.
    """

    composites: Composites
    vectors: Floats
    offsets: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def dim(self) -> int:
        """Length of a photo's vector."""
        return int(self.vectors.shape[1])

    def photos(self, index: npt.NDArray[np.integer]) -> tuple[Floats, npt.NDArray[np.bool_]]:
        """(B, P, dim) vectors, padded with zeros, and (B, P) where there is one."""
        first, count = self.offsets[index], self.offsets[index + 1] - self.offsets[index]
        place = np.arange(count.max())
        there = place < count[:, None]
        rows = first[:, None] + np.where(there, place, 0)
        return self.vectors[rows] * there[:, :, None], there


@dataclass
class RawPlaces:
    """As drawn: composites in physical units, their months, photos, chance."""

    images: Tensor
    used: Tensor
    photos: Tensor
    there: Tensor
    places: Tensor
    chance: Draw

    def pinned(self) -> Self:
        """In memory from which a CUDA card can copy while it computes."""
        parts = {name: getattr(self, name).pin_memory() for name in PARTS}
        return replace(self, **parts, chance=self.chance.pinned())


PARTS = ("images", "used", "photos", "there", "places")


class PlaceSource:
    """Draws places.

    Args:
        pairs: all places.
        index: those that may be drawn.
        bands: normalisation, in the order of the composites' bands.
        masking: what is hidden.
        device: where batches are used.
    """

    def __init__(
        self,
        pairs: PairedPlaces,
        index: npt.NDArray[np.int64],
        bands: Sequence[BandCard],
        masking: Masking,
        device: torch.device,
    ) -> None:
        self._pairs, self._masking, self._device = pairs, masking, device
        self._mean = torch.tensor([band.mean for band in bands], device=device)[:, None, None]
        self._std = torch.tensor([band.std for band in bands], device=device)[:, None, None]
        #: (M,) places that can be drawn
        self.usable = np.asarray(index, dtype=np.int64)

    def drawn(
        self, index: npt.NDArray[np.integer], rng: np.random.Generator, share: slice = EVERYTHING
    ) -> RawPlaces:
        """These places, and what is to be hidden of them.

        Args:
            share: which places of the batch to return; chance is drawn for all.
        """
        bands = self._pairs.composites.values.shape[2]
        chance = draw(self._masking, len(index), bands, rng).of(share)
        index = index[share]
        images = self._pairs.composites.values[index]
        photos, there = self._pairs.photos(index)
        return RawPlaces(
            torch.from_numpy(images),
            torch.from_numpy(self._pairs.composites.valid[index]),
            torch.from_numpy(photos),
            torch.from_numpy(there),
            torch.from_numpy(np.asarray(index, dtype=np.int64)),
            chance,
        )

    def on_device(self, raw: RawPlaces) -> RawPlaces:
        """Move and normalise; doesn't wait for a CUDA card."""
        moved = {name: getattr(raw, name).to(self._device, non_blocking=True) for name in PARTS}
        moved["images"] = ((moved["images"] - self._mean) / self._std).clamp(0, 1)
        return replace(raw, **moved, chance=raw.chance.to(self._device))


def normalisation(
    composites: Composites, index: npt.NDArray[np.int64], names: Sequence[str]
) -> list[BandCard]:
    """Bands by the 1st and 99th percentile of the clear months of some places: those become 0 and 1.

    Args:
        composites: of all places.
        index: the places that may be looked at.
        names: of the bands, for the card.
    """
    values, valid = composites.values[index], composites.valid[index]
    middle = composites.context // 2
    seen = values[..., middle, middle][valid]
    low, high = np.percentile(seen, (1, 99), axis=0)
    return [
        BandCard(name=name, mean=float(a), std=max(float(b - a), 1e-4))
        for name, a, b in zip(names, low, high, strict=True)
    ]


#: Published constants in digital numbers (reflectance times 10,000): subtracted, divided by.
PUBLISHED: dict[str, tuple[float, float]] = {
    "B02": (67, 2089),
    "B03": (122, 2598.45),
    "B04": (93.27, 3214.5),
    "B05": (158.5, 3620.45),
    "B06": (160.77, 4033.61),
    "B07": (174.27, 4613),
    "B08": (162.27, 4825.45),
    "B8A": (149, 4945.72),
    "B11": (84.5, 5140.84),
    "B12": (66.27, 4414.45),
}


def published_normalisation(names: Sequence[str]) -> list[BandCard]:
    """The published constants, by band name (shared/spec/timesenclip.md section 2).

    Raises:
        KeyError: a band that has none.
    """
    return [
        BandCard(name=name, mean=PUBLISHED[name][0] / 1e4, std=PUBLISHED[name][1] / 1e4) for name in names
    ]
