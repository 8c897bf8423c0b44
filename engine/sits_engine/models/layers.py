"""The block that every part of PSE+LTAE is made of: linear without bias, batch norm, ReLU."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from sits_engine.models.shared_norm import over_all
from sits_engine.models.shared_norm import update_running as update_running


class LinearNorm(nn.Module):
    """Linear (no bias), batch norm over all leading dimensions, ReLU.

    `weight` in `forward` says which vectors are real: the statistics of a training batch are taken
    over those alone, so that padding and clouds don't shift them (published: over all vectors).

    Source: shared/spec/timematch.md section 3, "LL(a, b)".
    """

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.linear = nn.Linear(n_in, n_out, bias=False)
        self.norm = nn.BatchNorm1d(n_out)

    def forward(self, x: Tensor, weight: Tensor | None = None) -> Tensor:
        """Transform vectors.

        Args:
            x: (..., n_in).
            weight: (...) bool or 0/1, True where the vector is real; None where all are.

        Returns:
            (..., n_out).
        """
        y = self.linear(x)
        if weight is None or not self.training:
            flat = self.norm(y.reshape(-1, y.shape[-1]))
            return torch.relu(flat).view(y.shape)
        w = weight.to(y.dtype).reshape(-1, 1)
        flat = y.reshape(-1, y.shape[-1])
        number = w.sum()
        count = number.clamp(min=1)
        own = (flat * w).sum(0) / count
        centred = flat - own
        variance = (centred.square() * w).sum(0) / count
        number, mean, variance = over_all(self.norm, number, own, variance)
        if mean is not own:
            centred = flat - mean
        update_running(self.norm, mean, variance, number)
        scale = self.norm.weight * torch.rsqrt(variance + self.norm.eps)
        return torch.relu(centred * scale + self.norm.bias).view(y.shape)


def blocks(sizes: Sequence[int]) -> nn.ModuleList:
    """LinearNorm blocks through `sizes`, e.g. (10, 32, 64) makes two."""
    return nn.ModuleList(LinearNorm(a, b) for a, b in pairwise(sizes))
