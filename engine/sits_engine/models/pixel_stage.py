"""The pixel-set encoder's costly half (mlp1 and pooling) in pieces that stay in the cache.

Three things make it fast, none changes the answer:

- Batch norm is folded into the linear layer before it (in training: `pixel_training`), so no layer's
  output is ever kept for all pixels.
- Pixels go through all layers chunk by chunk; the backward pass computes a chunk again instead of
  reading it from memory.
- Only (set, date) pairs that count are computed, sorted by their number of pixels, so that hardly
  any padding is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

from sits_engine.models import workers
from sits_engine.models.dense import affine
from sits_engine.models.pixel_set import VARIANCE_FLOOR

#: Rows (pixels) of a chunk: on a CPU its activations fit in the cache of a core, on a GPU in its memory.
ROWS_CPU, ROWS_GPU = 16384, 2**21

Out = TypeVar("Out")
#: Start and end in `Groups.order`, and the number of pixels to take of each pair.
Chunk = tuple[int, int, int]
#: Weight (b, a) and bias (b,).
Affine = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Groups:
    """Which pixels of which (set, date) pairs are computed, in chunks.

    Attributes:
        pixels: (N, S, C) all pairs, channels last.
        mask: (N, S) the pixels that count, of the pixels' type; None where all do.
        order: (G,) pairs that are computed, fewest pixels first.
        chunks: (start, end, pixels) ranges of `order` and the number of pixels to take of each pair.
        padded_statistics: published behaviour: pixels that don't count enter the statistics.
        in_order: `order` is 0, 1, 2, ...: nothing needs to be gathered.
    """

    pixels: Tensor
    mask: Tensor | None
    order: Tensor
    chunks: tuple[Chunk, ...]
    padded_statistics: bool = False
    in_order: bool = False

    def take(self, chunk: Chunk) -> tuple[Tensor, Tensor | None]:
        """Pixels (n, s, C) and mask (n, s) of a chunk."""
        start, end, s = chunk
        # All pairs in their own order: a view will do. Otherwise their pixels are gathered.
        index = slice(start, end) if self.in_order else self.order[start:end]
        mask = None if self.mask is None else self.mask[index, :s]
        return self.pixels[index, :s], mask

    def each(self, work: Callable[[Chunk], Out]) -> list[Out]:
        """Results of `work` for each chunk, on a CPU by several threads."""
        return workers.run(work, self.chunks, parallel=self.pixels.device.type == "cpu")

    @property
    def count(self) -> int:
        """Pixels that enter the batch-norm statistics."""
        if self.mask is None or self.padded_statistics:
            return sum((end - start) * s for start, end, s in self.chunks)
        return int(self.mask[self.order].sum())

    def moments(self, folded: Sequence[Affine]) -> tuple[Tensor, Tensor]:
        """Sums (a,) and sums of outer products (a, a) of what the layers give, over the pixels that count."""
        # float64 where it is cheap: sums over chunks, and what is made of them. Apple's GPUs have none.
        wide = torch.float64 if self.pixels.device.type in ("cpu", "cuda") else torch.float32

        def sums(chunk: Chunk) -> tuple[Tensor, Tensor]:
            x, mask = self.take(chunk)
            h = run_layers(x.flatten(0, 1), folded)[-1]
            weighted = h
            if mask is not None and not self.padded_statistics:
                weighted = h * mask.reshape(-1, 1)
            return weighted.sum(0).to(wide), (weighted.T @ h).to(wide)

        parts = self.each(sums)
        return _sum([part[0] for part in parts]), _sum([part[1] for part in parts])

    def pool(self, folded: Sequence[Affine]) -> Tensor:
        """(G, 2 F) mean and deviation of what the layers give for each pair of `order`."""
        pooled = self.pixels.new_empty(len(self.order), 2 * folded[-1][0].shape[0])

        def pool(chunk: Chunk) -> None:
            x, mask = self.take(chunk)
            h = run_layers(x.flatten(0, 1), folded)[-1]
            pool_chunk(h.view(*x.shape[:2], h.shape[1]), mask, pooled[chunk[0] : chunk[1]])

        self.each(pool)
        return pooled

    def gradients_of_pooled(self, folded: Sequence[Affine], pooled: Tensor, grad: Tensor) -> list[Affine]:
        """Gradients of the layers' weights and biases.

        Args:
            pooled: (G, 2 F), what `pool` gave; grad: (G, 2 F), its gradient.
        """

        def first(chunk: Chunk, h: Tensor, mask: Tensor | None) -> Tensor:
            part = slice(*chunk[:2])
            return _unpool(h, mask, pooled[part], grad[part])

        return self._gradients(folded, first)

    def gradients_of_outputs(
        self, folded: Sequence[Affine], symmetric: Tensor, constant: Tensor
    ) -> list[Affine]:
        """The same where the outputs h of the last layer have the gradients h @ symmetric + constant."""

        def first(chunk: Chunk, h: Tensor, mask: Tensor | None) -> Tensor:
            g = affine(h, symmetric, constant)
            return g if mask is None or self.padded_statistics else g.mul_(mask.unsqueeze(2))

        return self._gradients(folded, first)

    def _gradients(
        self, folded: Sequence[Affine], first: Callable[[Chunk, Tensor, Tensor | None], Tensor]
    ) -> list[Affine]:
        """`first` makes the gradient of the last layer's outputs (n, s, F) from them and the mask."""

        def work(chunk: Chunk) -> list[Affine]:
            x, mask = self.take(chunk)
            values = run_layers(x.flatten(0, 1), folded)
            g = first(chunk, values[-1].view(*x.shape[:2], values[-1].shape[1]), mask).flatten(0, 1)
            found: list[Affine] = []
            for k in reversed(range(len(folded))):
                # ReLU: the gradient passes where the output is positive.
                torch.ops.aten.threshold_backward.grad_input(g, values[k + 1], 0, grad_input=g)
                found.append((g.T @ values[k], g.sum(0)))
                if k:
                    g = affine(g, folded[k][0].T.contiguous())
            return found[::-1]

        parts = self.each(work)
        return [
            (_sum([weight for weight, _ in layer]), _sum([bias for _, bias in layer]))
            for layer in zip(*parts, strict=True)
        ]


