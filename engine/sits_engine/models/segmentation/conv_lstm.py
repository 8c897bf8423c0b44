"""Convolutional LSTM with recurrent batch norm, over windows that lack some dates."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sits_engine.models.segmentation.recurrent_norm import RecurrentNorm


class ConvLSTM(nn.Module):
    """One layer, one direction; a window's state stays as it is on dates that the window lacks.

    Args:
        n_in: channels of the input.
        hidden: channels of the state.
        n_steps: most dates.
        momentum: of the norms.

    Source: shared/spec/cscl.md section 5.3.
    """

    def __init__(self, n_in: int, hidden: int, n_steps: int, momentum: float = 0.1) -> None:
        super().__init__()
        self.hidden = hidden
        self.input_conv = nn.Conv2d(n_in, 4 * hidden, 3, padding=1)
        self.h_conv = nn.Conv2d(hidden, 4 * hidden, 3, padding=1)
        self.input_norm = RecurrentNorm(4 * hidden, n_steps, momentum)
        self.h_norm = RecurrentNorm(4 * hidden, n_steps, momentum)
        self.cell_norm = RecurrentNorm(hidden, n_steps, momentum)

    def mean(self, x: Tensor, used: Tensor) -> Tensor:
        """Mean of the states over the dates that a window has; arguments as `steps`.

        Returns:
            (B, hidden, H, W) float32; zeros for a window without any date.
        """
        total = torch.zeros(used.shape[1], self.hidden, *x.shape[2:], device=x.device)
        for _, rows, state in self.steps(x, used):
            total = total + state if rows is None else total.index_add(0, rows, state)
        return total / used.sum(0).clamp(min=1).to(total.dtype)[:, None, None, None]

    def mean_of_all(self, x: Tensor, used: Tensor) -> Tensor:
        """As `mean` in evaluation mode, for export: dates that a window lacks are computed and not taken.

        Args:
            x: (B, T, n_in, H, W), anything finite where not used.
            used: (B, T) bool.
        """
        state = cell = total = x.new_zeros(x.shape[0], self.hidden, *x.shape[3:])
        for date in range(x.shape[1]):
            taken = used[:, date, None, None, None]
            after = self._step(self.input_conv(x[:, date]), state, cell, date, started=True)
            state, cell = torch.where(taken, after[0], state), torch.where(taken, after[1], cell)
            total = total + state * taken.to(state.dtype)
        return total / used.sum(1).clamp(min=1).to(total.dtype)[:, None, None, None]

    def steps(self, x: Tensor, used: Tensor) -> Iterator[tuple[int, Tensor | None, Tensor]]:
        """Run through the dates.

        Args:
            x: (N, n_in, H, W): the inputs of all dates of all windows that are used, date by date.
            used: (T, B) bool with N times True: which windows have which date, in that order.

        Yields:
            date, the windows it changed (M,) int64 or None for all, and their new state (M, hidden, H, W).
        """
        state = cell = torch.zeros(used.shape[1], self.hidden, *x.shape[2:], device=x.device)
        here = used.sum(1)
        # A date that only another process has is gone through, too: the norms wait for all.
        counts, anywhere = torch.stack([here, self.input_norm.anywhere(here)]).tolist()
        # For maps on a processor each date by itself, while it is in the cache, with the norms folded into
        # the kernels and the channel running fastest in memory: 15 to 20 % faster.
        alone = x.device.type == "cpu" and not (self.training or torch.is_grad_enabled())
        step = self._folded_step if alone else self._step
        # Else one convolution for all dates; only what depends on the state has to wait for it.
        x = x.contiguous(memory_format=torch.channels_last if alone else torch.contiguous_format)
        inputs = torch.split(x if alone else self.input_conv(x), counts)
        started = False
        for date, count in enumerate(counts):
            if anywhere[date] == 0:
                continue
            rows = None if count == used.shape[1] else used[date].nonzero().squeeze(1)
            before = (state, cell) if rows is None else (state[rows], cell[rows])
            after = step(inputs[date], *before, date, started)
            if rows is None:
                state, cell = after
            else:
                state, cell = state.index_copy(0, rows, after[0]), cell.index_copy(0, rows, after[1])
            started = True
            yield date, rows, after[0]

    def _step(
        self, gates: Tensor, state: Tensor, cell: Tensor, date: int, started: bool
    ) -> tuple[Tensor, Tensor]:
        """New state and cell of the windows (M, hidden, H, W) from what the input adds to their gates."""
        if started:
            recurrent = self.h_conv(state)
        else:
            # The convolution of a state of zeros.
            recurrent = cast(Tensor, self.h_conv.bias)[:, None, None].expand_as(gates)
        total = (self.h_norm(recurrent, date) + self.input_norm(gates, date)).float()
        into, forget, out, candidate = total.chunk(4, 1)
        cell = torch.sigmoid(forget) * cell + torch.sigmoid(into) * torch.tanh(candidate)
        return torch.sigmoid(out) * self.cell_norm(torch.tanh(cell), date), cell

    def _folded_step(
        self, x: Tensor, state: Tensor, cell: Tensor, date: int, started: bool
    ) -> tuple[Tensor, Tensor]:
        """As `_step`, in evaluation mode, from the input (M, n_in, H, W) itself."""
        (a, into_a), (b, into_b) = self.input_norm.line(date), self.h_norm.line(date)
        shift = cast(Tensor, self.input_conv.bias) * a + into_a + cast(Tensor, self.h_conv.bias) * b + into_b
        total = F.conv2d(x, self.input_conv.weight * a[:, None, None, None], shift, padding=1)
        if started:
            total = total + F.conv2d(state, self.h_conv.weight * b[:, None, None, None], None, padding=1)
        into, forget, out, candidate = total.float().chunk(4, 1)
        cell = torch.addcmul(torch.sigmoid(into) * torch.tanh(candidate), torch.sigmoid(forget), cell)
        c, into_c = self.cell_norm.line(date)
        normal = torch.addcmul(into_c[:, None, None], torch.tanh(cell), c[:, None, None])
        return torch.sigmoid(out) * normal, cell
