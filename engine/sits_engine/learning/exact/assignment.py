"""Which prototype a pixel belongs to: optimal transport that gives all prototypes of a class a share."""

from __future__ import annotations

import math

import torch
from torch import Tensor

#: How a pixel's prototype follows from the transport plan.
DRAWS = ("argmax", "gumbel")


def sinkhorn(
    scores: Tensor, mask: Tensor | None = None, *, epsilon: float = 0.05, iterations: int = 3
) -> Tensor:
    """Balance the assignment of pixels to prototypes, for all classes at once.

    Args:
        scores: (..., n, m), of n pixels for m prototypes.
        mask: (..., n) bool, pixels that take part; None: all.
        epsilon: smoothness; small: nearly hard.
        iterations: of scaling rows and columns.

    Returns:
        (..., n, m) float32; a pixel's row sums to 1, and is 0 for those that don't take part.

    In logarithms: prototypes that grow under a gradient would run out of float32 otherwise.
    Source: shared/spec/exact.md section 3.1, step 2.
    """
    n_prototypes = scores.shape[-1]
    log = scores.float() / epsilon
    taking = torch.ones(log.shape[:-1], dtype=torch.bool, device=log.device) if mask is None else mask
    outside = ~taking[..., None]
    # The division by the sum of everything drops out of the first scaling of the prototypes.
    for _ in range(iterations):
        shares = log.masked_fill(outside, float("-inf")).logsumexp(-2, keepdim=True)
        # A class without pixels has no share.
        shares = torch.where(torch.isfinite(shares), shares, 0.0)
        log = log - shares - math.log(n_prototypes)
        log = log - log.logsumexp(-1, keepdim=True)
    return log.exp().masked_fill(outside, 0.0)


def assign(plan: Tensor, draw: str = "argmax", generator: torch.Generator | None = None) -> Tensor:
    """One prototype for each pixel.

    Args:
        plan: (..., n, m), of `sinkhorn`.
        draw: 'argmax', or 'gumbel' (published for the update of the prototypes): the plan taken as
            logits, which since it lies in 0..1 is little better than a coin (pitfalls 2.11).
        generator: of the draw.

    Returns:
        (..., n) int64.
    """
    if draw not in DRAWS:
        raise ValueError(f"draw '{draw}' is none of {', '.join(DRAWS)}")
    if draw == "argmax":
        return plan.argmax(-1)
    device = plan.device if generator is None else generator.device
    noise = torch.empty(plan.shape, device=device).exponential_(generator=generator).to(plan.device)
    # Hard, so the temperature of the published Gumbel softmax makes no difference.
    return (plan.float() - noise.log()).argmax(-1)
