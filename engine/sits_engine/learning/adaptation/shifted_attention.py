"""Attention and decoder of PSE+LTAE under many shifts of the dates, from one encoded sequence of each set.

Two identities make it cheap, and neither is an approximation:

- The score of a date is what its pixels say plus what its day says, so its weight is a product: exp of the
  one, which belongs to the set, times exp of the other, which belongs to day and shift and is a table.
- sin(a + b) = sin a cos b + cos a sin b: the encoding of a shifted day is the rotated encoding of the day,
  so the sum over dates is taken of the unshifted one, and rotated.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sits_engine.models.dense import affine
from sits_engine.models.folded import Folded
from sits_engine.models.ltae import POSITION_OFFSET, encode_positions

#: Smallest sum of weights that loses no accuracy in float32: what vanishes beside it is below 1e-38.
SMALLEST_SUM = 1e-28


class ShiftedAttention:
    """From sequences to logits, for all shifts.

    Args:
        network: the multiplied-out network.
        positions: all days that will be asked for, in any shape.
        shifts: (D,) whole days, on the device of the network.
    """

    def __init__(self, network: Folded, positions: npt.NDArray[np.int32], shifts: Tensor) -> None:
        weight, bias = network.score
        heads, width = weight.shape
        self._network, self._n_shifts, self._heads = network, len(shifts), heads
        days = torch.from_numpy(np.unique(positions)).to(shifts)
        moved, place = torch.unique(days[:, None] + shifts + network.shift, return_inverse=True)
        scores = affine(encode_positions(moved, width), weight, torch.zeros_like(bias))
        # (H, U, D): what day u moved by shift d adds to a score
        self._scores = scores[place].permute(2, 0, 1).contiguous()
        # a factor that all dates share changes no weight: with this one the largest is 1
        self._factors = torch.exp(self._scores - self._scores.amax(1, keepdim=True))
        self._days = days.to(torch.float32)
        self._encoded = encode_positions(days + network.shift, width)
        angles = encode_positions(shifts - POSITION_OFFSET, width).view(len(shifts), heads, 1, -1, 2)
        sine, cosine = angles.unbind(-1)
        # (H, 1, D, c / 2): turns sin a + i cos a into sin(a + b) + i cos(a + b)
        turn = torch.view_as_complex(torch.stack([cosine, -sine], -1))
        self._turn = turn.permute(1, 2, 0, 3).contiguous()

    def logits(self, x: Tensor, positions: Tensor, valid: Tensor) -> Tensor:
        """Logits (n, D, K) of n sets; the same at each shift for a set without dates.

        Args:
            x: (n, T, d_model) sequence before the dates are added, finite where not valid.
            positions: (n, T) days. valid: (n, T) bool.
        """
        n, dates, width = x.shape
        heads, d = self._heads, self._n_shifts
        place = torch.searchsorted(self._days, positions.contiguous())
        own, factors, total = self._weights(x, place, valid)
        # every head weighs its own channels, of the pixels and of the unshifted encoding
        both = torch.stack([x, self._encoded[place]], 2).view(n, dates, 2, heads, -1)
        values = x.new_empty(heads, n, dates, 2, width // heads)
        torch.mul(both.permute(3, 0, 1, 2, 4), own[..., None, None], out=values)
        summed = torch.bmm(factors.transpose(1, 2), values.view(heads * n, dates, -1))
        pixels, encoded = torch.view_as_complex(summed.view(heads, n, d, 2, -1, 2)).unbind(3)
        heads_first = torch.view_as_real((encoded * self._turn).add_(pixels)).flatten(3)
        rows = x.new_empty(n, d, heads, width // heads)
        torch.div(heads_first.permute(1, 2, 0, 3), total.permute(1, 2, 0).unsqueeze(3), out=rows)
        rows = rows.view(n * d, width)
        for weight, bias in [*self._network.mlp3, *self._network.decoder]:
            rows = affine(rows, weight, bias, relu=True)
        return affine(rows, *self._network.last).view(n, d, -1)

    def _weights(self, x: Tensor, place: Tensor, valid: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Weights of the dates as products, and their sums.

        Args:
            x, valid: as `logits`. place: (n, T) number of the day.

        Returns:
            own (H, n, T), factors (H n, T, D), sums over the dates of their products (H, n, D).
        """
        heads, (n, dates), d = self._heads, place.shape, self._n_shifts
        scores = affine(x, *self._network.score).masked_fill_(~valid.unsqueeze(2), -torch.inf)
        scores = scores.permute(2, 0, 1).contiguous()
        # a set without dates has no largest score, and no weights
        own = torch.exp(scores - scores.amax(2, keepdim=True).clamp_min_(torch.finfo(scores.dtype).min))
        factors = self._factors.index_select(1, place.flatten()).view(heads * n, dates, d)
        total = torch.bmm(own.view(heads * n, 1, dates), factors).view(heads, n, d)
        seen = valid.any(1)
        if bool((total.amin((0, 2))[seen] < SMALLEST_SUM).any()):
            # Scores so far apart that products vanish: weigh after adding, which takes an exp for each shift.
            added = self._scores.index_select(1, place.flatten()).view(heads, n, dates, d) + scores.unsqueeze(
                3
            )
            added.clamp_min_(torch.finfo(added.dtype).min)
            factors = torch.softmax(added, 2).view(heads * n, dates, d)
            own = seen.to(own.dtype)[:, None].expand(heads, n, dates)
            total = torch.ones_like(total)
        return own, factors, total.clamp_min_(SMALLEST_SUM)
