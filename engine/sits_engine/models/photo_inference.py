"""Vectors in the space of CLIP from satellite images: of places, or of every pixel of a map tile."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from sits_engine.device import Device
from sits_engine.errors import ModelError
from sits_engine.models import workers
from sits_engine.models.card import ModelCard
from sits_engine.models.model_file import load_model
from sits_engine.models.precision import mixed
from sits_engine.models.timesenclip.encoder import SatelliteEncoder
from sits_engine.models.timesenclip.steps import MONTHS, STEPS, aggregated
from sits_engine.samples.composites import Composites, monthly

Floats = npt.NDArray[np.float32]
Head = Callable[[Tensor], Tensor]
#: Places of a batch: what keeps a core busy and stays in its cache, and what fills a card.
BATCH_CPU, BATCH_GPU = 128, 2**14
#: Pixels of a tile whose composites are made together.
CHUNK = 2**15


class EmbeddingPredictor:
    """Runs a satellite encoder on one device; safe to call from several threads.

    Args:
        module: a `SatelliteEncoder`; put in eval mode and not changed otherwise.
        card: its card.
        device: where to compute.
        steps: 12 months, 4 quarters or 1 median of the year.
        notice: receives a sentence when the batch had to be made smaller.

    Raises:
        ModelError: another kind of model.
    """

    def __init__(
        self,
        module: nn.Module,
        card: ModelCard,
        device: Device,
        *,
        steps: int = MONTHS,
        notice: Callable[[str], None] | None = None,
    ) -> None:
        if not isinstance(module, SatelliteEncoder):
            raise ModelError(
                f"The model is of the kind '{card.architecture}', which knows no photos.",
                "Choose a model made by 'Train photo model'.",
            )
        if steps not in STEPS:
            raise ValueError(f"{steps} steps; possible: {STEPS}")
        self.card, self.device, self.steps, self.notice = card, device, steps, notice
        self.module = module.eval().to(device.torch)
        self.batch = BATCH_CPU if device.is_cpu else BATCH_GPU
        self._mean = torch.tensor([b.mean for b in card.bands], device=device.torch)[:, None, None]
        self._std = torch.tensor([b.std for b in card.bands], device=device.torch)[:, None, None]
        self._months = module.months_of(steps).to(device.torch)

    @classmethod
    def open(cls, path: Path, device: Device, **options: Any) -> Self:
        """Read the model file `path` and make a predictor of it (options as the constructor)."""
        module, card = load_model(path)
        return cls(module, card, device, **options)

    @property
    def context(self) -> int:
        """Pixels along the side of the square that is seen, odd."""
        return self.module.context

    @property
    def dim(self) -> int:
        """Length of the vectors."""
        return self.module.embedding

    @property
    def scale(self) -> float:
        """What cosines are multiplied by before a soft-max."""
        return math.exp(float(self.module.logit_scale.detach()))

    def embed(self, composites: Composites) -> Floats:
        """(N, dim) unit vectors of places; bands in the order of the card. Zeros where no month is clear."""
        out = np.zeros((len(composites), self.dim), np.float32)

        def work(part: slice) -> None:
            images = torch.from_numpy(composites.values[part]).to(self.device.torch)
            used = torch.from_numpy(composites.valid[part]).to(self.device.torch)
            out[part] = self._vectors(images, used).cpu().numpy()

        self._in_batches(work, len(composites))
        return out

    def predict_cube(
        self,
        values: npt.NDArray[np.generic],
        valid: npt.NDArray[np.bool_],
        scale: Floats,
        offset: Floats,
        months: npt.NDArray[np.integer],
        head: Head,
        *,
        margin: int = 0,
        wanted: npt.NDArray[np.bool_] | None = None,
    ) -> Floats:
        """What `head` makes of every pixel of a tile.

        The vectors of a tile never exist together. A month counts where the pixel was clear; other pixels of
        the context that it doesn't show, those beyond the array too, take that pixel's value.

        Args:
            values: (T, C, H + 2 m, W + 2 m) as read, bands in the order of the card.
            valid: (T, H + 2 m, W + 2 m) False where clouded or missing.
            scale, offset: (T, C); physical = values * scale + offset.
            months: (T,) 0..11.
            head: unit vectors (n, dim) -> (n, K), tensors on the predictor's device.
            margin: m, pixels around the tile that were read for the context.
            wanted: (H, W) pixels that are computed, None for all.

        Returns:
            (K, H, W) float32; zeros where no month is clear, or nothing is wanted.
        """
        height, width = valid.shape[1] - 2 * margin, valid.shape[2] - 2 * margin
        with torch.no_grad():
            probe = torch.zeros(1, self.dim, device=self.device.torch)
            probe[0, 0] = 1
            out = np.zeros((head(probe).shape[1], height, width), np.float32)
        half = self.context // 2
        rows = max(1, CHUNK // max(1, width))
        for top in range(0, height, rows):
            bottom = min(height, top + rows)
            # The chunk with the pixels of its context; what lies beyond the array isn't clear.
            first, last = top + margin - half, bottom + margin + half
            have = slice(max(0, first), min(valid.shape[1], last))
            left, right = max(0, margin - half), min(valid.shape[2], margin + width + half)
            images, seen = _composites(
                values[:, :, have, left:right], valid[:, have, left:right], scale, offset, months
            )
            missing = (
                (have.start - first, last - have.stop),
                (left - (margin - half), margin + width + half - right),
            )
            images = np.pad(images, ((0, 0), (0, 0), *missing))
            seen = np.pad(seen, ((0, 0), *missing))
            own = None if wanted is None else wanted[top:bottom]
            self._chunk(images, seen, head, out[:, top:bottom], own)
        return out

    def _chunk(
        self,
        images: Floats,
        seen: npt.NDArray[np.bool_],
        head: Head,
        out: Floats,
        wanted: npt.NDArray[np.bool_] | None,
    ) -> None:
        """(12, C, h + 2 half, w + 2 half) composites, (12, ...) -> out (K, h, w)."""
        half, size = self.context // 2, self.context
        height, width = out.shape[1:]
        centre = seen[:, half : half + height, half : half + width]
        clear = centre.any(axis=0)
        row, col = np.nonzero(clear if wanted is None else clear & wanted)
        steps = np.arange(size)

        def work(part: slice) -> None:
            r = row[part][:, None, None] + steps[:, None]
            c = col[part][:, None, None] + steps
            cut = images[:, :, r, c].transpose(2, 0, 1, 3, 4)
            used = torch.from_numpy(np.ascontiguousarray(centre[:, row[part], col[part]].T))
            if size > 1:
                middle = cut[..., half : half + 1, half : half + 1]
                cut = np.where(seen[:, r, c].transpose(1, 0, 2, 3)[:, :, None], cut, middle)
            numbers = torch.from_numpy(np.ascontiguousarray(cut))
            vectors = self._vectors(numbers.to(self.device.torch), used.to(self.device.torch))
            out[:, row[part], col[part]] = head(vectors).float().cpu().numpy().T

        self._in_batches(work, len(row))

    def _vectors(self, images: Tensor, used: Tensor) -> Tensor:
        """(B, 12, C, S, S) physical, (B, 12) -> (B, dim) unit vectors, zeros without a month."""
        x = ((images - self._mean) / self._std).clamp_(0, 1)
        x, mask = aggregated(x, used, self.steps)
        with mixed(self.device):
            out = self.module(x, self._months.expand(len(x), -1), None if bool(mask.all()) else mask)
        return nn.functional.normalize(out.float(), dim=1) * used.any(1, keepdim=True)

    def _in_batches(self, work: Callable[[slice], None], n: int) -> None:
        """`work` on slices of 0..n; halves the batch where a card's memory is full."""
        start = 0
        while start < n:
            end = n if self.device.is_cpu else min(n, start + self.batch)
            todo = [slice(a, min(a + self.batch, end)) for a in range(start, end, self.batch)]
            try:
                workers.run(work, todo, parallel=self.device.is_cpu)
                start = end
                continue
            except torch.OutOfMemoryError:
                if self.batch <= 64:
                    raise
            self._halve()

    def _halve(self) -> None:
        self.batch //= 2
        if self.device.torch.type == "cuda":
            torch.cuda.empty_cache()
        if self.notice:
            self.notice(
                f"{self.device.label}: memory is full, going on with batches of {self.batch} instead of "
                f"{2 * self.batch}."
            )


def _composites(
    values: npt.NDArray[np.generic],
    valid: npt.NDArray[np.bool_],
    scale: Floats,
    offset: Floats,
    months: npt.NDArray[np.integer],
) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Monthly composites of numbers as read, physical: (12, C, h, w), (12, h, w)."""
    out = np.zeros((MONTHS, *values.shape[1:]), np.float32)
    seen = np.zeros((MONTHS, *valid.shape[1:]), bool)
    for month in np.unique(months):
        dates = np.flatnonzero(months == month)
        numbers = values[dates].astype(np.float32)
        numbers *= scale[dates][:, :, None, None]
        numbers += offset[dates][:, :, None, None]
        found, clear = monthly(numbers, valid[dates], months[dates])
        out[month], seen[month] = found[month], clear[month]
    return out, seen
