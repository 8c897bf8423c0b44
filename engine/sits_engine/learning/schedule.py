"""Optimisers and learning rates of TimeMatch and of the methods it is compared with."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn, optim


def adam(module: nn.Module, learning_rate: float = 1e-3, weight_decay: float = 1e-4) -> optim.Adam:
    """Adam with weight decay in its L2 form (added to the gradient, not decoupled), fused."""
    return optim.Adam(module.parameters(), lr=learning_rate, weight_decay=weight_decay, fused=True)


def cosine(optimizer: optim.Optimizer, steps: int) -> optim.lr_scheduler.CosineAnnealingLR:
    """Learning rate from its start to 0 along half a cosine over `steps`; call `step()` each iteration.

    Source: shared/spec/timematch.md section 4.
    """
    return optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=max(1, steps))


def nesterov(
    encoder: Iterable[nn.Parameter],
    head: Iterable[nn.Parameter],
    factor: float = 1.0,
    weight_decay: float = 1e-4,
) -> optim.SGD:
    """SGD with Nesterov momentum 0.9 of the feature-aligning methods, to be used with `inverse_decay`.

    Args:
        encoder: parameters of the pixel-set and temporal encoders, base rate 0.1 (group 0).
        head: parameters of the decoder and the discriminator, base rate 1 (group 1).
        factor: on both rates.
        weight_decay: L2.

    Source: shared/spec/timematch.md section 7.
    """
    groups = [{"params": list(encoder), "lr": 0.1 * factor}, {"params": list(head), "lr": factor}]
    return optim.SGD(groups, momentum=0.9, weight_decay=weight_decay, nesterov=True)


def inverse_decay(optimizer: optim.Optimizer, horizon: int = 10_000) -> optim.lr_scheduler.LambdaLR:
    """Base rates times 0.001 (1 + 10 t / horizon)^-0.75; call `step()` each iteration.

    Args:
        optimizer: with the base rates.
        horizon: steps of the whole run; published 10 000. Other lengths walk the same decay.
    """
    return optim.lr_scheduler.LambdaLR(optimizer, lambda t: 0.001 * (1 + 10 * t / horizon) ** -0.75)
