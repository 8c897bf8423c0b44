"""Vectors in the space of CLIP from satellite images: of places, or of every pixel of a map tile."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import nullcontext
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
from sits_engine.models.card_batch import CardBatch
from sits_engine.models.model_file import load_model
from sits_engine.models.precision import half_type, mixed
from sits_engine.models.timesenclip.encoder import SatelliteEncoder
from sits_engine.models.timesenclip.folded import fold
from sits_engine.models.timesenclip.place_encoder import Encode, encoder_of
from sits_engine.models.timesenclip.steps import MONTHS, STEPS, aggregated
from sits_engine.samples.composites import Composites, monthly

Floats = npt.NDArray[np.float32]
Head = Callable[[Tensor], Tensor]
#: Composites of some places, (B, t, C, S, S) physical, and (B, t) which of them are clear.
Cut = tuple[Floats, npt.NDArray[np.bool_]]
#: Places of a batch: what keeps a core busy, in steps of what it computes together; and what fills a card.
BATCH_CPU, STEP_CPU, BATCH_GPU = 96, 16, 2**13
#: Places of a card's first batch (`CardBatch`).
BATCH_FIRST = 2**10
#: A card that can't take so many can't take any.
SMALLEST_BATCH = 64
#: Pixels of a tile whose composites are made together.
CHUNK = 2**15


class EmbeddingPredictor:
    """Runs a satellite encoder on one device; safe to call from several threads.

    The network is multiplied out (`timesenclip.folded`) for the months that there are. On a graphics card
    products are made in half precision (`precision`; again in float32 where that overflows).

    Args:
        module: a `SatelliteEncoder`; put in eval mode and not changed otherwise. Later changes of its
            weights are not seen.
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
        largest = BATCH_CPU if device.is_cpu else BATCH_GPU
        self._batch = CardBatch(device, BATCH_FIRST, largest, smallest=SMALLEST_BATCH, notice=notice)
        self._mean = torch.tensor([b.mean for b in card.bands], device=device.torch)[:, None, None]
        self._std = torch.tensor([b.std for b in card.bands], device=device.torch)[:, None, None]
        self._forms: dict[tuple[int, ...], Encode] = {}

    @classmethod
    def open(cls, path: Path, device: Device, **options: Any) -> Self:
        """Read the model file `path` and make a predictor of it (options as the constructor)."""
        module, card = load_model(path)
        return cls(module, card, device, **options)

    @property
    def batch(self) -> int:
        """Places computed at once; setting it keeps a card from choosing."""
        return self._batch.size

    @batch.setter
    def batch(self, size: int) -> None:
        self._batch.fix(size)

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
        there = np.flatnonzero(composites.valid.any(axis=0))
        row = np.flatnonzero(composites.valid.any(axis=1))

        def cut(part: slice) -> Cut:
            at = row[part]
            return composites.values[at][:, there], composites.valid[at][:, there]

        def keep(part: slice, found: Floats) -> None:
            out[row[part]] = found

        self._in_batches(len(row), there, cut, lambda vectors: vectors, keep)
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
        there = np.flatnonzero(seen.any(axis=(1, 2)))
        images, seen = images[there], seen[there]
        centre = seen[:, half : half + height, half : half + width]
        clear = centre.any(axis=0)
        row, col = np.nonzero(clear if wanted is None else clear & wanted)
        steps = np.arange(size)

        def cut(part: slice) -> Cut:
            r = row[part][:, None, None] + steps[:, None]
            c = col[part][:, None, None] + steps
            numbers = images[:, :, r, c].transpose(2, 0, 1, 3, 4)
            used = centre[:, row[part], col[part]].T
            if size > 1:
                middle = numbers[..., half : half + 1, half : half + 1]
                shown = seen[:, r, c].transpose(1, 0, 2, 3)[:, :, None]
                numbers = np.where(shown, numbers, middle)
            return numbers, used

        def keep(part: slice, found: Floats) -> None:
            out[:, row[part], col[part]] = found.T

        self._in_batches(len(row), there, cut, head, keep)

    def _vectors(self, cut: Cut, there: npt.NDArray[np.int64], *, half: bool = True) -> Tensor:
        """Composites (B, t, C, S, S) physical of the months `there`, (B, t) used -> (B, dim) unit vectors."""
        numbers, clear = cut
        x = ((self._batch.move(numbers) - self._mean) / self._std).clamp_(0, 1)
        used = None
        if self.steps != MONTHS:
            # quarters and years are made of all months
            year = x.new_zeros(len(x), MONTHS, *x.shape[2:])
            every = np.zeros((len(clear), MONTHS), bool)
            every[:, there] = clear
            months = torch.from_numpy(there).to(x.device)
            x, used = aggregated(year.index_copy_(1, months, x), self._batch.move(every), self.steps)
            there = np.arange(self.steps)
        elif not clear.all():
            used = self._batch.move(clear)
        with mixed(self.device) if half else nullcontext():
            out = self._form(there)(x.flatten(2), used)
        return nn.functional.normalize(out.float(), dim=1)

    def _form(self, there: npt.NDArray[np.int64]) -> Encode:
        """The network for some of its steps, multiplied out once."""
        key = tuple(there.tolist())
        if key not in self._forms:
            months = self.module.months_of(self.steps)[torch.from_numpy(there)]
            self._forms[key] = encoder_of(fold(self.module, months.to(self.device.torch)))
        return self._forms[key]

    def _in_batches(
        self,
        n: int,
        there: npt.NDArray[np.int64],
        cut: Callable[[slice], Cut],
        head: Head,
        keep: Callable[[slice, Floats], None],
    ) -> None:
        """Vectors of what `cut` gives for slices of 0..n, through `head`, to `keep`.

        A processor computes several batches at a time, a thread each; a card computes one while the last is
        fetched and the next is cut, and the batch is halved where its memory is full.
        """

        def answer(part: slice, *, half: bool = True) -> Tensor:
            return head(self._vectors(cut(part), there, half=half)).float()

        def fetch(part: slice, found: Tensor) -> None:
            numbers = found.cpu().numpy()
            if half_type(self.device) is not None and not np.isfinite(numbers).all():
                numbers = answer(part, half=False).cpu().numpy()
            keep(part, numbers)

        if self.device.is_cpu:
            step = min(STEP_CPU, self.batch)
            size = workers.part_size(n, self.batch, step, torch.get_num_threads())
            parts = [slice(a, min(a + size, n)) for a in range(0, n, size)]
            workers.run(lambda part: fetch(part, answer(part)), parts)
            return
        for part, found in self._batch.one_behind(n, answer):
            fetch(part, found)


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
