"""mlp1 and pooling of a training step in C++ (`set_training.cpp`), where a compiler is at hand.

The pixels that count lie one after the other, nothing is padded. Some sets at a time go through all
layers, forward and backward, in the caches of a core; nothing is kept for all pixels. Measured on an
AMD EPYC with AVX-512: a third of the time of PyTorch's operators (`pixel_stage`).
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor

from sits_engine.models import compiled, workers
from sits_engine.models.pixel_set import VARIANCE_FLOOR

#: Pixels of a piece of work for one thread. Pieces, and so the result, don't depend on the number of threads.
ROWS = 8192

Affine = tuple[Tensor, Tensor]
Piece = tuple[int, int]


@dataclass(frozen=True)
class Library:
    """The compiled functions.

    Attributes:
        block: the widths of all layers must be multiples of this.
        moments, pool, gradients: `sits_training_moments`, `sits_training_pool`, `sits_training_gradients`.
    """

    block: int
    moments: Any
    pool: Any
    gradients: Any

    def suits(self, widths: Sequence[int]) -> bool:
        """True where it can compute layers of these widths."""
        return not any(width % self.block for width in widths)


def possible(pixels: Tensor) -> bool:
    """True for pixels of the kind that the functions read."""
    return pixels.device.type == "cpu" and pixels.dtype == torch.float32


@cache
def load() -> Library | None:
    """Compile, load and try the functions: a second, once a process."""
    library = compiled.build("set_training.cpp")
    if library is None:
        return None
    pointer, number = ctypes.c_void_p, ctypes.c_int64
    own: list[tuple[Any, list[Any]]] = [
        (library.sits_training_moments, [pointer]),
        (library.sits_training_pool, [ctypes.c_float, pointer]),
        (library.sits_training_gradients, [pointer] * 6),
    ]
    for function, arguments in own:
        function.restype = None
        function.argtypes = [pointer, pointer, number, number, pointer, number, pointer, *arguments]
    made = Library(
        int(library.sits_block()),
        library.sits_training_moments,
        library.sits_training_pool,
        library.sits_training_gradients,
    )
    return made if _right(made) else None


@dataclass(frozen=True)
class Packed:
    """Pixels of the (set, date) pairs that are computed.

    Attributes:
        library: the compiled functions.
        rows: (R, C) float32, contiguous: the pixels that count, pair by pair.
        offsets: (G + 1,) int64 first row of each pair, and behind the last.
        order: (G,) number of each pair in (B T).
    """

    library: Library
    rows: Tensor
    offsets: Tensor
    order: Tensor

    @property
    def count(self) -> int:
        """Pixels that enter the batch-norm statistics."""
        return len(self.rows)

    def moments(self, folded: Sequence[Affine]) -> Affine:
        """Sums (a,) and sums of outer products (a, a), float64, of what the layers give for all pixels."""
        width = folded[-1][0].shape[0] if folded else self.rows.shape[1]
        wide = -(-width // self.library.block) * self.library.block
        found = self._sum(self.library.moments, folded, (width + 1) * wide).view(width + 1, wide)
        return found[width, :width], found[:width, :width]

    def pool(self, folded: Sequence[Affine]) -> Tensor:
        """(G, 2 F) mean and deviation of what the layers give for each pair."""
        pooled = self.rows.new_empty(len(self.order), 2 * folded[-1][0].shape[0])
        self._each(folded, lambda given: self.library.pool(*given, VARIANCE_FLOOR, pooled.data_ptr()))
        return pooled

    def gradients_of_pooled(self, folded: Sequence[Affine], pooled: Tensor, grad: Tensor) -> list[Affine]:
        """Gradients of the layers' weights and biases.

        Args:
            pooled: (G, 2 F), what `pool` gave; grad: (G, 2 F), its gradient.
        """
        return self._gradients(folded, pooled.contiguous(), grad.contiguous(), None, None)

    def gradients_of_outputs(
        self, folded: Sequence[Affine], symmetric: Tensor, constant: Tensor
    ) -> list[Affine]:
        """The same where the outputs h of the last layer have the gradients h @ symmetric + constant."""
        return self._gradients(folded, None, None, symmetric.contiguous(), constant.contiguous())

    def _gradients(self, folded: Sequence[Affine], *source: Tensor | None) -> list[Affine]:
        products = torch.cat([weight.flatten() for weight, _ in folded])
        more = [products.data_ptr(), *(0 if t is None else t.data_ptr() for t in source)]
        size = sum(weight.numel() + bias.numel() for weight, bias in folded)
        flat = self._sum(self.library.gradients, folded, size, more).to(self.rows.dtype)
        result: list[Affine] = []
        for weight, bias in folded:
            # As the kernel reads weights: inputs first.
            d_weight = flat[: weight.numel()].view(weight.shape[1], -1).T
            d_bias = flat[weight.numel() : weight.numel() + bias.numel()]
            flat = flat[weight.numel() + bias.numel() :]
            result.append((d_weight, d_bias))
        return result

    def _sum(self, function: Any, folded: Sequence[Affine], size: int, more: Sequence[int] = ()) -> Tensor:
        """(size,) float64 sum of what the function adds for each piece, in the order of the pieces."""

        def work(given: tuple[Any, ...]) -> Tensor:
            out = self.rows.new_zeros(size)
            function(*given, *more, out.data_ptr())
            return out

        return torch.stack(self._each(folded, work)).to(torch.float64).sum(0)

    def _each(self, folded: Sequence[Affine], work: Callable[[tuple[Any, ...]], Any]) -> list[Any]:
        """Results of `work` for each piece, by several threads; it gets the functions' first arguments."""
        widths = [self.rows.shape[1], *(len(bias) for _, bias in folded)]
        widths_ = (ctypes.c_int64 * len(widths))(*widths)
        # Kept here until all is done: the functions get addresses.
        weights = torch.cat([part for w, b in folded for part in (w.T.flatten(), b)] or [self.rows[:0, 0]])

        def piece(item: Piece) -> Any:
            begin = (self.rows.data_ptr(), self.offsets.data_ptr(), *item)
            return work((*begin, widths_, len(folded), weights.data_ptr()))

        return workers.run(piece, self._pieces())

    def _pieces(self) -> list[Piece]:
        """Ranges of pairs with about `ROWS` pixels, at least one."""
        steps = torch.arange(0, len(self.rows), ROWS)
        starts = torch.unique(torch.searchsorted(self.offsets, steps, right=True) - 1).tolist()
        # Pairs without any pixel at the start belong to the first piece.
        starts = [0, *starts[1:]]
        return list(zip(starts, [*starts[1:], len(self.order)], strict=True))


