"""Optimiser and learning rate of TimeMatch's supervised training."""

from __future__ import annotations

from torch import nn, optim


def adam(module: nn.Module, learning_rate: float = 1e-3, weight_decay: float = 1e-4) -> optim.Adam:
    """Adam with weight decay in its L2 form (added to the gradient, not decoupled), fused."""
    return optim.Adam(module.parameters(), lr=learning_rate, weight_decay=weight_decay, fused=True)


def cosine(optimizer: optim.Optimizer, steps: int) -> optim.lr_scheduler.CosineAnnealingLR:
    """Learning rate from its start to 0 along half a cosine over `steps`; call `step()` each iteration.

    Source: shared/spec/timematch.md section 4.
    """
    return optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=max(1, steps))
