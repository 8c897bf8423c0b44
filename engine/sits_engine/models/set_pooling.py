"""mlp1 and pooling of whole sets for prediction on a CPU: nothing is padded, hardly anything copied.

The pixels of a set lie one after the other, (s, T, C) in the file of samples as in memory. Taken as a
matrix of s T rows they go through mlp1 where they are; the outcome seen as (s, T F) is summed over its
first dimension, which fits in the cache and runs at its speed. Only where dates are clouded the rows of
the others are copied together. (`pixel_stage` sorts, pads and gathers instead: that suits small sets,
training and graphics cards.)

Where a C++ compiler is at hand `compiled` does the same date by date in the first-level cache.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sits_engine.models import compiled
from sits_engine.models.dense import affine
from sits_engine.models.pixel_set import VARIANCE_FLOOR

#: Rows that go through the layers at once: few enough for the cache of a core, enough for the cost of a call.
ROWS = 6144

Affine = tuple[Tensor, Tensor]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Piece:
    """Pixels `start` to `end` on some dates: a set, or a part of a set too large for one chunk.

    Attributes:
        dates: numbers of the dates; None: all.
        masked: some pixels don't count on some of these dates.
        row: its first (set, date) pair among those that are computed.
        pairs: how many there are.
    """

    start: int
    end: int
    dates: Tensor | None
    masked: bool
    row: int
    pairs: int

    @property
    def rows(self) -> int:
        """Rows of the matrix that goes through the layers."""
        return (self.end - self.start) * self.pairs


def count(valid: Bools, offsets: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """(N, T) how many pixels of each set count on each date, from (P, T) and (N + 1,)."""
    counts = np.zeros((len(offsets) - 1, valid.shape[1]), np.int64)
    filled = np.diff(offsets) > 0
    if filled.any():
        counts[filled] = np.add.reduceat(valid, offsets[:-1][filled], axis=0, dtype=np.int64)
    return counts


def mostly_partial(bounds: npt.NDArray[np.int64], counts: npt.NDArray[np.int64]) -> bool:
    """True where most dates of the sets have pixels that count beside others that don't."""
    used = counts > 0
    return int((used & (counts < bounds[:, 1:] - bounds[:, :1])).sum()) * 2 > int(used.sum())


def pool(
    layers: Sequence[Affine],
    values: npt.NDArray[np.float32],
    valid: Bools,
    bounds: npt.NDArray[np.int64],
    counts: npt.NDArray[np.int64],
    kernel: compiled.Kernel | None = None,
) -> tuple[Tensor, Tensor]:
    """Mean and deviation of the last layer's output, for each (set, date) pair with a valid pixel.

    Args:
        layers: weight and bias of each layer with ReLU.
        values: (P, T, C); valid: (P, T), pixels that count.
        bounds: (n, 2) first pixel of each set, and the one behind its last.
        counts: (n, T) how many pixels of the set count on the date.
        kernel: the compiled form, where there is one.

    Returns:
        mean and deviation, (G, F) each; pairs in the order of `counts.nonzero()`.
    """
    if kernel is not None:
        arrays = [(weight.numpy(), bias.numpy()) for weight, bias in layers]
        mean, spread = (torch.from_numpy(x) for x in kernel.pool(arrays, values, valid, bounds, counts))
    else:
        mean, spread = _plain(layers, torch.from_numpy(values), torch.from_numpy(valid), bounds, counts)
    degrees = np.maximum(counts[counts > 0] - 1, 1).astype(np.float32)
    spread.div_(torch.from_numpy(degrees).unsqueeze(1))
    return mean, spread.add_(VARIANCE_FLOOR).sqrt_()


def _plain(
    layers: Sequence[Affine],
    values: Tensor,
    valid: Tensor,
    bounds: npt.NDArray[np.int64],
    counts: npt.NDArray[np.int64],
) -> tuple[Tensor, Tensor]:
    used = counts > 0
    mean = values.new_empty(int(used.sum()), len(layers[-1][1]))
    spread = torch.empty_like(mean)
    size = bounds[:, 1:] - bounds[:, :1]
    for chunk in _chunks(_pieces(bounds, used, (counts < size) & used)):
        h = _rows(values, chunk)
        for weight, bias in layers:
            h = affine(h, weight, bias, relu=True)
        start = 0
        for piece in chunk:
            part = h[start : start + piece.rows].view(piece.end - piece.start, -1)
            out = slice(piece.row, piece.row + piece.pairs)
            mask = _taken(valid, piece).unsqueeze(2).to(h.dtype) if piece.masked else None
            _moments(part, mask, mean[out], spread[out])
            start += piece.rows
    return mean, spread


def _moments(h: Tensor, mask: Tensor | None, mean: Tensor, spread: Tensor) -> None:
    """Mean and sum of squared differences from it over the pixels (s, D F); h is lost."""
    if mask is None:
        flat = mean.view(-1)
        torch.mean(h, 0, out=flat)
        torch.sum(h.sub_(flat).square_(), 0, out=spread.view(-1))
        return
    h = h.view(len(h), *mean.shape).mul_(mask)
    torch.sum(h, 0, out=mean)
    mean.div_(mask.sum(0))
    torch.sum(h.sub_(mean).mul_(mask).square_(), 0, out=spread)


def _pieces(bounds: npt.NDArray[np.int64], used: Bools, partial: Bools) -> Iterator[Piece]:
    row = 0
    complete: list[bool] = np.all(used, 1).tolist()
    some: list[bool] = np.any(partial, 1).tolist()
    for i, (start, end) in enumerate(bounds.tolist()):
        total = used.shape[1]
        step = max(1, ROWS // max(1, end - start))
        if complete[i] and total <= step:
            yield Piece(start, end, None, some[i], row, total)
            row += total
            continue
        dates = used[i].nonzero()[0]
        for first in range(0, len(dates), step):
            part = dates[first : first + step]
            masked = some[i] and bool(partial[i, part].any())
            yield Piece(start, end, torch.from_numpy(part), masked, row, len(part))
            row += len(part)


def _chunks(pieces: Iterator[Piece]) -> Iterator[list[Piece]]:
    chunk: list[Piece] = []
    rows = 0
    for piece in pieces:
        if chunk and rows + piece.rows > ROWS:
            yield chunk
            chunk, rows = [], 0
        chunk.append(piece)
        rows += piece.rows
    if chunk:
        yield chunk


def _taken(x: Tensor, piece: Piece) -> Tensor:
    part = x[piece.start : piece.end]
    return part if piece.dates is None else part.index_select(1, piece.dates)


def _rows(values: Tensor, chunk: list[Piece]) -> Tensor:
    """(R, C): the pixels of all pieces, one after the other; a view where they lie like that."""
    bands = values.shape[2]
    in_place = all(piece.dates is None for piece in chunk) and all(
        a.end == b.start for a, b in pairwise(chunk)
    )
    if in_place:
        return values[chunk[0].start : chunk[-1].end].reshape(-1, bands)
    parts = [_taken(values, piece).reshape(-1, bands) for piece in chunk]
    return parts[0] if len(parts) == 1 else torch.cat(parts)