def pack(library: Library, pixels: Tensor, pixel_mask: Tensor, date_mask: Tensor | None) -> Packed:
    """Put the pixels that count together.

    Args:
        pixels: (B, T, C, S) float32, best stored channels last: where all count they are read as they are.
        pixel_mask: (B, T, S).
        date_mask: (B, T) pairs to compute; None: all.
    """
    x = pixels.transpose(2, 3).contiguous().flatten(0, 1)
    pairs, size, bands = x.shape
    seen = None if date_mask is None else date_mask.flatten().to(torch.bool)
    order = torch.arange(pairs) if seen is None else seen.nonzero().squeeze(1)
    mask = pixel_mask.flatten(0, 1).to(torch.bool)
    if bool(mask.all()):
        offsets = torch.arange(len(order) + 1) * size
        rows = x if len(order) == pairs else x.index_select(0, order)
        return Packed(library, rows.view(-1, bands), offsets, order)
    if seen is not None:
        mask = mask & seen.unsqueeze(1)
    rows = x.view(-1, bands).index_select(0, mask.flatten().nonzero().squeeze(1))
    offsets = torch.zeros(len(order) + 1, dtype=torch.int64)
    torch.cumsum(mask.sum(1)[order], 0, out=offsets[1:])
    return Packed(library, rows, offsets, order)


@torch.inference_mode(False)
def _right(library: Library) -> bool:
    """True where the functions give the right numbers for three sets, one of a single pixel."""
    generator = torch.Generator().manual_seed(0)

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    width = library.block
    packed = Packed(library, random(74, 3), torch.tensor([0, 1, 71, 74]), torch.arange(3))
    folded = [(random(width, 3), random(width)), (random(width, width) / width**0.5, random(width))]
    grad, symmetric, constant = random(3, 2 * width), random(width, width), random(width)
    with torch.enable_grad():
        leaves = [(w.clone().requires_grad_(), b.clone().requires_grad_()) for w, b in folded]
        h = packed.rows
        for weight, bias in leaves:
            h = torch.relu(h @ weight.T + bias)
        parts = [h[:1], h[1:71], h[71:]]
        pooled = torch.stack(
            [torch.cat([part.mean(0), torch.sqrt(_variance(part) + VARIANCE_FLOOR)]) for part in parts]
        )
        flat = [t for pair in leaves for t in pair]
        wanted = [
            h.sum(0),
            h.T @ h,
            pooled,
            *torch.autograd.grad(pooled, flat, grad, retain_graph=True),
            *torch.autograd.grad(h, flat, h.detach() @ symmetric + constant),
        ]
    found = [
        *packed.moments(folded),
        packed.pool(folded),
        *(t for pair in packed.gradients_of_pooled(folded, wanted[2].detach(), grad) for t in pair),
        *(t for pair in packed.gradients_of_outputs(folded, symmetric, constant) for t in pair),
    ]
    return all(
        torch.allclose(a.to(b.dtype), b, 1e-3, 1e-3 * float(b.detach().abs().max()))
        for a, b in zip(found, wanted, strict=True)
    )


def _variance(part: Tensor) -> Tensor:
    return (part - part.mean(0)).square().sum(0) / max(1, len(part) - 1)
