"""Probabilities from a model: single pixels of a map window, or whole parcels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from sits_engine.device import Device
from sits_engine.models import compiled, pixel_kernel, pixel_stage, set_pooling, workers
from sits_engine.models import folded as form
from sits_engine.models.card import ModelCard
from sits_engine.models.card_batch import CardBatch
from sits_engine.models.model_file import load_model
from sits_engine.models.pseltae import PSELTAE

if TYPE_CHECKING:
    from sits_engine.samples.pixel_sets import PixelSets

Floats = npt.NDArray[np.float32]
#: Pixels and parcel pixels of a batch: what stays in the cache of a core, and what fills a card. A card
#: begins with fewer pixels (`CardBatch`), and a tile has several batches, so that copies overlap.
PIXELS_CPU, PIXELS_GPU = 128, 2**15
PIXELS_FIRST = 2**12
ROWS_CPU, ROWS_GPU = 2**17, 2**22
#: Pixels times dates of a set from which on it's worth operations of its own (CPU, nothing compiled).
WHOLE_ROWS = 256


class Predictor:
    """Runs a model on one device; safe to call from several threads.

    PSE+LTAE is multiplied out once (`folded`) and runs in small batches on several threads; another
    network runs as it is. On a graphics card numbers are moved as they were read and scaled there;
    when its memory is full the batch is halved, for good. On a processor whole sets are not padded
    (`set_pooling`), and with a C++ compiler and enough of them their costly half is compiled
    (`compiled`), and the whole network
    for single pixels (`pixel_kernel`); `torch.compile` was tried and gained nothing (docs of `dense`).

    Args:
        module: the network; it is put in eval mode and not changed otherwise. Later changes of its
            weights are not seen: make a new predictor (cheap).
        card: its card.
        device: where to compute.
        notice: receives a sentence when the batch had to be made smaller.
    """

    def __init__(
        self,
        module: nn.Module,
        card: ModelCard,
        device: Device,
        *,
        notice: Callable[[str], None] | None = None,
    ) -> None:
        self.card = card
        self.device = device
        self.module = module.eval().to(device.torch)
        self.notice = notice
        largest = PIXELS_CPU if device.is_cpu else PIXELS_GPU
        self._batch = CardBatch(device, PIXELS_FIRST, largest, smallest=256, notice=notice)
        self.batch_rows = ROWS_CPU if device.is_cpu else ROWS_GPU
        self._mean = torch.tensor([b.mean for b in card.bands], device=device.torch)
        self._std = torch.tensor([b.std for b in card.bands], device=device.torch)
        self._folded: form.Folded | None = None
        if isinstance(module, PSELTAE) and not module.spatial_encoder.extra:
            self._folded = form.fold(module, self._mean, self._std, card.temperature)

    @classmethod
    def open(cls, path: Path, device: Device, **options: Any) -> Self:
        """Read the model file `path` and make a predictor of it (options as the constructor)."""
        module, card = load_model(path)
        return cls(module, card, device, **options)

    @property
    def batch_pixels(self) -> int:
        """Pixels computed at once; setting it keeps a card from choosing."""
        return self._batch.size

    @batch_pixels.setter
    def batch_pixels(self, size: int) -> None:
        self._batch.fix(size)

    @property
    def mask_dates(self) -> bool:
        """True where clouded dates are hidden from the attention."""
        return self.card.mask_dates and not getattr(self.module, "reference", False)

    def start(self) -> None:
        """Compile what single pixels need, where that pays; else the first of them wait for it."""
        _ = self._pixel_kernel

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
        if n == 0:
            return out
        kernel = self._pixel_kernel
        if kernel is not None and pixel_kernel.suits(values):
            kernel.predict(values, valid, scale, offset, positions, out)
            return out
        device = self.device.torch
        with self._precision():
            scale_ = torch.as_tensor(scale, dtype=torch.float32, device=device)
            offset_ = torch.as_tensor(offset, dtype=torch.float32, device=device)
            dates = torch.as_tensor(np.asarray(positions, np.float32), device=device)
            calendar = None if self._folded is None else form.calendar(self._folded, dates)
            hidden = calendar is not None and self.mask_dates

            def classify(part: slice) -> None:
                numbers = torch.from_numpy(np.ascontiguousarray(values[:, :, part])).to(device)
                ok = torch.from_numpy(np.ascontiguousarray(valid[:, part])).to(device)
                logits = self._pixel_logits(numbers, ok, scale_, offset_, dates, calendar)
                probabilities = torch.softmax(logits, -1).mul_(ok.any(0).unsqueeze(1))
                out[part] = probabilities.cpu().numpy()

            def launch(part: slice) -> Tensor:
                # What decides how is looked up here: asking the card would wait for it.
                clear = valid[:, part]
                used = clear.any(1) if hidden else np.ones(len(clear), bool)
                if not used.any():
                    return torch.zeros(part.stop - part.start, out.shape[1], device=device)
                ok = self._batch.move(clear[used])
                numbers = self._batch.move(values[used, :, part])
                keep = slice(None) if used.all() else torch.from_numpy(np.flatnonzero(used)).to(device)
                logits = self._pixel_logits(
                    numbers,
                    ok,
                    scale_[keep],
                    offset_[keep],
                    dates,
                    None if calendar is None else calendar[keep],
                    bool(clear[used].all()),
                )
                return torch.softmax(logits, -1).mul_(ok.any(0).unsqueeze(1))

            if self.device.is_cpu:
                self._in_batches(classify, n, "batch_pixels")
            else:
                for part, found in self._batch.one_behind(n, launch):
                    out[part] = found.cpu().numpy()
        return out

    @cached_property
    def _pixel_kernel(self) -> pixel_kernel.PixelKernel | None:
        """The compiled form for single pixels, where it's there."""
        if self._folded is None or not self.device.is_cpu or not self.mask_dates:
            return None
        return pixel_kernel.kernel_of(self._folded)

    def predict_sets(self, sets: PixelSets) -> Floats:
        """Classify parcels from all pixels of each: (N, K); zeros without any valid date."""
        logits, seen = self.set_logits(sets)
        probabilities: Floats = torch.softmax(torch.from_numpy(logits), -1).numpy()
        probabilities[~seen] = 0
        return probabilities

    def set_logits(self, sets: PixelSets) -> tuple[Floats, npt.NDArray[np.bool_]]:
        """Logits (N, K) divided by the card's temperature, and (N,) True where there was a valid date."""
        n = len(sets.offsets) - 1
        out = np.zeros((n, len(self.card.classes)), np.float32)
        seen = np.zeros(n, np.bool_)
        sizes = np.diff(sets.offsets)
        # Sets of one region share their dates: kept together, those are encoded once a batch.
        order = np.lexsort((sizes, sets.region))
        order = order[sizes[order] > 0]
        unique, inverse = np.unique(sets.positions, return_inverse=True)
        place = inverse.reshape(sets.positions.shape)

        with self._precision():
            dates = torch.from_numpy(unique.astype(np.float32)).to(self.device.torch)
            table = None if self._folded is None else form.calendar(self._folded, dates)
            whole = table is not None and self.device.is_cpu and self.mask_dates
            counts = set_pooling.count(sets.valid, sets.offsets) if whole else None
            kernel = self._kernel(sets) if whole else None

            def classify(part: npt.NDArray[np.int64]) -> None:
                days = None if table is None else form.days_of(table, torch.from_numpy(place[part]))
                if self._folded is not None and days is not None and counts is not None:
                    number = counts[part]
                    bounds = np.stack([sets.offsets[part], sets.offsets[part + 1]], 1)
                    small = int(sizes[part].sum()) * number.shape[1] < WHOLE_ROWS * len(part)
                    if kernel or not (small or set_pooling.mostly_partial(bounds, number)):
                        x = form.sequence_of_whole_sets(
                            self._folded, sets.values, sets.valid, bounds, number, kernel
                        )
                        used = number > 0
                        valid = None if used.all() else torch.from_numpy(used).T
                        seen[part] = used.any(1)
                        out[part] = form.logits(self._folded, x, days, valid).numpy()
                        return
                pixels, mask, positions = self._padded(sets, part)
                seen[part] = mask.any(2).any(1).cpu().numpy()
                out[part] = self._set_logits(pixels, mask, positions, days).cpu().numpy()

            start = 0
            while start < len(order):
                # A CPU gets all batches at once, a card one after the other, to see where memory ends.
                batches = self._by_size(sizes, order[start:], sets.values.shape[1])
                todo = list(islice(batches, None if self.device.is_cpu else 1))
                if self._attempt(lambda todo=todo: self._run(classify, todo), "batch_rows"):  # type: ignore[misc]
                    start += sum(len(batch) for batch in todo)
        return out, seen

    def _kernel(self, sets: PixelSets) -> compiled.Kernel | None:
        """The compiled form of mlp1 and pooling, where it's there and pays."""
        if self._folded is None or not compiled.suits(sets.values, sets.valid):
            return None
        widths = [len(bias) for _, bias in self._folded.mlp1]
        return compiled.kernel(sets.valid.size, widths)

    def _pixel_logits(
        self,
        numbers: Tensor,
        ok: Tensor,
        scale: Tensor,
        offset: Tensor,
        dates: Tensor,
        calendar: Tensor | None,
        clear: bool | None = None,
    ) -> Tensor:
        """(T, C, n) as read, (T, n) -> (n, K).

        `clear`: all pixels are clear at all dates; None to look, and to leave out dates without any.
        """
        hidden = self.mask_dates
        if self._folded is not None and calendar is not None and hidden and clear is None:
            used = ok.any(1)
            if not bool(used.all()):
                # Dates on which the whole batch is clouded are not computed at all.
                keep = used.nonzero().squeeze(1)
                if len(keep) == 0:
                    return scale.new_zeros(numbers.shape[2], len(self.card.classes))
                numbers, ok, scale, offset = numbers[keep], ok[keep], scale[keep], offset[keep]
                calendar = calendar[keep]
        physical = numbers.transpose(1, 2).to(torch.float32, memory_format=torch.contiguous_format)
        physical = torch.addcmul(offset.unsqueeze(1), physical, scale.unsqueeze(1))
        if numbers.dtype.is_floating_point:
            physical = torch.nan_to_num(physical)
        if not hidden:
            physical *= ok.unsqueeze(2)
        if self._folded is None or calendar is None:
            pixels = physical.transpose(0, 1).unsqueeze(-1)
            mask = ok.T.unsqueeze(-1) if hidden else torch.ones_like(ok.T.unsqueeze(-1))
            return self._plain(pixels, mask, dates.expand(mask.shape[0], -1))
        x = form.sequence_of_pixels(self._folded, physical.flatten(0, 1))
        if clear is None:
            clear = bool(ok.all())
        valid = ok if hidden and not clear else None
        return form.logits(self._folded, x.view(*physical.shape[:2], -1), calendar, valid)

    def _padded(self, sets: PixelSets, part: npt.NDArray[np.int64]) -> tuple[Tensor, Tensor, Tensor]:
        """Physical pixels (B, T, C, S) stored channels last, mask (B, T, S), positions (B, T)."""
        sizes = sets.offsets[part + 1] - sets.offsets[part]
        column = np.arange(sizes.max())
        counts = column < sizes[:, None]
        rows = sets.offsets[part][:, None] + np.where(counts, column, 0)
        index = torch.from_numpy(rows.reshape(-1))
        shape = (*rows.shape, *sets.values.shape[1:])
        values = torch.from_numpy(sets.values).index_select(0, index).view(shape)
        mask = torch.from_numpy(sets.valid).index_select(0, index).view(shape[:3])
        mask = mask & torch.from_numpy(counts).unsqueeze(2)
        device = self.device.torch
        pixels = values.to(device).transpose(1, 2).contiguous().transpose(2, 3)
        dates = torch.from_numpy(sets.positions[part].astype(np.float32)).to(device)
        return pixels, mask.transpose(1, 2).to(device), dates

    def _set_logits(self, pixels: Tensor, mask: Tensor, dates: Tensor, calendar: Tensor | None) -> Tensor:
        """(B, T, C, S) physical, (B, T, S), (B, T) -> (B, K)."""
        if not self.mask_dates:
            mask = present(mask, dates)
        if self._folded is None or calendar is None:
            return self._plain(pixels, mask, dates)
        date_mask = mask.any(2)
        n, total = date_mask.shape
        groups = pixel_stage.plan(pixels, mask, date_mask)
        rows = form.sequence_of_sets(self._folded, groups)
        # From (set, date) pairs to (date, set): pairs that are not used stay 0.
        place = (groups.order % total) * n + groups.order // total
        x = rows.new_zeros(total * n, rows.shape[1]).index_copy_(0, place, rows)
        return form.logits(self._folded, x.view(total, n, -1), calendar, date_mask.T)

    def _plain(self, physical: Tensor, mask: Tensor, positions: Tensor) -> Tensor:
        """The network as it is: (B, T, C, S) physical -> logits (B, K) divided by the temperature."""
        pixels = (physical - self._mean[:, None]) / self._std[:, None]
        logits: Tensor = self.module(pixels, mask, positions)
        return logits.float() / self.card.temperature

    def _by_size(
        self, sizes: npt.NDArray[np.int64], order: npt.NDArray[np.int64], dates: int
    ) -> Iterator[npt.NDArray[np.int64]]:
        """Batches of sets in the given order, of about `batch_rows` pixels times dates."""
        rows = sizes[order] * dates
        start = widest = 0
        for end in range(len(order)):
            widest = max(widest, int(rows[end]))
            if end > start and (end + 1 - start) * widest > self.batch_rows:
                yield order[start:end]
                start, widest = end, int(rows[end])
        if start < len(order):
            yield order[start:]

    def _run(self, work: Callable[[Any], None], batches: list[Any]) -> None:
        workers.run(work, batches, parallel=self.device.is_cpu)

    def _in_batches(self, work: Callable[[slice], None], n: int, size: str) -> None:
        """`work` on slices of 0..n, of the batch size that the attribute `size` holds."""
        start = 0
        while start < n:
            step = getattr(self, size)
            # A CPU gets all batches at once, a card one after the other, to see where memory ends.
            end = n if self.device.is_cpu else min(n, start + step)
            batches = [slice(a, min(a + step, end)) for a in range(start, end, step)]
            if self._attempt(lambda todo=batches: self._run(work, todo), size):  # type: ignore[misc]
                start = end

    def _attempt(self, work: Callable[[], None], size: str) -> bool:
        """Do `work`; out of the card's memory, halve the batch size, say so, and return False."""
        try:
            work()
            return True
        except torch.OutOfMemoryError:
            current = getattr(self, size)
            if current <= 256:
                raise
            setattr(self, size, current // 2)
            if self.device.torch.type == "cuda":
                torch.cuda.empty_cache()
            if self.notice:
                self.notice(
                    f"{self.device.label}: memory is full, going on with batches of {current // 2} "
                    f"instead of {current}."
                )
            return False

    def _precision(self) -> Any:
        """No gradients; on a card products in TF32: its tensor cores, with the range of float32."""
        if self.device.torch.type == "cuda":
            torch.set_float32_matmul_precision("high")
        return torch.no_grad()


def present(mask: Tensor, positions: Tensor) -> Tensor:
    """Published behaviour: clouded pixels count, padding doesn't.

    A pixel of a set that is never valid can't be told from padding: both are left out.

    Args:
        mask: (B, T, S); positions: (B, T), padding dates repeat the last one.
    """
    real = nn.functional.pad(positions[:, 1:] != positions[:, :-1], (1, 0), value=True)
    return mask.any(1, keepdim=True) & real.unsqueeze(2)
