"""DANN and CDAN: a discriminator tells source from target features, and the encoder learns to confuse it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from sits_engine.learning.adaptation.reversal import reverse


class Discriminator(nn.Sequential):
    """Features (B, n_features) to the logit of 'source', (B, 1).

    Source: shared/spec/timematch.md section 7.2.
    """

    def __init__(self, n_features: int, hidden: int = 1024) -> None:
        super().__init__(
            nn.Linear(n_features, hidden),
            nn.BatchNorm1d(hidden),
            nn.ReLU(),
            nn.Linear(hidden, hidden),
            nn.BatchNorm1d(hidden),
            nn.ReLU(),
            nn.Linear(hidden, 1),
        )


class Conditioning(nn.Module):
    """Features (B, F) and class probabilities (B, K) to CDAN's joint features (B, size).

    Their outer product, class index major (size K F); where that is larger than `limit`, a product of fixed
    random projections (size 1024).

    Attributes:
        size: what `Discriminator` gets as n_features.
    """

    map_f: Tensor
    map_g: Tensor

    def __init__(
        self, n_features: int, n_classes: int, *, limit: int = 4096, random_size: int = 1024, seed: int = 1
    ) -> None:
        super().__init__()
        self.random = n_features * n_classes > limit
        self.size = random_size if self.random else n_features * n_classes
        if self.random:
            draw = torch.Generator().manual_seed(seed)
            self.register_buffer("map_f", torch.randn(n_features, random_size, generator=draw))
            self.register_buffer("map_g", torch.randn(n_classes, random_size, generator=draw))

    def forward(self, features: Tensor, probabilities: Tensor) -> Tensor:
        """(B, F) and (B, K) to (B, size)."""
        if self.random:
            joint: Tensor = (features @ self.map_f) * (probabilities @ self.map_g) / self.size**0.5
            return joint
        return (probabilities[:, :, None] * features[:, None, :]).flatten(1)


def dann_loss(
    discriminator: nn.Module, features_source: Tensor, features_target: Tensor, coefficient: float
) -> Tensor:
    """Cross-entropy of the discriminator (source 1, target 0), each region counting half; a scalar.

    Args:
        discriminator: (B, F) to logits (B, 1); both regions pass in one call.
        features_source, features_target: (n, F), (m, F).
        coefficient: of the gradient reversal before the discriminator, `reversal.coefficient(step)`.
    """
    n = len(features_source)
    logits = discriminator(reverse(torch.cat([features_source, features_target]), coefficient)).flatten()
    return (_bce(logits[:n], 1.0).mean() + _bce(logits[n:], 0.0).mean()) / 2


def cdan_loss(
    discriminator: nn.Module,
    conditioning: nn.Module,
    features_source: Tensor,
    features_target: Tensor,
    logits_source: Tensor,
    logits_target: Tensor,
    coefficient: float,
    *,
    entropy: bool = True,
) -> Tensor:
    """Cross-entropy of a discriminator that sees features and class probabilities jointly; a scalar.

    Args:
        discriminator: joint features to logits (B, 1).
        conditioning: a `Conditioning`.
        features_source, features_target: (n, F), (m, F).
        logits_source, logits_target: (n, K), (m, K) of the classifier; no gradient goes into them here.
        coefficient: of the gradient reversal before the discriminator, `reversal.coefficient(step)`.
        entropy: CDAN+E, sure predictions weigh more.

    Source: shared/spec/timematch.md section 7.3.
    """
    n = len(features_source)
    probabilities = torch.cat([logits_source, logits_target]).detach().softmax(dim=1)
    features = torch.cat([features_source, features_target])
    logits = discriminator(reverse(conditioning(features, probabilities), coefficient)).flatten()
    losses = torch.cat([_bce(logits[:n], 1.0), _bce(logits[n:], 0.0)])
    if not entropy:
        return losses.mean()
    unsure = -(probabilities * (probabilities + 1e-5).log()).sum(dim=1)
    weight = 1 + torch.exp(-unsure)
    return (losses * weight).sum() / weight.sum()


def _bce(logits: Tensor, truth: float) -> Tensor:
    """Binary cross-entropy of each row against one truth."""
    wanted = torch.full_like(logits, truth)
    return functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
