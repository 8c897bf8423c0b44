"""Batch norm for recurrent networks: the same scale at every step, statistics of each step's own."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sits_engine.models.shared_norm import SharesStatistics, move, normalised

#: Scale at the start; small, so that the gates aren't saturated.
START = 0.1
EPS = 1e-5


class RecurrentNorm(SharesStatistics):
    """Normalises channels, without shift.

    Args:
        channels: C.
        n_steps: steps with statistics of their own; later ones use the last.
        momentum: share of a batch in the running statistics.

    Source: shared/spec/cscl.md section 5.3.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, n_steps: int, momentum: float = 0.1) -> None:
        super().__init__()
        self.n_steps, self.momentum = n_steps, momentum
        self.weight = nn.Parameter(torch.full((channels,), START))
        self.register_buffer("running_mean", torch.zeros(n_steps, channels))
        self.register_buffer("running_var", torch.ones(n_steps, channels))

    def forward(self, x: Tensor, step: int) -> Tensor:
        """Normalise (N, C, H, W) at a step, from 0; in training by the batch's own statistics."""
        row = self._row(step)
        if self.training and self.total is not None:
            y, count, mean, variance = normalised(x, self.weight, None, EPS, self.total)
            move(self.running_mean[row], self.running_var[row], mean, variance, count, self.momentum)
            return y
        return F.batch_norm(
            x,
            self.running_mean[row],
            self.running_var[row],
            self.weight,
            None,
            self.training,
            self.momentum,
            EPS,
        )

    def anywhere(self, counts: Tensor) -> Tensor:
        """Sums of (T,) counts over the processes that share their statistics, if any do."""
        return counts if self.total is None or not self.training else self.total(counts)

    def line(self, step: int) -> tuple[Tensor, Tensor]:
        """(C,) factor and (C,) summand that it amounts to at a step in evaluation mode."""
        row = self._row(step)
        factor = self.weight * torch.rsqrt(self.running_var[row] + EPS)
        return factor, -self.running_mean[row] * factor

    def _row(self, step: int) -> int:
        return min(step, self.n_steps - 1)
