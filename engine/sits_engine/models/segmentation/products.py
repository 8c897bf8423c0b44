"""Linear layers and the mlp of a transformer, on processors by oneDNN, in pieces that stay in the cache.

PyTorch gives products of float32 to the library it was built with, MKL, which takes 1.2 (AVX2) to 2.4 times
(AVX-512) as long as oneDNN on a processor of AMD. oneDNN is in PyTorch as well, and GELU costs it nothing,
but the operator is one that PyTorch keeps to itself (its compiler calls it). So it is tried on a few numbers
first; where it is missing or wrong, and for other devices and types, the public operators do the work.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

#: Rows of a piece of the mlp, for each thread: 512 wide it has two megabytes.
ROWS = 1024


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """As `torch.nn.functional.linear`: (..., a) -> (..., b), with gradients."""
    if not suits(x, weight):
        return F.linear(x, weight, bias)
    result: Tensor = _Linear.apply(x, weight, bias)  # type: ignore[no-untyped-call]
    return result


def mlp(x: Tensor, first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor]) -> Tensor:
    """second(gelu(first(x))) of two linear layers.

    Args:
        x: (..., a).
        first, second: weight (h, a) and bias (h,), weight (b, h) and bias (b,).

    Returns:
        (..., b). Its backward pass computes the middle again instead of keeping it: that saves the memory
        traffic of what is by far the widest tensor of a transformer.
    """
    if not suits(x, first[0]):
        return F.linear(F.gelu(F.linear(x, *first)), *second)
    result: Tensor = _Mlp.apply(x, *first, *second)  # type: ignore[no-untyped-call]
    return result


def suits(x: Tensor, weight: Tensor) -> bool:
    """True where oneDNN does the work; an exported network has public operators only."""
    return (
        x.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and x.numel() > 0
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_exporting()
        and available()
    )


@cache
def available() -> bool:
    """True where the operator is there and gives the right numbers."""
    try:
        random = torch.Generator().manual_seed(0)
        x, weight, bias = (torch.randn(shape, generator=random) for shape in ((9, 5), (7, 5), (7,)))
        wanted = F.linear(x, weight, bias)
        found = [_product(x, weight, bias), _product(x, weight, bias, "gelu"), _product(x.T, wanted.T)]
    except (RuntimeError, AttributeError, TypeError):
        return False
    right = [wanted, F.gelu(wanted), x.T @ wanted]
    return all(torch.allclose(a, b, 1e-4, 1e-4) for a, b in zip(found, right, strict=True))


def _product(x: Tensor, weight: Tensor, bias: Tensor | None = None, then: str = "none") -> Tensor:
    """x weight^T + bias in oneDNN, `then` 'none' or 'gelu' (the exact one)."""
    result: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, then, [], "none")
    return result


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """x (..., a)."""
        ctx.save_for_backward(x, weight)
        return _product(x, weight, bias)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of what needs them."""
        x, weight = ctx.saved_tensors
        grad = grad.contiguous()
        of_x, of_weight, of_bias = ctx.needs_input_grad
        rows = grad.flatten(0, -2)
        return (
            _product(grad, weight.T) if of_x else None,
            # a^T g, transposed afterwards, is faster than g^T a
            _product(x.flatten(0, -2).T, rows.T).T if of_weight else None,
            rows.sum(0) if of_bias else None,
        )


class _Mlp(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor) -> Tensor:
        """x (..., a)."""
        ctx.save_for_backward(x, w1, b1, w2)
        rows = x.reshape(-1, x.shape[-1])
        out = x.new_empty(len(rows), len(b2))
        for piece in _pieces(len(rows)):
            out[piece] = _product(_product(rows[piece], w1, b1, "gelu"), w2, b2)
        return out.view(*x.shape[:-1], -1)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, ...]:
        """Gradients of everything: the mlp of a network in training needs them all."""
        x, w1, b1, w2 = ctx.saved_tensors
        rows, grad = x.reshape(-1, x.shape[-1]), grad.reshape(-1, grad.shape[-1])
        of_x, of_w1, of_w2 = torch.empty_like(rows), torch.zeros_like(w1.T), torch.zeros_like(w2.T)
        of_b1 = torch.zeros_like(b1)
        for piece in _pieces(len(rows)):
            part, given = rows[piece], grad[piece]
            before = _product(part, w1, b1)
            of_w2 += _product(F.gelu(before).T, given.T)
            back = torch.ops.aten.gelu_backward(_product(given, w2.T), before)
            of_w1 += _product(part.T, back.T)
            of_b1 += back.sum(0)
            of_x[piece] = _product(back, w1.T)
        return of_x.view(x.shape), of_w1.T, of_b1, of_w2.T, grad.sum(0)


def _pieces(n: int) -> Iterator[slice]:
    step = ROWS * torch.get_num_threads()
    return (slice(start, start + step) for start in range(0, n, step))
