"""Gradient reversal: what helps the discriminator tell the regions apart is unlearnt by the encoder."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor


class _Reversal(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, coefficient: float) -> Tensor:
        ctx.coefficient = coefficient
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return -ctx.coefficient * gradient, None


def reverse(x: Tensor, coefficient: float) -> Tensor:
    """x itself; its gradient is multiplied by -coefficient."""
    reversed_: Tensor = _Reversal.apply(x, coefficient)  # type: ignore[no-untyped-call]
    return reversed_


def coefficient(step: float, horizon: float = 10_000) -> float:
    """2 / (1 + exp(-10 step / horizon)) - 1: from 0 at step 0 to almost 1 at the horizon.

    Args:
        step: discriminator calls so far.
        horizon: steps. Published: 10 000 for DANN and CDAN (the whole run) and for the weight of ALDA's
            correction, 1 000 for ALDA's reversal (a tenth of the run). Shorter runs scale it down.

    Source: shared/spec/timematch.md sections 7.2 and 7.5.
    """
    return 2 / (1 + math.exp(-10 * step / horizon)) - 1
