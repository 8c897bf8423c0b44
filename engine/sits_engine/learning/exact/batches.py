"""Batches of whole polygons: windows, what is ticked, and which windows belong together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sits_engine.learning.exact.pseudo_labels import inside_patches
from sits_engine.learning.segmentation.batches import Cutter, Cutting, RawBatch
from sits_engine.learning.segmentation.steps import EVERYTHING
from sits_engine.models.card import BandCard
from sits_engine.samples.bags import Bags

#: Windows of one polygon in a step: large polygons show another part of themselves each time.
MOST_OF_A_BAG = 8


@dataclass
class RawBags:
    """As drawn: crops, and for each its polygon in the batch; ticks of the polygons."""

    crops: RawBatch
    ticks: Tensor
    bags: Tensor

    def pinned(self) -> Self:
        """In memory from which a CUDA card can copy while it computes."""
        return replace(
            self, crops=self.crops.pinned(), ticks=self.ticks.pin_memory(), bags=self.bags.pin_memory()
        )


@dataclass
class BagBatch:
    """B windows of A polygons as the classifier takes them.

    Attributes:
        images: (B, T, C, H, W) float32, normalised; 0 where not valid.
        positions: (B, T) int64 days.
        date_mask: (B, T) bool.
        inside: (B, h, w) bool, patches with a pixel of the polygon.
        ticks: (A, K) bool.
        bags: (B,) int64, polygon of each window.
    """

    images: Tensor
    positions: Tensor
    date_mask: Tensor
    inside: Tensor
    ticks: Tensor
    bags: Tensor

    @property
    def inputs(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Arguments of the classifier."""
        return self.images, self.positions, self.date_mask, self.inside


class BagCutter:
    """Draws polygons; a `segmentation.steps.Source`.

    Args:
        bags: windows and ticks.
        bands: normalisation, in the order of the windows' bands.
        n_dates: dates that the network sees.
        patch: pixels along a side of a patch.
        device: where batches are used.
        turning: flip and turn windows (images and polygons alike).
        index: windows that are drawn; None: all.
    """

    def __init__(
        self,
        bags: Bags,
        bands: Sequence[BandCard],
        n_dates: int,
        patch: int,
        device: torch.device,
        *,
        turning: bool = True,
        index: npt.NDArray[np.int64] | None = None,
    ) -> None:
        cutting = Cutting(bags.windows.size[0], n_dates, "all" if turning else "none")
        # what lies in the polygon is 'labelled' 0: it is turned with its window
        shape = np.where(bags.inside, 0, -1).astype(np.int16)
        self._cutter = Cutter(replace(bags.windows, labels=shape), bands, cutting, device)
        self._bags, self._patch, self._device = bags, patch, device
        chosen = np.arange(len(bags)) if index is None else np.asarray(index, dtype=np.int64)
        numbers, place = np.unique(bags.bag[chosen], return_inverse=True)
        self._members = [chosen[place == i] for i in range(len(numbers))]
        #: (M,) numbers of the polygons that can be drawn
        self.usable = np.arange(len(numbers))

    @property
    def windows_per_bag(self) -> float:
        """Mean number of windows that a drawn polygon gives."""
        return float(np.mean([min(len(own), MOST_OF_A_BAG) for own in self._members]))

    def drawn(
        self, index: npt.NDArray[np.integer], rng: np.random.Generator, share: slice = EVERYTHING
    ) -> RawBags:
        """Windows of these polygons, turned, with dates left out by chance; of a large one some windows.

        Args:
            share: which polygons of the batch to return; chance is drawn for all.
        """
        chosen, owner = [], []
        for place, number in enumerate(index.tolist()):
            own = self._members[number]
            if len(own) > MOST_OF_A_BAG:
                own = np.sort(rng.choice(own, MOST_OF_A_BAG, replace=False))
            chosen.append(own)
            owner.append(np.full(len(own), place))
        first, owners = np.array([own[0] for own in chosen]), np.concatenate(owner).astype(np.int64)
        mine = np.arange(len(index))[share]
        windows = np.flatnonzero(np.isin(owners, mine))
        return RawBags(
            self._cutter.drawn(np.concatenate(chosen), rng, windows),
            torch.from_numpy(self._bags.present[first[mine]]),
            torch.from_numpy(np.searchsorted(mine, owners[windows])),
        )

    def at(self, index: npt.NDArray[np.integer]) -> RawBags:
        """These windows, unturned, with dates chosen evenly; each counts as a polygon of its own."""
        return RawBags(
            self._cutter.at([(int(i), 0, 0) for i in index]),
            torch.from_numpy(self._bags.present[index]),
            torch.arange(len(index)),
        )

    def on_device(self, raw: RawBags) -> BagBatch:
        """Move and normalise; doesn't wait for a CUDA card."""
        batch = self._cutter.on_device(raw.crops)
        ticks, bags = (part.to(self._device, non_blocking=True) for part in (raw.ticks, raw.bags))
        inside = inside_patches(batch.labels >= 0, self._patch)
        return BagBatch(batch.images, batch.positions, batch.date_mask, inside, ticks, bags)
