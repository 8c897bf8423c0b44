"""Networks applied to whole windows: probabilities and similarity maps, crop by crop, blended."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from sits_engine.device import Device
from sits_engine.learning.segmentation.batches import Batch, Cutter, Cutting, Place
from sits_engine.learning.segmentation.steps import Patient
from sits_engine.learning.segmentation.targets import mean_of_neighbours
from sits_engine.models.blend import Blend, starts
from sits_engine.models.card import BandCard, ModelCard
from sits_engine.models.precision import mixed
from sits_engine.samples.windows import WindowSet

Floats = npt.NDArray[np.float32]
Progress = Callable[[float], None]
#: Crops of a batch: few on a processor, so that somebody who wants to stop isn't kept waiting.
CROPS_CPU, CROPS_GPU = 2, 64
#: Share of a crop that it has in common with the next, as in maps.
OVERLAP = 0.5


class Apply:
    """Applies a function of crops to whole windows.

    Args:
        of: a batch on the device -> (B, K, side * scale, side * scale).
        modules: put into evaluation mode.
        cutter: cuts crops of `cutter.cutting.window` pixels.
        device: where `of` computes.
    """

    def __init__(
        self, of: Callable[[Batch], Tensor], modules: Sequence[nn.Module], cutter: Cutter, device: Device
    ) -> None:
        self._of, self._modules, self._cutter, self._device = of, modules, cutter, device
        self._crops = CROPS_CPU if device.is_cpu else CROPS_GPU

    def crops(
        self, places: Sequence[Place], progress: Progress = lambda share: None
    ) -> Iterator[tuple[Sequence[Place], Tensor, Tensor]]:
        """(places, answers, labels) of each batch, both tensors on the device; halves it on a full card."""
        for module in self._modules:
            module.eval()
        at = 0
        patient = Patient(lambda: progress(at / len(places)), self._device)
        with closing(patient):
            while at < len(places):
                some = places[at : at + self._crops]
                try:
                    found, labels = patient.run(partial(self._answer, some))
                except torch.OutOfMemoryError:
                    if self._crops == 1:
                        raise
                    self._crops //= 2
                    continue
                yield some, found, labels
                at += len(some)

    def _answer(self, places: Sequence[Place]) -> tuple[Tensor, Tensor]:
        raw = self._cutter.at(places)
        batch = self._cutter.on_device(raw.pinned() if self._device.torch.type == "cuda" else raw)
        with torch.no_grad(), mixed(self._device):
            found = self._of(batch)
        return found.float(), batch.labels

    def windows(
        self,
        channels: int,
        progress: Progress = lambda share: None,
        index: Iterable[int] | None = None,
    ) -> Iterator[tuple[int, Floats]]:
        """(number, (K, H * scale, W * scale)) of each window in order; K is `channels`."""
        windows, side = self._cutter.windows, self._cutter.cutting.window
        height, width = windows.size
        step = max(1, round(side * (1 - OVERLAP)))
        lattice = [(int(r), int(c)) for r in starts(height, side, step) for c in starts(width, side, step)]
        chosen = range(len(windows)) if index is None else index
        places = [(int(i), row, col) for i in chosen for row, col in lattice]
        s = windows.scale
        waiting = 0
        blend: Blend | None = None
        for some, found, _ in self.crops(places, progress):
            for (i, row, col), answer in zip(some, found.cpu().numpy(), strict=True):
                if blend is None:
                    blend, waiting = Blend(channels, height * s, width * s, side * s), len(lattice)
                blend.add(answer, row * s, col * s)
                waiting -= 1
                if not waiting:
                    yield i, blend.result()
                    blend = None


def probabilities(
    module: nn.Module,
    card: ModelCard,
    windows: WindowSet,
    device: Device,
    progress: Progress = lambda share: None,
    index: Iterable[int] | None = None,
) -> Iterator[tuple[int, Floats]]:
    """(number, (K, H * s, W * s) probabilities) of each window in order, at the card's temperature.

    Args:
        module: the network of the card, on the device.
        card: bands, `n_dates` and `window` are read from it.
        windows: as large as a crop, or larger; with the card's scale.
        device: where to compute.
        progress: gets the done share before each batch; may raise to cancel.
        index: windows wanted; None: all.
    """
    settings = card.hyperparameters
    cutting = Cutting(int(settings["window"]), int(settings["n_dates"]), "none")
    cutter = Cutter(with_bands(windows, card.bands), card.bands, cutting, device.torch)

    def of(batch: Batch) -> Tensor:
        return torch.softmax(module(*batch.inputs).float() / card.temperature, 1)

    yield from Apply(of, [module], cutter, device).windows(len(card.classes), progress, index)


def predict_windows(
    module: nn.Module,
    card: ModelCard,
    windows: WindowSet,
    device: Device,
    progress: Progress = lambda share: None,
    dtype: npt.DTypeLike = np.float32,
) -> npt.NDArray[np.floating]:
    """(N, K, H * s, W * s) probabilities of all windows; arguments as `probabilities`.

    Args:
        dtype: float16 takes half the memory and keeps three digits.
    """
    height, width = (side * windows.scale for side in windows.size)
    out = np.zeros((len(windows), len(card.classes), height, width), dtype)
    for i, found in probabilities(module, card, windows, device, progress):
        out[i] = found
    return out


def similarity_maps(
    compare: Callable[[Batch], Tensor],
    modules: Sequence[nn.Module],
    cutter: Cutter,
    device: Device,
    progress: Progress = lambda share: None,
    index: Iterable[int] | None = None,
) -> Floats:
    """(N, H * s, W * s) mean cosine of each pixel with its eight neighbours: low at the borders of parcels.

    Args:
        compare: a batch -> (B, H, W, k, k) similarities, dilation 1.
        modules: what `compare` uses, put into evaluation mode.
        cutter: of the windows.
        index: windows wanted; None: all.
    """

    def of(batch: Batch) -> Tensor:
        return mean_of_neighbours(compare(batch).float()).unsqueeze(1)

    found = [answer[0] for _, answer in Apply(of, modules, cutter, device).windows(1, progress, index)]
    return np.stack(found) if found else np.zeros((0, 0, 0), np.float32)


def with_bands(windows: WindowSet, bands: Sequence[BandCard]) -> WindowSet:
    """The windows with their bands in the order of the card.

    Raises:
        ValueError: a band is missing.
    """
    names = [band.name for band in bands]
    if names == list(windows.bands):
        return windows
    index = [windows.bands.index(name) for name in names]
    return replace(windows, bands=tuple(names), values=windows.values[:, :, index])
