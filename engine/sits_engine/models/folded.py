"""PSE+LTAE for prediction: everything that doesn't depend on the input is multiplied out once.

Batch norms are folded into the linear layers before them, the normalisation of the bands into the
first, the learned query into the key projection (256 -> 16 instead of 256 -> 128 and a product), the
temperature into the last. A pixel alone has the standard deviation sqrt(1e-31), so half of the input
of mlp2 is a constant.

All functions work on rows: a batch of n sets on T dates is (T, n, width).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from sits_engine.models import compiled, packed, pixel_stage, set_pooling
from sits_engine.models.dense import affine
from sits_engine.models.layers import LinearNorm
from sits_engine.models.ltae import encode_positions
from sits_engine.models.pixel_set import VARIANCE_FLOOR
from sits_engine.models.pseltae import PSELTAE

Affine = tuple[Tensor, Tensor]


def fold_running(block: nn.Module) -> Affine:
    """Linear layer and batch norm in eval mode as weight (b, a) and bias (b,)."""
    if not isinstance(block, LinearNorm):
        raise TypeError(f"can't fold {type(block).__name__}")
    norm = block.norm
    if norm.running_mean is None or norm.running_var is None:
        raise TypeError("can't fold a batch norm without running statistics")
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    return block.linear.weight * scale.unsqueeze(1), norm.bias - norm.running_mean * scale


@dataclass(frozen=True)
class Folded:
    """The multiplied-out network.

    Attributes:
        mlp1, mlp2, mlp3, decoder: layers with ReLU.
        pixel_mlp2: first layer of mlp2 for sets of one pixel: from F instead of 2 F features.
        inconv: layer with ReLU that gives the sequence.
        score: from the sequence to the scores of the heads.
        last: to the logits, divided by the temperature.
        expand: (d_model, H), 1 where the channel belongs to the head.
        shift: days added to every position.
    """

    mlp1: tuple[Affine, ...]
    mlp2: tuple[Affine, ...]
    pixel_mlp2: Affine
    inconv: Affine
    score: Affine
    mlp3: tuple[Affine, ...]
    decoder: tuple[Affine, ...]
    last: Affine
    expand: Tensor
    shift: int = 0


@torch.no_grad()
def fold(module: PSELTAE, mean: Tensor, std: Tensor, temperature: float = 1.0) -> Folded:
    """Multiply out `module` in eval mode for inputs in physical units.

    Args:
        module: without extra features.
        mean, std: (C,) normalisation of the bands.
        temperature: divides the logits.
    """
    spatial, temporal = module.spatial_encoder, module.temporal_encoder
    # In float64, so that folding costs no accuracy, and on the CPU: Apple's GPUs have no float64.
    first, *others = [_fold64(block) for block in spatial.mlp1]
    mean, std = _wide(mean), _wide(std)
    first = (first[0] / std, first[1] - first[0] @ (mean / std))
    mlp2 = [_fold64(block) for block in spatial.mlp2]
    width = mlp2[0][0].shape[1] // 2
    constant = mlp2[0][0][:, width:].sum(1) * math.sqrt(VARIANCE_FLOOR)
    last = module.decoder[-1]
    if not isinstance(last, nn.Linear):
        raise TypeError("the decoder must end in a linear layer")
    heads = temporal.attention_heads
    channels = temporal.inconv.linear.out_features // heads.n_head
    device = last.weight.device

    def single(pair: Affine) -> Affine:
        return pair[0].float().to(device).contiguous(), pair[1].float().to(device)

    weight, bias = heads.folded()
    return Folded(
        mlp1=tuple(single(pair) for pair in [first, *others]),
        mlp2=tuple(single(pair) for pair in mlp2),
        pixel_mlp2=single((mlp2[0][0][:, :width], mlp2[0][1] + constant)),
        inconv=single(_fold64(temporal.inconv)),
        score=single((weight, bias)),
        mlp3=tuple(single(_fold64(block)) for block in temporal.mlp),
        decoder=tuple(single(_fold64(block)) for block in list(module.decoder)[:-1]),
        last=single((_wide(last.weight) / temperature, _wide(last.bias) / temperature)),
        expand=torch.eye(heads.n_head, device=device).repeat_interleave(channels, 0),
        shift=temporal.shift,
    )


def _fold64(block: nn.Module) -> Affine:
    weight, bias = fold_running(block)
    return _wide(weight), _wide(bias)


def _wide(x: Tensor) -> Tensor:
    return x.cpu().double()


def calendar(folded: Folded, positions: Tensor) -> Tensor:
    """What each date adds to the sequence of any set: positions (T,) -> (T, 1, d_model)."""
    return encode_positions(positions + folded.shift, folded.inconv[0].shape[0]).unsqueeze(1)


def days_of(table: Tensor, index: Tensor) -> Tensor:
    """Dates of n sets from a calendar of D dates.

    Args:
        table: (D, 1, d_model) as `calendar` gives it.
        index: (n, T) numbers of the sets' dates in the calendar.

    Returns:
        (T, 1, d_model) where all sets agree, else (T, n, d_model).
    """
    index = index.to(table.device)
    if bool((index == index[:1]).all()):
        return table[index[0]]
    return table[index.T].squeeze(2)


def _layers(x: Tensor, layers: Sequence[Affine]) -> Tensor:
    for weight, bias in layers:
        x = affine(x, weight, bias, relu=True)
    return x


def sequence_of_pixels(folded: Folded, x: Tensor) -> Tensor:
    """Rows (R, C) of single pixels in physical units -> (R, d_model), before the dates are added."""
    x = affine(_layers(x, folded.mlp1), *folded.pixel_mlp2, relu=True)
    return affine(_layers(x, folded.mlp2[1:]), *folded.inconv, relu=True)


def sequence_of_sets(folded: Folded, sets: packed.Packed | pixel_stage.Groups) -> Tensor:
    """(G, d_model) for the (set, date) pairs of `sets.order`, before the dates are added."""
    return affine(_layers(sets.pool(folded.mlp1), folded.mlp2), *folded.inconv, relu=True)


def sequence_of_whole_sets(
    folded: Folded,
    values: npt.NDArray[np.float32],
    valid: npt.NDArray[np.bool_],
    bounds: npt.NDArray[np.int64],
    counts: npt.NDArray[np.int64],
    kernel: compiled.Kernel | None = None,
) -> Tensor:
    """(T, n, d_model), 0 where no pixel of the set counts; arguments as `set_pooling.pool`."""
    mean, deviation = set_pooling.pool(folded.mlp1, values, valid, bounds, counts, kernel)
    n, total = counts.shape
    complete = len(mean) == n * total
    if complete:
        # The dates first, while there is little to move.
        mean, deviation = (x.view(n, total, -1).transpose(0, 1) for x in (mean, deviation))
    pooled = torch.cat([mean, deviation], -1)
    x = affine(_layers(pooled.flatten(0, -2), folded.mlp2), *folded.inconv, relu=True)
    if not complete:
        sets, dates = counts.nonzero()
        place = torch.from_numpy(dates * n + sets)
        x = x.new_zeros(total * n, x.shape[1]).index_copy_(0, place, x)
    return x.view(total, n, -1)


def logits(folded: Folded, x: Tensor, dates: Tensor, valid: Tensor | None) -> Tensor:
    """Attention over dates and decoder.

    Args:
        x: (T, n, d_model), anything finite where not valid; it is changed.
        dates: (T, 1 or n, d_model), what the dates add.
        valid: (T, n) bool; None where every date of every set counts.

    Returns:
        (n, K) logits divided by the temperature; of no meaning for a set without any valid date.
    """
    x = x.add_(dates)
    scores = affine(x, *folded.score)
    if valid is not None:
        scores.masked_fill_(~valid.unsqueeze(2), torch.finfo(scores.dtype).min)
    attention = torch.softmax(scores, 0)
    weighted = affine(attention, folded.expand).mul_(x).sum(0)
    x = _layers(weighted, [*folded.mlp3, *folded.decoder])
    return affine(x, *folded.last)
