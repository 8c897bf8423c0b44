"""Probabilities of every pixel from a network that sees windows: dense segmentation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from sits_engine.device import Device
from sits_engine.errors import ModelError
from sits_engine.models import workers
from sits_engine.models.blend import Blend, reflected, starts, touching
from sits_engine.models.card import ModelCard
from sits_engine.models.card_batch import CardBatch, for_many
from sits_engine.models.model_file import load_model
from sits_engine.models.precision import mixed
from sits_engine.models.segmentation.folding import folded
from sits_engine.models.segmentation.packed_convolution import packed
from sits_engine.samples.dates import evenly

Floats = npt.NDArray[np.float32]
Place = tuple[int, int]
#: Windows of a batch that fill a card, and those of its first one (`CardBatch`).
WINDOWS_GPU = 32
WINDOWS_FIRST = 8
#: Pixels of a batch for each thread of a processor, at least two windows and at most `WINDOWS_GPU`. On one
#: thread PyTorch computes small convolutions of a single window without oneDNN, which takes UNet3D 1.7 times
#: as long; from four windows of 24 pixels on more make nothing faster.
PIXELS_CPU = 4 * 24**2
#: Share of a window that it has in common with the next one.
OVERLAP = 0.5


@dataclass(frozen=True)
class View:
    """A part of an image as it was read, large enough for the windows that reach into it.

    Attributes:
        values: (T, C, h, w) as read, bands in the order of the card.
        valid: (T, h, w) False where clouded or missing.
        scale, offset: (T, C); physical = values * scale + offset.
        positions: (T,) days since 1 January of the season year.
        row, col: first pixel of `values` in the image.
        height, width: of the whole image, in pixels; it is what the windows' lattice belongs to.
    """

    values: npt.NDArray[np.generic]
    valid: npt.NDArray[np.bool_]
    scale: Floats
    offset: Floats
    positions: npt.NDArray[np.generic]
    row: int
    col: int
    height: int
    width: int


class SegmentPredictor:
    """Runs a segmentation network on one device.

    The image is seen through windows of the size the network was trained with, on a lattice of the whole
    image; their answers are blended (`blend`), so that neither windows nor tiles leave a seam. Dates are
    chosen as in training. On a graphics card numbers are moved as they were read and scaled there, products
    are made in half precision (`precision`; again in float32 where that overflows), and when its memory is
    full the batch is halved, for good. A processor gets a few windows a thread.

    Args:
        module: a `Segmenter`; put in eval mode and not changed otherwise. What is run may be a copy.
        card: its card; hyperparameters `window` (pixels), `n_dates` and `scale` are read.
        device: where to compute.
        overlap: share of a window that it has in common with the next, 0 (seams show) to below 1.
        notice: receives a sentence when the batch had to be made smaller, or the image is below a window.

    Raises:
        ModelError: the card lacks `window` or `n_dates`, or the window doesn't fit the network.
    """

    def __init__(
        self,
        module: nn.Module,
        card: ModelCard,
        device: Device,
        *,
        overlap: float = OVERLAP,
        notice: Callable[[str], None] | None = None,
    ) -> None:
        if not 0 <= overlap < 1:
            raise ValueError(f"an overlap of {overlap}")
        self.card = card
        self.device = device
        self.module = folded(module.eval().to(device.torch))
        if device.is_cpu:
            self.module = packed(self.module)
        self.notice = notice
        self.window = _whole(card, "window")
        self.dates = _whole(card, "n_dates")
        self.scale = int(card.hyperparameters.get("scale", 1))
        divisor = int(getattr(module, "divisor", 1))
        if self.window % divisor:
            raise ModelError(
                f"The model card says windows of {self.window} pixels; the network takes multiples of "
                f"{divisor}.",
                "The file was changed or damaged: get it again from where it came from.",
            )
        self.step = max(1, round(self.window * (1 - overlap)))
        largest = windows_of_a_batch(self.window) if device.is_cpu else WINDOWS_GPU
        self._batch = CardBatch(device, WINDOWS_FIRST, largest, unit=" windows", notice=notice)
        self._mean = torch.tensor([b.mean for b in card.bands], device=device.torch)
        self._std = torch.tensor([b.std for b in card.bands], device=device.torch)
        self._small_said = False

    @classmethod
    def open(cls, path: Path, device: Device, **options: Any) -> Self:
        """Read the model file `path` and make a predictor of it (options as the constructor)."""
        module, card = load_model(path)
        return cls(module, card, device, **options)

    @property
    def batch_windows(self) -> int:
        """Windows computed at once; setting it keeps a card from choosing."""
        return self._batch.size

    @batch_windows.setter
    def batch_windows(self, size: int) -> None:
        self._batch.fix(size)

    def expect(self, pixels: int) -> None:
        """A map of so many pixels is to be made: compile the network where that pays."""
        self.module = for_many(self.module, self.device, pixels, self.notice)

    @property
    def mask_dates(self) -> bool:
        """True where clouded pixels are hidden from the network."""
        return self.card.mask_dates

    def lattice(self, height: int, width: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """First rows and first columns of the windows of an image of this size."""
        return starts(height, self.window, self.step), starts(width, self.window, self.step)

    def predict_cube(
        self,
        values: npt.NDArray[np.generic],
        valid: npt.NDArray[np.bool_],
        scale: Floats,
        offset: Floats,
        positions: npt.NDArray[np.generic],
    ) -> Floats:
        """Classify a whole image, of any size from one pixel.

        Args:
            values: (T, C, H, W) as read, bands in the order of the card.
            valid: (T, H, W) False where clouded or missing.
            scale, offset: (T, C); physical = values * scale + offset.
            positions: (T,) days since 1 January of the season year.

        Returns:
            (K, H * s, W * s) probabilities, s the card's `scale`; zeros for pixels without any valid date.
        """
        height, width = values.shape[2:]
        view = View(values, valid, scale, offset, positions, 0, 0, height, width)
        return self.predict_view(view, (0, 0), (height, width))

    def predict_view(
        self,
        view: View,
        first: Place,
        size: Place,
        wanted: npt.NDArray[np.bool_] | None = None,
        tick: Callable[[float], None] = lambda share: None,
    ) -> Floats:
        """Classify an area of an image of which a larger part was read.

        Args:
            view: holds every window that touches the area (`blend.reach` says what that is).
            first: first row and column of the area in the image.
            size: (H, W) of the area.
            wanted: (H, W); windows of which no pixel is wanted are left out. Pixels that are not wanted may
                get anything.
            tick: called after each batch with the done share; may raise to stop.

        Returns:
            (K, H * s, W * s) probabilities; zeros for pixels without any valid date.
        """
        rows, cols = self.lattice(view.height, view.width)
        near_rows = touching(rows, self.window, first[0], size[0])
        near_cols = touching(cols, self.window, first[1], size[1])
        top, left = first[0] - view.row, first[1] - view.col
        seen = np.asarray(view.valid[:, top : top + size[0], left : left + size[1]].any(axis=0))
        needed = seen if wanted is None else seen & wanted
        padded = self._padded(view)
        places = [
            (int(row), int(col))
            for row in near_rows
            for col in near_cols
            if _part(needed, row - first[0], col - first[1], self.window).any()
        ]
        s = self.scale
        blend = Blend(len(self.card.classes), size[0] * s, size[1] * s, self.window * s)
        for done, ((row, col), probabilities) in enumerate(self._answers(padded, places), start=1):
            blend.add(probabilities, (row - first[0]) * s, (col - first[1]) * s)
            tick(done / len(places))
        out = blend.result()
        if not seen.all():
            out *= seen.repeat(s, axis=0).repeat(s, axis=1)
        return out

    def _padded(self, view: View) -> View:
        """The view with an image below a window mirrored at its edges."""
        if min(view.height, view.width) >= self.window:
            return view
        values, valid, row, col = view.values, view.valid, view.row, view.col
        if view.height < self.window:
            row = int(self.lattice(view.height, view.width)[0][0])
            index = reflected(row, self.window, view.height)
            values, valid = values[:, :, index], valid[:, index]
        if view.width < self.window:
            col = int(self.lattice(view.height, view.width)[1][0])
            index = reflected(col, self.window, view.width)
            values, valid = values[..., index], valid[..., index]
        if self.notice and not self._small_said:
            self._small_said = True
            self.notice(
                f"The images are {view.width} x {view.height} pixels, smaller than the windows of "
                f"{self.window} x {self.window} that the model was trained with: they were mirrored at their "
                "edges. The map may be poorer than that of a larger series."
            )
        return View(values, valid, view.scale, view.offset, view.positions, row, col, view.height, view.width)

    def _answers(self, view: View, places: Sequence[Place]) -> Iterator[tuple[Place, Floats]]:
        """(K, window * s, window * s) probabilities of each window, in order."""
        if self.device.is_cpu:
            # A few windows for each thread at a time: answers of all would need the memory of many tiles.
            parts, threads = in_batches(places, self.batch_windows), torch.get_num_threads()
            for start in range(0, len(parts), threads):
                some = parts[start : start + threads]
                answers = workers.run(lambda part: self._infer(view, part), some)
                for part, found in zip(some, answers, strict=True):
                    yield from zip(part, found.numpy(), strict=True)
            return
        # The card computes a batch while the last one is blended and the next is cut.
        for own, answer in self._batch.one_behind(len(places), lambda own: self._infer(view, places[own])):
            yield from self._fetched(view, places[own], answer)

    def _fetched(self, view: View, places: Sequence[Place], found: Tensor) -> Iterator[tuple[Place, Floats]]:
        """Answers from the card; those that half precision could not hold are computed again."""
        answers = found.cpu().numpy()
        for i, place in enumerate(places):
            if not np.isfinite(answers[i]).all():
                with torch.no_grad():
                    answers[i] = self._infer(view, [place], half=False)[0].cpu().numpy()
            yield place, answers[i]

    def _infer(self, view: View, places: Sequence[Place], *, half: bool = True) -> Tensor:
        """(B, K, window * s, window * s) probabilities on the device."""
        images, positions, mask = self._input(view, places)
        with mixed(self.device) if half else nullcontext():
            logits = self.module(images, positions, mask)
        return torch.softmax(logits.float() / self.card.temperature, 1)

    def _input(self, view: View, places: Sequence[Place]) -> tuple[Tensor, Tensor, Tensor]:
        """Images (B, n, C, window, window) normalised, positions (B, n), date mask (B, n) of windows."""
        n = self.dates
        bands = view.values.shape[1]
        shape = (len(places), n, bands, self.window, self.window)
        numbers = np.zeros(shape, view.values.dtype)
        valid = np.zeros((*shape[:2], *shape[3:]), bool)
        scale, offset = np.zeros((2, *shape[:3]), np.float32)
        days = np.zeros(shape[:2], np.int64)
        days_of_image = view.positions.astype(np.int32)
        for i, (row, col) in enumerate(places):
            here = (
                slice(row - view.row, row - view.row + self.window),
                slice(col - view.col, col - view.col + self.window),
            )
            clear = np.asarray(view.valid[:, *here])
            # As `samples.dates.thinned` does for training.
            share = clear.mean(axis=(1, 2), dtype=np.float32)
            index, used = evenly(days_of_image, share > 0, n, clear=share)
            numbers[i] = view.values[:, :, *here][index]
            valid[i] = clear[index] & used[:, None, None]
            scale[i], offset[i], days[i] = view.scale[index], view.offset[index], view.positions[index]
        device = self.device.torch
        ok = self._batch.move(valid)
        a = self._batch.move(scale) / self._std
        b = (self._batch.move(offset) - self._mean) / self._std
        images = self._batch.move(numbers).to(torch.float32)
        if numbers.dtype.kind == "f":
            images = torch.nan_to_num(images)
        images = torch.addcmul(b[..., None, None], images, a[..., None, None]) * ok.unsqueeze(2)
        return images, torch.as_tensor(days, device=device), ok.flatten(2).any(2)


def windows_of_a_batch(window: int) -> int:
    """Windows of `window` pixels for each thread of a processor."""
    return min(max(2, PIXELS_CPU // window**2), WINDOWS_GPU)


def in_batches(places: Sequence[Place], most: int) -> list[Sequence[Place]]:
    """Batches of at most `most` windows, as equal as can be: a last one of a single window would be slow.

    They don't depend on the number of threads, nor do the last digits of a map.
    """
    n = -(-len(places) // max(1, most))
    ends = [len(places) * i // n for i in range(n + 1)] if n else [0]
    return [places[start:end] for start, end in pairwise(ends)]


def _part(array: npt.NDArray[np.bool_], row: int, col: int, window: int) -> npt.NDArray[np.bool_]:
    """Where a window lies over an array; it may reach over its edges."""
    return array[max(0, row) : max(0, row + window), max(0, col) : max(0, col + window)]


def _whole(card: ModelCard, key: str) -> int:
    value = card.hyperparameters.get(key)
    if not isinstance(value, int) or value < 1:
        raise ModelError(
            f"The model card has no '{key}', which a segmentation model needs.",
            "Train the model again with this version, or get the file again.",
        )
    return value
