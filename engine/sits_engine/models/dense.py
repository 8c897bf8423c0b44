"""Affine maps at the speed of the processor.

PyTorch multiplies float32 matrices with MKL, which uses only AVX2 on processors that are not
Intel's. oneDNN, which is part of PyTorch as well, uses what is there (measured on an AMD EPYC with
AVX-512: 2.3 times as fast), and adds the bias and the ReLU in the same pass. PyTorch exposes it as
the operator that its own compiler emits; it is tried once, and where it is missing or wrong the
plain operators do the work.

`torch.compile` was measured as an alternative: on top of the multiplied-out network with MKL it gained
nothing (30.1 against 30.2 thousand pixels a second and core, 27.5 against 28.0 when limited to AVX2) after
12 to 26 s of compiling; oneDNN without it gives 63 and 39 thousand. So no C++ compiler is needed
(where there is one, pooling over the pixels of parcels gains by it: `compiled`).
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor


@cache
def onednn_works() -> bool:
    """True where the fused operator exists and gives the right numbers."""
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    x = torch.linspace(-1, 1, 48).view(6, 8)
    weight = torch.linspace(-2, 1, 40).view(5, 8)
    bias = torch.linspace(0, 1, 5)
    try:
        fused = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "relu", [], "")
    except (RuntimeError, AttributeError, TypeError, NotImplementedError):
        return False
    return bool(torch.allclose(fused, torch.relu(x @ weight.T + bias), atol=1e-5))


def affine(x: Tensor, weight: Tensor, bias: Tensor | None = None, *, relu: bool = False) -> Tensor:
    """x @ weight.T + bias, then ReLU on wish. Not differentiable: call it without gradients.

    Args:
        x: (..., a); weight: (b, a); bias: (b,).

    Returns:
        (..., b).
    """
    if x.device.type == "cpu" and x.dtype == torch.float32 and onednn_works():
        activation = "relu" if relu else "none"
        out: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, activation, [], "")
        return out
    out = torch.nn.functional.linear(x, weight, bias)
    return out.relu_() if relu else out


class _Linear(torch.autograd.Function):
    """Differentiable product without bias; forward and input gradient through `affine`."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return affine(x, weight)

    @staticmethod
    def backward(
        ctx: torch.autograd.function.FunctionCtx, grad: Tensor
    ) -> tuple[Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors  # type: ignore[attr-defined]
        grad = grad.contiguous()
        d_x = affine(grad, weight.T.contiguous()) if ctx.needs_input_grad[0] else None  # type: ignore[attr-defined]
        return d_x, grad.T @ x


def linear(x: Tensor, weight: Tensor) -> Tensor:
    """x (n, a) @ weight.T (a, b), differentiable in both."""
    out: Tensor = _Linear.apply(x, weight)  # type: ignore[no-untyped-call]
    return out
