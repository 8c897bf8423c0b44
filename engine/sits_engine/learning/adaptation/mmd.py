"""Maximum mean discrepancy of two batches of features, with five Gaussian kernels (MMD, DAN)."""

from __future__ import annotations

import torch
from torch import Tensor

#: Kernel widths as multiples of the mean squared distance in the joint batch.
ALPHAS = (0.125, 0.25, 0.5, 1.0, 2.0)


def mmd_loss(source: Tensor, target: Tensor, *, linear: bool = True) -> Tensor:
    """Discrepancy of two batches of features, a scalar.

    Args:
        source, target: (n, F) each, n >= 2.
        linear: the published linear-time estimate from neighbours in the batch (noisy, depends on their
            order); else the quadratic one from all pairs.

    Returns:
        The estimate + 2 / (n - 1), a published constant without effect on gradients.

    Raises:
        ValueError: the batches differ in size or have fewer than two rows.

    Source: shared/spec/timematch.md section 7.1.
    """
    n = len(source)
    if n != len(target) or n < 2:
        raise ValueError(f"MMD needs two batches of one size >= 2, got {n} and {len(target)}")
    both = torch.cat([source, target])
    both = both - both.mean(dim=0).detach()
    with torch.no_grad():
        # Mean squared distance of all pairs, a row with itself included = twice the mean squared norm here.
        width = (2 * both.square().sum(dim=1).mean()).clamp_min(torch.finfo(both.dtype).tiny)
    estimate = _linear if linear else _quadratic
    return estimate(both[:n], both[n:], width) + 2 / (n - 1)


def _kernel(squared_distance: Tensor, width: Tensor) -> Tensor:
    return torch.stack([torch.exp(-squared_distance / (2 * alpha * width)) for alpha in ALPHAS]).sum(dim=0)


def _linear(source: Tensor, target: Tensor, width: Tensor) -> Tensor:
    def k(x: Tensor, y: Tensor) -> Tensor:
        return _kernel((x - y).square().sum(dim=1), width).mean()

    next_source, next_target = source.roll(-1, dims=0), target.roll(-1, dims=0)
    return k(source, next_source) + k(target, next_target) - k(source, next_target) - k(next_source, target)


def _quadratic(source: Tensor, target: Tensor, width: Tensor) -> Tensor:
    def k(x: Tensor, y: Tensor) -> Tensor:
        distance = x.square().sum(dim=1)[:, None] + y.square().sum(dim=1) - 2 * x @ y.T
        return _kernel(distance.clamp_min(0), width)

    n = len(source)
    others = 1 - torch.eye(n, dtype=source.dtype, device=source.device)
    within = (others * (k(source, source) + k(target, target))).sum() / (n * (n - 1))
    return within - 2 * k(source, target).mean()
