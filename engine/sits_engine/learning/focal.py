"""Focal loss: cross-entropy that cares less about what is already certain."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def focal_loss(logits: Tensor, labels: Tensor, gamma: float = 1.0, weight: Tensor | None = None) -> Tensor:
    """Mean of -(1 - p_y) ** gamma * log p_y; the gradient flows through both factors.

    Args:
        logits: (B, K).
        labels: (B,) int64, 0..K-1.
        gamma: 0 gives cross-entropy; published 1.
        weight: (B,) weight of each sample, None for equal ones; the sum is divided by their sum.

    Returns:
        Scalar.

    Source: Lin et al. 2017 (arXiv 1708.02002); shared/spec/timematch.md section 4.
    """
    log_p = F.log_softmax(logits.float(), -1).gather(-1, labels.unsqueeze(-1)).squeeze(-1)
    loss = -log_p
    if gamma:
        # expm1 keeps 1 - p exact near p = 1, the clamp keeps the slope finite there for gamma < 1.
        loss = loss * (-torch.expm1(log_p)).clamp(min=1e-12) ** gamma
    if weight is None:
        return loss.mean()
    return (loss * weight).sum() / weight.sum().clamp(min=1e-12)
