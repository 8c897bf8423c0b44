"""ALDA: a discriminator with a score for each class learns how far pseudo labels can be trusted."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from sits_engine.learning.adaptation.reversal import reverse


class ClassDiscriminator(nn.Sequential):
    """Features (B, n_features) to scores (B, n_classes). Source: shared/spec/timematch.md section 7.5."""

    def __init__(self, n_features: int, n_classes: int, hidden: int = 1024, dropout: float = 0.5) -> None:
        super().__init__(
            nn.Linear(n_features, hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, n_classes),
        )
        for layer in self:
            if isinstance(layer, nn.Linear):
                nn.init.xavier_normal_(layer.weight)
                nn.init.zeros_(layer.bias)


class AldaTerms(NamedTuple):
    """Scalars; the published total is cross-entropy + adversarial + regularisation + lambda correction."""

    adversarial: Tensor
    regularisation: Tensor
    correction: Tensor


def alda_loss(
    discriminator: nn.Module,
    features_source: Tensor,
    features_target: Tensor,
    logits_source: Tensor,
    logits_target: Tensor,
    labels_source: Tensor,
    coefficient: float,
    *,
    threshold: float = 0.7,
) -> AldaTerms:
    """The three terms for a batch of each region.

    The regularisation sees detached features in a call of its own (with its own dropout), so it moves
    nothing but the discriminator and all terms can go into one backward pass.

    Args:
        discriminator: a `ClassDiscriminator`.
        features_source, features_target: (n, F), (m, F).
        logits_source, logits_target: (n, K), (m, K) of the classifier, K >= 2.
        labels_source: (n,).
        coefficient: of the gradient reversal before the discriminator, `reversal.coefficient(step, 1_000)`.
        threshold: target samples count above this confidence.
    """
    features = torch.cat([features_source, features_target])
    scores = discriminator(reverse(features, coefficient))
    probabilities = torch.cat([logits_source, logits_target]).softmax(dim=1)
    adversarial, correction = adversarial_and_correction(scores, probabilities, labels_source, threshold)
    own = discriminator(features_source.detach())
    return AldaTerms(adversarial, functional.cross_entropy(own, labels_source), correction)


def adversarial_and_correction(
    scores: Tensor, probabilities: Tensor, labels_source: Tensor, threshold: float = 0.7
) -> tuple[Tensor, Tensor]:
    """Two scalars from the discriminator's scores and the classifier's probabilities.

    With a = sigmoid(score of the predicted class), the pseudo label corrected by the discriminator is a for
    that class and (1 - a) / (K - 1) for each other one. The adversarial term pulls it to the true label in
    the source and away from the pseudo label in the target; the correction trains the classifier with it in
    the target, and is 0 where no target sample is confident.

    Args:
        scores, probabilities: (n + m, K), source rows first.
        labels_source: (n,).
        threshold: target samples count above this confidence.
    """
    n, k = len(labels_source), scores.shape[1]
    confidence, predicted = probabilities.detach().max(dim=1)
    counts = confidence > threshold
    counts[:n] = True
    chosen = functional.one_hot(predicted, k).to(scores.dtype)
    score = scores.gather(1, predicted[:, None])
    log_a, log_rest = functional.logsigmoid(score), functional.logsigmoid(-score)
    # Logarithms of q and 1 - q; the second for other classes is log((K - 2 + a) / (K - 1)).
    log_q = torch.where(chosen > 0, log_a, log_rest - math.log(k - 1))
    others = torch.full_like(log_a, math.log(k - 2) if k > 2 else -math.inf)
    log_not_q = torch.where(chosen > 0, log_rest, torch.logaddexp(others, log_a) - math.log(k - 1))

    wanted = (1 - chosen) / (k - 1)
    wanted[:n] = functional.one_hot(labels_source, k).to(scores.dtype)
    losses = -(wanted * log_q + (1 - wanted) * log_not_q).sum(dim=1)
    adversarial = (losses * counts).sum() / counts.sum()

    trusted = counts[n:, None]
    agreement = probabilities[n:] * log_q[n:].detach().exp() * trusted
    return adversarial, -agreement.sum() / (k * trusted.sum()).clamp_min(1)
