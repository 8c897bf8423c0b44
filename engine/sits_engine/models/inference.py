"""Probabilities from a model: single pixels of a map window, or whole parcels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from sits_engine.device import Device
from sits_engine.models.card import ModelCard
from sits_engine.models.model_file import load_model

if TYPE_CHECKING:
    from sits_engine.samples.pixel_sets import PixelSets

Floats = npt.NDArray[np.float32]


class Predictor:
    """Runs a model on one device.

    Args:
        module: the network; it is put in eval mode and not changed otherwise.
        card: its card.
        device: where to compute.
        compile: whether to compile the network; None: where it pays.
    """

    def __init__(
        self, module: nn.Module, card: ModelCard, device: Device, *, compile: bool | None = None
    ) -> None:
        self.card = card
        self.device = device
        self.module = module.eval().to(device.torch)
        self.batch_pixels, self.batch_sets = (256, 16) if device.is_cpu else (16384, 1024)
        self._mean = torch.tensor([b.mean for b in card.bands], device=device.torch)
        self._std = torch.tensor([b.std for b in card.bands], device=device.torch)

    @classmethod
    def open(cls, path: Path, device: Device, **options: Any) -> Self:
        """Read the model file `path` and make a predictor of it (options as the constructor)."""
        module, card = load_model(path)
        return cls(module, card, device, **options)

    def predict_pixels(
        self,
        values: npt.NDArray[np.generic],
        valid: npt.NDArray[np.bool_],
        scale: Floats,
        offset: Floats,
        positions: npt.NDArray[np.generic],
    ) -> Floats:
        """Classify single pixels.

        Args:
            values: (T, C, N) as read, bands in the order of the card.
            valid: (T, N) False where clouded or missing.
            scale, offset: (T, C); physical = values * scale + offset.
            positions: (T,) days since 1 January of the season year.

        Returns:
            (N, K) probabilities; zeros for a pixel without any valid date.
        """
        n = values.shape[2]
        out = np.zeros((n, len(self.card.classes)), np.float32)
        for start in range(0, n, self.batch_pixels):
            part = slice(start, start + self.batch_pixels)
            x = torch.from_numpy(values[:, :, part].astype(np.float32)).to(self.device.torch)
            ok = torch.from_numpy(np.ascontiguousarray(valid[:, part])).to(self.device.torch)
            s = torch.as_tensor(scale, device=self.device.torch).unsqueeze(-1)
            o = torch.as_tensor(offset, device=self.device.torch).unsqueeze(-1)
            physical = (x * s + o) * ok.unsqueeze(1)
            pixels = physical.permute(2, 0, 1).unsqueeze(-1)
            mask = ok.T.unsqueeze(-1)
            dates = torch.as_tensor(positions, dtype=torch.float32, device=self.device.torch)
            out[part] = self._probabilities(pixels, mask, dates.expand(mask.shape[0], -1))
        return out

    def predict_sets(self, sets: PixelSets) -> Floats:
        """Classify parcels: all pixels of each. Returns (N, K); zeros without any valid date."""
        n = len(sets.offsets) - 1
        out = np.zeros((n, len(self.card.classes)), np.float32)
        for i in range(n):
            own = slice(int(sets.offsets[i]), int(sets.offsets[i + 1]))
            if own.start == own.stop:
                continue
            ok = torch.from_numpy(sets.valid[own].T.copy()).unsqueeze(0)
            physical = torch.from_numpy(sets.values[own].transpose(1, 2, 0).copy()).unsqueeze(0)
            dates = torch.from_numpy(sets.positions[i].astype(np.float32)).unsqueeze(0)
            moved = [t.to(self.device.torch) for t in (physical, ok, dates)]
            out[i] = self._probabilities(*moved)[0]
        return out

    @torch.inference_mode()
    def _probabilities(self, physical: Tensor, mask: Tensor, positions: Tensor) -> Floats:
        """(B, T, C, S) physical, (B, T, S) bool, (B, T) -> (B, K)."""
        pixels = (physical - self._mean[:, None]) / self._std[:, None]
        any_valid = mask.any(2).any(1)
        if not self.card.mask_dates:
            mask = torch.ones_like(mask)
        logits = self.module(pixels, mask, positions)
        probabilities = torch.softmax(logits.float() / self.card.temperature, -1)
        return (probabilities * any_valid.unsqueeze(-1)).cpu().numpy()
