"""The loss of context-self contrastive pre-training (CSCL).

Neighbours of the same class are pulled together, others pushed apart. The loss is linear in the cosine: no
logarithm, no soft-max, no temperature.

Source: shared/spec/cscl.md section 3; shared/spec/pitfalls.md 3.8 to 3.10.
"""

from __future__ import annotations

import torch
from torch import Tensor


def default_positive_weight(kernel: int) -> float:
    """1 / (k^2 - 1): inside parcels nearly all pairs are positive; 0.125 for the published kernel 3."""
    return 1.0 / max(1, kernel * kernel - 1)


def cscl_loss(
    similarity: Tensor,
    same: Tensor,
    mask: Tensor | None = None,
    *,
    positive_weight: float | None = None,
    reference: bool = False,
) -> Tensor:
    """Mean over all pairs of - w y S + (1 - y) S; a scalar in float32.

    Args:
        similarity: (B, H, W, k, k) S, cosines.
        same: (B, H, W, k, k) y, bool (see `targets.same_class`).
        mask: (B, H, W, k, k) bool, False for pairs that don't count.
        positive_weight: w; None: 1 / (k^2 - 1).
        reference: published mean: with a mask still divided by the number of all pairs, so that the loss
            of a window falls with its unknown pixels. Default: divided by the pairs that count.

    Returns:
        0 where no pair counts. Smallest possible value: -(w share of positives + share of negatives).
    """
    weight = default_positive_weight(similarity.shape[-1]) if positive_weight is None else positive_weight
    # sums over 10^6 pairs of half precision would lose the loss
    signed = similarity.float()
    signed = signed * (1.0 - same.to(signed.dtype) * (1.0 + weight))
    if mask is None:
        return signed.mean()
    counted = mask.to(signed.dtype)
    total = (signed * counted).sum()
    return total / (mask.numel() if reference else counted.sum().clamp_min(1.0))


def pair_sums(similarity: Tensor, same: Tensor, mask: Tensor | None = None) -> Tensor:
    """(4,) float32: sum of S and number of positive pairs, then of negative ones, of one batch."""
    values = similarity.float()
    positive, negative = (same, ~same) if mask is None else (same & mask, ~same & mask)
    return torch.stack(
        [
            (values * positive).sum(),
            positive.sum().float(),
            (values * negative).sum(),
            negative.sum().float(),
        ]
    )
