"""The pixel-set encoder's costly half (mlp1 and pooling) in pieces that stay in the cache.

Three things make it fast, none changes the answer:

- Batch norm is folded into the linear layer before it. In training its statistics come from the
  moments of the layer's *inputs*: for y = W x, mean(y) = W mean(x) and var(y) = diag(W cov(x) W').
  So no layer's output is ever kept for all pixels.
- Pixels go through all layers chunk by chunk; the backward pass computes a chunk again instead of
  reading it from memory.
- Only (set, date) pairs that count are computed, sorted by their number of pixels, so that hardly
  any padding is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sits_engine.models.layers import LinearNorm, update_running
from sits_engine.models.pixel_set import VARIANCE_FLOOR

#: Rows (pixels) of a chunk: on a CPU its activations fit in the cache of a core, on a GPU in its memory.
ROWS_CPU, ROWS_GPU = 8192, 2**21


@dataclass(frozen=True)
class Groups:
    """Which pixels of which (set, date) pairs are computed, in chunks.

    Attributes:
        pixels: (N, S, C) all pairs, channels last.
        mask: (N, S) the pixels that count, of the pixels' type; None where all do.
        order: (G,) pairs that are computed, fewest pixels first.
        chunks: (start, end, pixels) ranges of `order` and the number of pixels to take of each pair.
        padded_statistics: published behaviour: pixels that don't count enter the statistics.
    """

    pixels: Tensor
    mask: Tensor | None
    order: Tensor
    chunks: tuple[tuple[int, int, int], ...]
    padded_statistics: bool = False

    def __iter__(self) -> Iterator[tuple[int, int, Tensor, Tensor | None]]:
        """Yield start, end, pixels (n, s, C) and mask (n, s) of each chunk."""
        for start, end, s in self.chunks:
            index = self.order[start:end]
            mask = None if self.mask is None else self.mask[index, :s]
            yield start, end, self.pixels[index, :s], mask


def plan(
    pixels: Tensor, pixel_mask: Tensor, date_mask: Tensor | None, *, padded_statistics: bool = False
) -> Groups:
    """Choose what is computed.

    Args:
        pixels: (B, T, C, S), best stored channels last.
        pixel_mask: (B, T, S).
        date_mask: (B, T) pairs to compute; None: all.
        padded_statistics: see `Groups`; then all pixels of all pairs are computed.
    """
    x = pixels.transpose(2, 3).contiguous().flatten(0, 1)
    mask = pixel_mask.flatten(0, 1)
    n, s = mask.shape
    full = bool(mask.all())
    order = (
        torch.arange(n, device=x.device) if date_mask is None else date_mask.flatten().nonzero().squeeze(1)
    )
    rows = ROWS_CPU if x.device.type == "cpu" else ROWS_GPU
    if full or padded_statistics:
        extent = torch.full((len(order),), s)
    else:
        last = torch.arange(1, s + 1, device=x.device)
        extent = (mask[order].to(torch.bool) * last).amax(1).clamp(min=1)
        extent, rank = extent.sort(stable=True)
        order, extent = order[rank], extent.cpu()
    return Groups(
        x,
        None if full else mask.to(x.dtype),
        order,
        tuple(_chunks(extent.tolist(), rows)),
        padded_statistics,
    )


def _chunks(extent: Sequence[int], rows: int) -> Iterator[tuple[int, int, int]]:
    """Ranges of about `rows` pixels; `extent` rises, so the last pair of a range is its widest."""
    start = 0
    while start < len(extent):
        # With rising extents the range that fits shrinks: a few steps find it.
        end = min(len(extent), start + max(1, rows // extent[start]))
        while end - start > 1 and (end - start) * extent[end - 1] > rows:
            end = start + max(1, min(end - start - 1, rows // extent[end - 1]))
        yield start, end, extent[end - 1]
        start = end


@dataclass(frozen=True)
class Moments:
    """Mean (a,) and covariance (a, a) of a layer's inputs over `count` pixels."""

    mean: Tensor
    covariance: Tensor
    count: float


Fold = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor, float], tuple[Tensor, Tensor]]


def fold_batch(
    weight: Tensor, gamma: Tensor, beta: Tensor, mean: Tensor, covariance: Tensor, eps: float
) -> tuple[Tensor, Tensor]:
    """Linear layer and batch norm over a batch as one affine map, from the moments of the inputs.

    Args:
        weight: (b, a); gamma, beta: (b,); mean: (a,); covariance: (a, a), divided by n.

    Returns:
        weight (b, a) and bias (b,); differentiable in all arguments.
    """
    variance = ((weight @ covariance) * weight).sum(1).clamp(min=0)
    scale = gamma * torch.rsqrt(variance + eps)
    return weight * scale.unsqueeze(1), beta - scale * (weight @ mean)


