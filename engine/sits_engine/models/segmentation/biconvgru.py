"""BiConvGRU: convolutional gated recurrent units through the dates, forwards and backwards."""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sits_engine.models.segmentation.segmenter import SegmentationNetwork, lengthened, used_dates, with_day
from sits_engine.models.segmentation.upsampling import enlarging


class ConvGRU(nn.Module):
    """One layer, one direction, last state.

    h' = (1 - u) h + u tanh(conv(x, r h)), u = sigmoid(conv(x, h)) and r likewise. What each convolution
    makes of x is computed for all dates at once; for maps on a processor date by date and together with the
    state, the channel running fastest in memory, which is 20 % faster there.

    Args:
        n_in: channels of the input.
        hidden: channels of the state.
    """

    def __init__(self, n_in: int, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        # Gates in the order update, reset, candidate.
        self.input_conv = nn.Conv2d(n_in, 3 * hidden, 3, padding=1)
        self.gate_conv = nn.Conv2d(hidden, 2 * hidden, 3, padding=1, bias=False)
        self.candidate_conv = nn.Conv2d(hidden, hidden, 3, padding=1, bias=False)

    def forward(self, x: Tensor, used: Tensor, *, backwards: bool = False) -> Tensor:
        """Run through the dates.

        Args:
            x: (N, n_in, H, W): the inputs of all dates of all windows that are used, date by date.
            used: (T, B) bool with N times True: which windows have which date.
            backwards: from the last date to the first.

        Returns:
            (B, hidden, H, W) float32; zeros for a window without any date.
        """
        state = torch.zeros(used.shape[1], self.hidden, *x.shape[2:], device=x.device)
        counts: list[int] = used.sum(1).tolist()
        together: tuple[Tensor, Tensor] | None = None
        if x.device.type == "cpu" and not torch.is_grad_enabled():
            together = self._kernels()
            x = x.contiguous(memory_format=torch.channels_last)
        inputs = torch.split(self.input_conv(x) if together is None else x, counts)
        started = False
        dates = [date for date, count in enumerate(counts) if count]
        for date in reversed(dates) if backwards else dates:
            rows = None if counts[date] == used.shape[1] else used[date].nonzero().squeeze(1)
            before = state if rows is None else state[rows]
            if not started:
                after = self._first(inputs[date] if together is None else self.input_conv(inputs[date]))
            elif together is None:
                after = self._step(inputs[date], before)
            else:
                after = self._step_together(inputs[date], before, *together)
            state = after if rows is None else state.index_copy(0, rows, after)
            started = True
        return state

    def last_of_all(self, x: Tensor, used: Tensor, *, backwards: bool = False) -> Tensor:
        """As `forward`, for export: dates that a window lacks are computed and not taken.

        Args:
            x: (B, T, n_in, H, W), anything finite where not used.
            used: (B, T) bool.
            backwards: from the last date to the first.
        """
        state = x.new_zeros(x.shape[0], self.hidden, *x.shape[3:])
        dates = range(x.shape[1])
        for date in reversed(dates) if backwards else dates:
            after = self._step(self.input_conv(x[:, date]), state)
            state = torch.where(used[:, date, None, None, None], after, state)
        return state

    def _kernels(self) -> tuple[Tensor, Tensor]:
        """Of the gates and of the candidate, over input and state side by side."""
        weight = self.input_conv.weight
        of_gates, of_candidate = weight[: 2 * self.hidden], weight[2 * self.hidden :]
        pairs = (of_gates, self.gate_conv.weight), (of_candidate, self.candidate_conv.weight)
        gates, candidate = (
            torch.cat(pair, 1).contiguous(memory_format=torch.channels_last) for pair in pairs
        )
        return gates, candidate

    def _first(self, inputs: Tensor) -> Tensor:
        """The step from a state of zeros, of which no convolution is needed."""
        update, _, candidate = inputs.float().chunk(3, 1)
        return torch.sigmoid(update) * torch.tanh(candidate)

    def _step_together(self, x: Tensor, state: Tensor, gates: Tensor, candidate: Tensor) -> Tensor:
        bias = cast(Tensor, self.input_conv.bias)
        of_gates, of_candidate = bias[: 2 * self.hidden], bias[2 * self.hidden :]
        both = F.conv2d(torch.cat([x, state], 1), gates, of_gates, padding=1).float()
        update, reset = torch.sigmoid_(both).chunk(2, 1)
        wanted = F.conv2d(torch.cat([x, state * reset], 1), candidate, of_candidate, padding=1).float()
        return torch.lerp(state, torch.tanh_(wanted), update)

    def _step(self, inputs: Tensor, state: Tensor) -> Tensor:
        gates, candidate = inputs[:, : 2 * self.hidden], inputs[:, 2 * self.hidden :]
        update, reset = torch.sigmoid((gates + self.gate_conv(state)).float()).chunk(2, 1)
        wanted = torch.tanh((candidate + self.candidate_conv(state * reset)).float())
        return torch.lerp(state, wanted, update)


class BiConvGRU(SegmentationNetwork):
    """The last states of both directions, side by side, are the embedding, E = 2 hidden.

    Args:
        n_bands, n_classes, n_dates, window, scale: as `SegmentationNetwork`.
        features: channels of the convolution before the recurrent units (published 64).
        hidden: channels of a state (published 256).
        reference: published behaviour: log-probabilities instead of logits, which changes neither classes
            nor cross-entropy.

    Source: shared/spec/cscl.md section 5.4.
    """

    def __init__(
        self,
        *,
        n_bands: int,
        n_classes: int,
        n_dates: int,
        window: int = 24,
        scale: int = 1,
        features: int = 64,
        hidden: int = 256,
        reference: bool = False,
    ) -> None:
        super().__init__(
            n_bands=n_bands,
            n_classes=n_classes,
            n_dates=n_dates,
            window=window,
            scale=scale,
            reference=reference,
        )
        if min(features, hidden) < 1:
            raise ValueError("features and hidden must be at least 1")
        self.divisor = 1
        self.embedding_channels = 2 * hidden
        self.inconv = nn.Conv2d(n_bands + 1, features, 3, padding=1)
        self.ahead = ConvGRU(features, hidden)
        self.back = ConvGRU(features, hidden)
        self.enlarge = enlarging(2 * hidden, scale, reference=reference)
        self.head = nn.Conv2d(2 * hidden, n_classes, 3, padding=1)

    def embed(self, images: Tensor, positions: Tensor, date_mask: Tensor) -> Tensor:
        """As `SegmentationNetwork.embed`."""
        self.check(images, positions, date_mask)
        return self.encode(with_day(images, positions, date_mask), date_mask)

    def encode(self, stack: Tensor, date_mask: Tensor) -> Tensor:
        """Bands and day (B, T, C + 1, H, W) and date mask (B, T) -> embedding."""
        if torch.compiler.is_exporting():
            return self._exported(lengthened(stack, self.n_dates), lengthened(date_mask, self.n_dates))
        x, used = used_dates(stack, date_mask)
        x = self.inconv(x)
        both = torch.cat([self.ahead(x, used), self.back(x, used, backwards=True)], 1)
        result: Tensor = self.enlarge(both)
        return result

    def _exported(self, stack: Tensor, date_mask: Tensor) -> Tensor:
        """As `encode`, of `n_dates` dates, without anything that depends on which are used."""
        every, used = self.inconv(stack.flatten(0, 1)).unflatten(0, stack.shape[:2]), date_mask.to(torch.bool)
        both = [self.ahead.last_of_all(every, used), self.back.last_of_all(every, used, backwards=True)]
        result: Tensor = self.enlarge(torch.cat(both, 1))
        return result

    def classify(self, embedding: Tensor) -> Tensor:
        """As `SegmentationNetwork.classify`."""
        logits: Tensor = self.head(embedding)
        return torch.log_softmax(logits, 1) if self.reference else logits
