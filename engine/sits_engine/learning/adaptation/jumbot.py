"""JUMBOT: source and target batches are matched by unbalanced optimal transport."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

#: What the entropic term of the plan is measured against: 'entropy' nothing (POT 0.7, the published form),
#: 'kl' the product of the marginals (what POT does by default since).
Reference = Literal["entropy", "kl"]


def jumbot_loss(
    features_source: Tensor,
    labels_source: Tensor,
    features_target: Tensor,
    logits_target: Tensor,
    *,
    eta1: float = 0.01,
    eta2: float = 1.0,
    eps: float = 0.01,
    tau: float = 0.5,
    reference: Reference = "entropy",
) -> Tensor:
    """Cost of transporting the source batch onto the target batch, a scalar; no gradient through the plan.

    Args:
        features_source, labels_source: (n, F), (n,).
        features_target, logits_target: (m, F), (m, K).
        eta1, eta2: weights of the distance of features and of the labels' disagreement.
        eps, tau, reference: of `transport_plan`.

    Source: shared/spec/timematch.md section 7.4.
    """
    cost = transport_cost(
        features_source, labels_source, features_target, logits_target, eta1=eta1, eta2=eta2
    )
    plan = transport_plan(cost, eps=eps, tau=tau, reference=reference)
    return (plan.to(cost.dtype) * cost).sum()


def transport_cost(
    features_source: Tensor,
    labels_source: Tensor,
    features_target: Tensor,
    logits_target: Tensor,
    *,
    eta1: float = 0.01,
    eta2: float = 1.0,
) -> Tensor:
    """(n, m): eta1 |f_i - f_j|^2 - eta2 log p_j[y_i]."""
    norms = features_source.square().sum(dim=1)[:, None] + features_target.square().sum(dim=1)
    distance = (norms - 2 * features_source @ features_target.T).clamp_min(0)
    disagreement = -functional.log_softmax(logits_target, dim=1).T[labels_source]
    return eta1 * distance + eta2 * disagreement


#: Rounds between two looks at the change.
LOOK_EVERY = 10
#: Exponents up to this size neither overflow nor vanish in float64.
SAFE_EXPONENT = 300.0


@torch.no_grad()
def transport_plan(
    cost: Tensor,
    *,
    eps: float = 0.01,
    tau: float = 0.5,
    reference: Reference = "entropy",
    max_iterations: int = 1000,
    tolerance: float = 1e-6,
) -> Tensor:
    """Unbalanced entropic plan (n, m) with uniform marginals, by scaling in the log domain.

    Plain scaling underflows in float32 for costs above 1.03 (spec pitfall 1.7). An error shrinks by
    (tau / (tau + eps))^2 a round; 300 to 450 rounds are usual.

    Args:
        cost: (n, m), finite.
        eps: entropic weight.
        tau: weight of the marginals' divergence.
        max_iterations: rounds at most.
        tolerance: stops when no potential (in units of eps) changes by more; not looked at in every round,
            since each look waits for the device.

    Returns:
        The plan in float64 (float32 on devices without it): with eps 0.01 exponents reach 10 000, where
        float32 is only good to a thousandth.
    """
    n, m = cost.shape
    kernel = -cost.to(torch.float32 if cost.device.type == "mps" else torch.float64) / eps
    if reference == "kl":
        kernel = kernel - math.log(n * m)
    power = tau / (tau + eps)
    u, v = kernel.new_zeros(n), kernel.new_zeros(m)
    rounds = 0
    while rounds < max_iterations:
        for _ in range(LOOK_EVERY):
            before = v
            u = power * (-math.log(n) - torch.logsumexp(kernel + v, dim=1))
            v = power * (-math.log(m) - torch.logsumexp(kernel + u[:, None], dim=0))
        rounds += LOOK_EVERY
        change = float((v - before).abs().max())
        if change <= tolerance:
            break
        # Changes shrink geometrically, so what is to come is bounded: where its exponential is harmless,
        # the plan so far absorbs the potentials and a round is two products instead of two logsumexps.
        if change / (1 - power**2) < SAFE_EXPONENT and kernel.dtype == torch.float64:
            plan = torch.exp(u[:, None] + kernel + v)
            more_u, more_v = u, v
            for _ in range(4 * LOOK_EVERY):
                more_u = power * (-math.log(n) + u - torch.log(plan @ torch.exp(more_v - v)))
                more_v = power * (-math.log(m) + v - torch.log(torch.exp(more_u - u) @ plan))
            u, v = more_u, more_v
            rounds += 4 * LOOK_EVERY
    return torch.exp(u[:, None] + kernel + v)