def pooled_features(blocks: Sequence[LinearNorm], groups: Groups) -> Tensor:
    """Training-mode mlp1 and pooling; updates the running statistics.

    Args:
        blocks: the layers of mlp1.
        groups: what to compute.

    Returns:
        (G, 2 F): mean and standard deviation for each pair of `groups.order`, in that order.
    """
    parameters = [p for block in blocks for p in (block.linear.weight, block.norm.weight, block.norm.bias)]
    eps = [block.norm.eps for block in blocks]
    pooled, *moments = _PixelStage.apply(groups, eps, *parameters)  # type: ignore[no-untyped-call]
    count = _count(groups)
    for i, block in enumerate(blocks):
        mean, covariance = moments[2 * i], moments[2 * i + 1]
        weight = block.linear.weight.detach()
        update_running(block.norm, weight @ mean, ((weight @ covariance) * weight).sum(1), count)
    return pooled  # type: ignore[no-any-return]


def _count(groups: Groups) -> int:
    """Pixels that enter the batch-norm statistics."""
    if groups.mask is None or groups.padded_statistics:
        return sum((end - start) * s for start, end, s in groups.chunks)
    return int(groups.mask[groups.order].sum())


class _PixelStage(torch.autograd.Function):
    """Layers and pooling over chunks; the backward pass recomputes them."""

    @staticmethod
    def forward(ctx: Any, groups: Groups, eps: list[float], *parameters: Tensor) -> tuple[Tensor, ...]:
        layers = [parameters[i : i + 3] for i in range(0, len(parameters), 3)]
        count = max(1, _count(groups))
        moments: list[Tensor] = []
        folded: list[tuple[Tensor, Tensor]] = []
        for (weight, gamma, beta), e in zip(layers, eps, strict=True):
            mean, covariance = _moments(groups, folded, count)
            moments += [mean, covariance]
            folded.append(fold_batch(weight, gamma, beta, mean, covariance, e))
        width = layers[-1][0].shape[0]
        pooled = groups.pixels.new_empty(len(groups.order), 2 * width)
        buffers = _Buffers()
        for start, end, x, mask in groups:
            h = _run(x, folded, buffers)[-1].view(*x.shape[:2], width)
            _pool(h, mask, pooled[start:end], buffers)
        ctx.groups, ctx.eps = groups, eps
        ctx.mark_non_differentiable(*moments)
        ctx.save_for_backward(pooled, *parameters, *moments, *[t for pair in folded for t in pair])
        return pooled, *moments

    @staticmethod
    def backward(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        groups: Groups = ctx.groups
        n = len(ctx.eps)
        pooled, *rest = ctx.saved_tensors
        parameters, moments, flat = rest[: 3 * n], rest[3 * n : 5 * n], rest[5 * n :]
        folded = [(flat[2 * i], flat[2 * i + 1]) for i in range(n)]
        count = max(1, _count(groups))
        result: list[Tensor | None] = [None] * (3 * n)
        through: dict[int, tuple[Tensor, Tensor]] = {}
        for k in reversed(range(n)):
            d_weight, d_bias = _gradient_of_layer(groups, folded, pooled, grad, through, k)
            with torch.enable_grad():
                leaves = [
                    t.detach().requires_grad_()
                    for t in (*parameters[3 * k : 3 * k + 3], *moments[2 * k : 2 * k + 2])
                ]
                outputs = fold_batch(*leaves, ctx.eps[k])
                gradients = torch.autograd.grad(outputs, leaves, (d_weight, d_bias))
            result[3 * k : 3 * k + 3] = gradients[:3]
            d_mean, d_cov = gradients[3:]
            # Every pixel h of the inputs moved the mean by dh / n and the covariance by
            # ((h - mean) dh' + dh (h - mean)') / n: an affine map of h, added to its gradient.
            symmetric = (d_cov + d_cov.T) / count
            through[k] = (symmetric, d_mean / count - moments[2 * k] @ symmetric)
        return None, None, *result


class _Buffers:
    """Scratch memory by name, reused from chunk to chunk: fresh memory costs more than the arithmetic."""

    def __init__(self) -> None:
        self._kept: dict[str, Tensor] = {}

    def get(self, name: str, like: Tensor, *shape: int) -> Tensor:
        size = 1
        for extent in shape:
            size *= extent
        kept = self._kept.get(name)
        if kept is None or kept.numel() < size:
            kept = self._kept[name] = like.new_empty(size)
        return kept[:size].view(shape)


def _run(x: Tensor, folded: Sequence[tuple[Tensor, Tensor]], buffers: _Buffers) -> list[Tensor]:
    """Outputs of all layers for a chunk (n, s, C), each (n s, width); the first entry is the input."""
    values = [x.reshape(-1, x.shape[-1])]
    for i, (weight, bias) in enumerate(folded):
        out = buffers.get(f"h{i}", x, len(values[-1]), len(weight))
        values.append(torch.addmm(bias, values[-1], weight.T, out=out).relu_())
    return values


def _moments(groups: Groups, folded: Sequence[tuple[Tensor, Tensor]], count: int) -> tuple[Tensor, Tensor]:
    """Mean and covariance of what the layers so far give, over the pixels that count."""
    total = square = None
    buffers = _Buffers()
    for _, _, x, mask in groups:
        h = _run(x, folded, buffers)[-1]
        weighted = h
        if mask is not None and not groups.padded_statistics:
            weighted = torch.mul(h, mask.reshape(-1, 1), out=buffers.get("w", h, *h.shape))
        # float64 where it is cheap: the sums over chunks, and the difference below.
        part, part_square = weighted.sum(0).double(), (weighted.T @ h).double()
        total = part if total is None else total + part
        square = part_square if square is None else square + part_square
    assert total is not None
    assert square is not None
    mean = total / count
    covariance = square / count - torch.outer(mean, mean)
    dtype = groups.pixels.dtype
    return mean.to(dtype), covariance.to(dtype)


def _pool(h: Tensor, mask: Tensor | None, out: Tensor, buffers: _Buffers) -> None:
    """Mean and deviation over pixels, (n, s, F) -> (n, 2 F), as `pixel_set.pool_mean_std`."""
    width = h.shape[-1]
    mean, std = out[:, :width], out[:, width:]
    if mask is None:
        count: Any = h.shape[1]
        divisor: Any = max(1, count - 1)
        mean.copy_(h.mean(1))
    else:
        number = mask.sum(1, keepdim=True)
        count, divisor = number.clamp(min=1), (number - 1).clamp(min=1)
        mean.copy_(torch.bmm(mask.unsqueeze(1), h).squeeze(1) / count)
    centred = torch.sub(h, mean.unsqueeze(1), out=buffers.get("c", h, *h.shape))
    centred.square_()
    spread = centred.sum(1) if mask is None else torch.bmm(mask.unsqueeze(1), centred).squeeze(1)
    std.copy_(torch.sqrt(spread / divisor + VARIANCE_FLOOR))


def _unpool(h: Tensor, mask: Tensor | None, pooled: Tensor, grad: Tensor, buffers: _Buffers) -> Tensor:
    """Gradient of the last layer's output (n, s, F) from that of the pooled features (n, 2 F)."""
    width = h.shape[-1]
    mean, std = pooled[:, :width], pooled[:, width:]
    d_mean, d_std = grad[:, :width], grad[:, width:]
    number: Any = h.shape[1] if mask is None else mask.sum(1, keepdim=True)
    if mask is None:
        slope = d_std / (std * max(1, number - 1)) if number > 1 else torch.zeros_like(std)
        constant = d_mean / number - slope * mean
    else:
        slope = torch.where(number > 1, d_std / (std * (number - 1).clamp(min=1)), 0.0)
        constant = d_mean / number.clamp(min=1) - slope * mean
    out = torch.mul(h, slope.unsqueeze(1), out=buffers.get("g", h, *h.shape))
    out += constant.unsqueeze(1)
    if mask is not None:
        out *= mask.unsqueeze(2)
    return out


def _gradient_of_layer(
    groups: Groups,
    folded: Sequence[tuple[Tensor, Tensor]],
    pooled: Tensor,
    grad: Tensor,
    through: dict[int, tuple[Tensor, Tensor]],
    layer: int,
) -> tuple[Tensor, Tensor]:
    """Gradients of the folded weight and bias of `layer`.

    `through[k]` holds, for the layers above, how the batch statistics of layer k's inputs act on
    the gradient of each input.
    """
    d_weight = torch.zeros_like(folded[layer][0])
    d_bias = torch.zeros_like(folded[layer][1])
    buffers = _Buffers()
    counted = groups.mask is not None and not groups.padded_statistics
    for start, end, x, mask in groups:
        values = _run(x, folded, buffers)
        h = values[-1]
        width = h.shape[-1]
        g = _unpool(h.view(*x.shape[:2], width), mask, pooled[start:end], grad[start:end], buffers)
        g = g.view(-1, width)
        for k in reversed(range(layer, len(folded))):
            # ReLU: the gradient passes where the output is positive.
            torch.ops.aten.threshold_backward.grad_input(g, values[k + 1], 0, grad_input=g)
            if k == layer:
                d_weight.addmm_(g.T, values[k])
                d_bias += g.sum(0)
                break
            symmetric, constant = through[k]
            statistics = torch.addmm(
                constant, values[k], symmetric, out=buffers.get(f"d{k}", h, *values[k].shape)
            )
            if counted:
                assert mask is not None
                statistics *= mask.reshape(-1, 1)
            g = statistics.addmm_(g, folded[k][0])
    return d_weight, d_bias