def _sum(parts: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(parts)).sum(0)


def plan(
    pixels: Tensor, pixel_mask: Tensor, date_mask: Tensor | None, *, padded_statistics: bool = False
) -> Groups:
    """Choose what is computed.

    Args:
        pixels: (B, T, C, S), best stored channels last.
        pixel_mask: (B, T, S).
        date_mask: (B, T) pairs to compute; None: all.
        padded_statistics: see `Groups`; then all pixels of all pairs are computed.
    """
    x = pixels.transpose(2, 3).contiguous().flatten(0, 1)
    mask = pixel_mask.flatten(0, 1)
    n, s = mask.shape
    full = bool(mask.all())
    in_order = date_mask is None or bool(date_mask.all())
    if date_mask is None or in_order:
        order = torch.arange(n, device=x.device)
    else:
        order = date_mask.flatten().nonzero().squeeze(1)
    rows = ROWS_CPU if x.device.type == "cpu" else ROWS_GPU
    if full or padded_statistics:
        extent = [s] * len(order)
    else:
        last = torch.arange(1, s + 1, device=x.device)
        widths = (mask[order].to(torch.bool) * last).amax(1).clamp(min=1)
        in_order = in_order and bool((widths == s).all())
        if not in_order:
            widths, rank = widths.sort(stable=True)
            order = order[rank]
        extent = widths.tolist()
    return Groups(
        x,
        None if full else mask.to(x.dtype),
        order,
        # a share of a batch may hold nothing that counts
        tuple(_chunks(extent, rows)) or ((0, 0, 1),),
        padded_statistics,
        in_order,
    )


def _chunks(extent: Sequence[int], rows: int) -> Iterator[tuple[int, int, int]]:
    """Ranges of about `rows` pixels; `extent` rises, so the last pair of a range is its widest."""
    start = 0
    while start < len(extent):
        # With rising extents the range that fits shrinks: a few steps find it.
        end = min(len(extent), start + max(1, rows // extent[start]))
        while end - start > 1 and (end - start) * extent[end - 1] > rows:
            end = start + max(1, min(end - start - 1, rows // extent[end - 1]))
        yield start, end, extent[end - 1]
        start = end


def run_layers(x: Tensor, folded: Sequence[Affine]) -> list[Tensor]:
    """The input (n, C) and the outputs (n, width) of all layers."""
    values = [x]
    for weight, bias in folded:
        values.append(affine(values[-1], weight, bias, relu=True))
    return values


def pool_chunk(h: Tensor, mask: Tensor | None, out: Tensor) -> None:
    """Mean and deviation over pixels, (n, s, F) -> (n, 2 F), as `pixel_set.pool_mean_std`; h is lost."""
    width = h.shape[-1]
    mean, std = out[:, :width], out[:, width:]
    if mask is None:
        divisor: Any = max(1, h.shape[1] - 1)
        torch.mean(h, 1, out=mean)
    else:
        number = mask.sum(1, keepdim=True)
        divisor = (number - 1).clamp(min=1)
        mean.copy_(torch.bmm(mask.unsqueeze(1), h).squeeze(1) / number.clamp(min=1))
    spread = h.sub_(mean.unsqueeze(1)).square_()
    spread = spread.sum(1) if mask is None else torch.bmm(mask.unsqueeze(1), spread).squeeze(1)
    std.copy_(torch.sqrt(spread / divisor + VARIANCE_FLOOR))


def _unpool(h: Tensor, mask: Tensor | None, pooled: Tensor, grad: Tensor) -> Tensor:
    """Gradient of the last layer's output (n, s, F) from that of the pooled features (n, 2 F)."""
    width = h.shape[-1]
    mean, std = pooled[:, :width], pooled[:, width:]
    d_mean, d_std = grad[:, :width], grad[:, width:]
    n = h.new_full((len(h), 1), h.shape[1]) if mask is None else mask.sum(1, keepdim=True)
    # A set of one pixel has no deviation, and none that could be changed.
    slope = torch.where(n > 1, d_std / (std * (n - 1).clamp(min=1)), 0.0)
    constant = d_mean / n.clamp(min=1) - slope * mean
    out = torch.addcmul(constant.unsqueeze(1), h, slope.unsqueeze(1))
    return out if mask is None else out.mul_(mask.unsqueeze(2))
