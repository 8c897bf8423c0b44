"""mlp1 and pooling of PSE+LTAE in train mode, with gradients.

For a layer y = W x the statistics of batch norm come from the moments of its *inputs*: mean(y) = W mean(x)
and var(y) = diag(W cov(x) W'). So a layer and its batch norm are one affine map, known before any output is,
and outputs need not be kept: the backward pass computes them again. Two forms do the sums over pixels:
`packed` in C++, `pixel_stage` with PyTorch's operators, on any device. Where several processes share a batch,
they add up the moments and, on the way back, the gradients of the statistics.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from sits_engine.models import packed, pixel_stage
from sits_engine.models.layers import LinearNorm
from sits_engine.models.shared_norm import SharedBatchNorm, Total, update_running

Pixels = packed.Packed | pixel_stage.Groups


def plan(
    widths: Sequence[int],
    pixels: Tensor,
    pixel_mask: Tensor,
    date_mask: Tensor | None,
    *,
    padded_statistics: bool = False,
) -> Pixels:
    """Choose what is computed, and how.

    Args:
        widths: of the layers of mlp1.
        pixels: (B, T, C, S), best stored channels last.
        pixel_mask: (B, T, S).
        date_mask: (B, T) pairs to compute; None: all.
        padded_statistics: published behaviour: pixels that don't count enter the statistics.
    """
    if packed.possible(pixels) and not (padded_statistics and not bool(pixel_mask.all())):
        library = packed.load()
        if library and library.suits(widths):
            return packed.pack(library, pixels, pixel_mask, date_mask)
    return pixel_stage.plan(pixels, pixel_mask, date_mask, padded_statistics=padded_statistics)


def fold_batch(
    weight: Tensor, gamma: Tensor, beta: Tensor, mean: Tensor, covariance: Tensor, *, eps: float
) -> tuple[Tensor, Tensor]:
    """Linear layer and batch norm over a batch as one affine map, from the moments of the inputs.

    Args:
        weight: (b, a); gamma, beta: (b,); mean: (a,); covariance: (a, a), divided by n.

    Returns:
        weight (b, a) and bias (b,); differentiable in all arguments.
    """
    variance = ((weight @ covariance) * weight).sum(1).clamp(min=0)
    scale = gamma * torch.rsqrt(variance + eps)
    return weight * scale.unsqueeze(1), beta - scale * (weight @ mean)


def pooled_features(blocks: Sequence[LinearNorm], pixels: Pixels) -> Tensor:
    """Training-mode mlp1 and pooling; updates the running statistics.

    Args:
        blocks: the layers of mlp1.
        pixels: what to compute.

    Returns:
        (G, 2 F): mean and standard deviation for each pair of `pixels.order`, in that order.
    """
    parameters = [p for block in blocks for p in (block.linear.weight, block.norm.weight, block.norm.bias)]
    eps = [block.norm.eps for block in blocks]
    # All norms of a network share their statistics, or none does.
    norm = blocks[0].norm
    total = norm.total if isinstance(norm, SharedBatchNorm) else None
    pooled, count, *moments = _Training.apply(pixels, total, eps, *parameters)  # type: ignore[no-untyped-call]
    for i, block in enumerate(blocks):
        mean, covariance = moments[2 * i], moments[2 * i + 1]
        weight = block.linear.weight.detach()
        update_running(block.norm, weight @ mean, ((weight @ covariance) * weight).sum(1), count)
    return pooled  # type: ignore[no-any-return]


class _Training(torch.autograd.Function):
    """Layers and pooling; the backward pass computes the layers again."""

    @staticmethod
    def forward(
        ctx: Any, pixels: Pixels, total: Total | None, eps: list[float], *parameters: Tensor
    ) -> tuple[Tensor, ...]:
        moments: list[Tensor] = []
        folded: list[tuple[Tensor, Tensor]] = []
        own = pixels.count
        for k, e in enumerate(eps):
            weight, gamma, beta = parameters[3 * k : 3 * k + 3]
            sums, products = pixels.moments(folded)
            number = sums.new_full((1,), own)
            if total:
                flat = total(torch.cat([number, sums, products.flatten()]))
                number, sums = flat[:1], flat[1 : 1 + len(sums)]
                products = flat[1 + len(sums) :].view_as(products)
            count = number.clamp(min=1)
            mean = sums / count
            covariance = products / count - torch.outer(mean, mean)
            moments += [mean.to(weight.dtype), covariance.to(weight.dtype)]
            folded.append(fold_batch(weight, gamma, beta, *moments[-2:], eps=e))
        pooled = pixels.pool(folded)
        count = count.to(pooled.dtype)
        ctx.pixels, ctx.total, ctx.count, ctx.eps = pixels, total, count, eps
        ctx.mark_non_differentiable(count, *moments)
        ctx.save_for_backward(pooled, *parameters, *moments, *[t for pair in folded for t in pair])
        return pooled, count, *moments

    @staticmethod
    def backward(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        pixels: Pixels = ctx.pixels
        n = len(ctx.eps)
        pooled, *rest = ctx.saved_tensors
        parameters, moments, flat = rest[: 3 * n], rest[3 * n : 5 * n], rest[5 * n :]
        folded = [(flat[2 * i], flat[2 * i + 1]) for i in range(n)]
        result: list[Tensor | None] = [None] * (3 * n)
        found = pixels.gradients_of_pooled(folded, pooled, grad)
        for k in reversed(range(n)):
            with torch.enable_grad():
                given = (*parameters[3 * k : 3 * k + 3], *moments[2 * k : 2 * k + 2])
                leaves = [t.detach().requires_grad_() for t in given]
                outputs = fold_batch(*leaves, eps=ctx.eps[k])
                gradients = torch.autograd.grad(outputs, leaves, found[k])
            result[3 * k : 3 * k + 3] = gradients[:3]
            if k == 0:
                break
            # A change dh of one pixel's inputs moves their mean by dh / n and their covariance by
            # ((h - mean) dh' + dh (h - mean)') / n: an affine map of h, to be added to its gradient.
            d_mean, d_covariance = gradients[3:]
            if ctx.total:
                flat = ctx.total(torch.cat([d_mean, d_covariance.flatten()]))
                d_mean, d_covariance = flat[: len(d_mean)], flat[len(d_mean) :].view_as(d_covariance)
            symmetric = (d_covariance + d_covariance.T) / ctx.count
            constant = d_mean / ctx.count - symmetric @ moments[2 * k]
            more = pixels.gradients_of_outputs(folded[:k], symmetric, constant)
            found = [(w + dw, b + db) for (w, b), (dw, db) in zip(found, more, strict=False)]
        return None, None, None, *result
