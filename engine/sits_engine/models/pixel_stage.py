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
from typing import Any, TypeVar

import torch
from torch import Tensor

from sits_engine.models import workers
from sits_engine.models.dense import affine
from sits_engine.models.layers import LinearNorm, update_running
from sits_engine.models.pixel_set import VARIANCE_FLOOR

#: Rows (pixels) of a chunk: on a CPU its activations fit in the cache of a core, on a GPU in its memory.
ROWS_CPU, ROWS_GPU = 16384, 2**21

Out = TypeVar("Out")
#: Start and end in `Groups.order`, and the number of pixels to take of each pair.
Chunk = tuple[int, int, int]
#: Weight (b, a) and bias (b,), or mean (a,) and covariance (a, a).
Affine = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Groups:
    """Which pixels of which (set, date) pairs are computed, in chunks.

    Attributes:
        pixels: (N, S, C) all pairs, channels last.
        mask: (N, S) the pixels that count, of the pixels' type; None where all do.
        order: (G,) pairs that are computed, fewest pixels first.
        chunks: (start, end, pixels) ranges of `order` and the number of pixels to take of each pair.
        padded_statistics: published behaviour: pixels that don't count enter the statistics.
        in_order: `order` is 0, 1, 2, ...: nothing needs to be gathered.
    """

    pixels: Tensor
    mask: Tensor | None
    order: Tensor
    chunks: tuple[Chunk, ...]
    padded_statistics: bool = False
    in_order: bool = False

    def take(self, chunk: Chunk) -> tuple[Tensor, Tensor | None]:
        """Pixels (n, s, C) and mask (n, s) of a chunk."""
        start, end, s = chunk
        # All pairs in their own order: a view will do. Otherwise their pixels are gathered.
        index = slice(start, end) if self.in_order else self.order[start:end]
        mask = None if self.mask is None else self.mask[index, :s]
        return self.pixels[index, :s], mask

    def each(self, work: Callable[[Any], Out], *, number: bool = False) -> list[Out]:
        """Results of `work` for each chunk, on a CPU by several threads; (number, chunk) on wish."""
        items: Any = list(enumerate(self.chunks)) if number else self.chunks
        return workers.run(work, items, parallel=self.pixels.device.type == "cpu")


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
    in_order = date_mask is None or bool(date_mask.all())
    if date_mask is None or in_order:
        order = torch.arange(n, device=x.device)
    else:
        order = date_mask.flatten().nonzero().squeeze(1)
    rows = ROWS_CPU if x.device.type == "cpu" else ROWS_GPU
    if full or padded_statistics:
        extent = [s] * len(order)
    else:
        last = torch.arange(1, s + 1, device=x.device)
        widths = (mask[order].to(torch.bool) * last).amax(1).clamp(min=1)
        in_order = in_order and bool((widths == s).all())
        if not in_order:
            widths, rank = widths.sort(stable=True)
            order = order[rank]
        extent = widths.tolist()
    return Groups(
        x,
        None if full else mask.to(x.dtype),
        order,
        tuple(_chunks(extent, rows)),
        padded_statistics,
        in_order,
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


def fold_batch(
    weight: Tensor, gamma: Tensor, beta: Tensor, mean: Tensor, covariance: Tensor, *, eps: float
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
        folded: list[Affine] = []
        for (weight, gamma, beta), e in zip(layers, eps, strict=True):
            mean, covariance = _moments(groups, folded, count)
            moments += [mean, covariance]
            folded.append(fold_batch(weight, gamma, beta, mean, covariance, eps=e))
        pooled = groups.pixels.new_empty(len(groups.order), 2 * layers[-1][0].shape[0])

        def pool(chunk: Chunk) -> None:
            x, mask = groups.take(chunk)
            h = run_layers(x.flatten(0, 1), folded)[-1]
            pool_chunk(h.view(*x.shape[:2], -1), mask, pooled[chunk[0] : chunk[1]])

        groups.each(pool)
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
        below: list[Tensor] = []
        statistics: Affine | None = None
        for k in reversed(range(n)):
            source = (pooled, grad) if statistics is None else (below, statistics)
            d_weight, d_bias, below = _gradient_of_layer(groups, folded, k, source)
            with torch.enable_grad():
                given = (*parameters[3 * k : 3 * k + 3], *moments[2 * k : 2 * k + 2])
                leaves = [t.detach().requires_grad_() for t in given]
                outputs = fold_batch(*leaves, eps=ctx.eps[k])
                gradients = torch.autograd.grad(outputs, leaves, (d_weight, d_bias))
            result[3 * k : 3 * k + 3] = gradients[:3]
            d_mean, d_cov = gradients[3:]
            # A change dh of one pixel's inputs moves their mean by dh / n and their covariance by
            # ((h - mean) dh' + dh (h - mean)') / n: an affine map of h, to be added to its gradient.
            symmetric = (d_cov + d_cov.T) / count
            statistics = (symmetric, d_mean / count - symmetric @ moments[2 * k])
        return None, None, *result


def run_layers(x: Tensor, folded: Sequence[Affine]) -> list[Tensor]:
    """The input (n, C) and the outputs (n, width) of all layers."""
    values = [x]
    for weight, bias in folded:
        values.append(affine(values[-1], weight, bias, relu=True))
    return values


def _moments(groups: Groups, folded: Sequence[Affine], count: int) -> Affine:
    """Mean and covariance of what the layers so far give, over the pixels that count."""

    def sums(chunk: Chunk) -> Affine:
        x, mask = groups.take(chunk)
        h = run_layers(x.flatten(0, 1), folded)[-1]
        weighted = h
        if mask is not None and not groups.padded_statistics:
            weighted = h * mask.reshape(-1, 1)
        return weighted.sum(0).to(wide), (weighted.T @ h).to(wide)

    # float64 where it is cheap: sums over chunks, and the difference below. Apple's GPUs have none.
    wide = torch.float64 if groups.pixels.device.type in ("cpu", "cuda") else torch.float32
    parts = groups.each(sums)
    mean = torch.stack([part[0] for part in parts]).sum(0) / count
    covariance = torch.stack([part[1] for part in parts]).sum(0) / count - torch.outer(mean, mean)
    dtype = groups.pixels.dtype
    return mean.to(dtype), covariance.to(dtype)


def pool_chunk(h: Tensor, mask: Tensor | None, out: Tensor) -> None:
    """Mean and deviation over pixels, (n, s, F) -> (n, 2 F), as `pixel_set.pool_mean_std`; h is lost."""
    width = h.shape[-1]
    mean, std = out[:, :width], out[:, width:]
    if mask is None:
        divisor: Any = max(1, h.shape[1] - 1)
        torch.mean(h, 1, out=mean)
    else:
        number = mask.sum(1, keepdim=True)
        divisor = (number - 1).clamp(min=1)
        mean.copy_(torch.bmm(mask.unsqueeze(1), h).squeeze(1) / number.clamp(min=1))
    spread = h.sub_(mean.unsqueeze(1)).square_()
    spread = spread.sum(1) if mask is None else torch.bmm(mask.unsqueeze(1), spread).squeeze(1)
    std.copy_(torch.sqrt(spread / divisor + VARIANCE_FLOOR))


def _unpool(h: Tensor, mask: Tensor | None, pooled: Tensor, grad: Tensor) -> Tensor:
    """Gradient of the last layer's output (n, s, F) from that of the pooled features (n, 2 F)."""
    width = h.shape[-1]
    mean, std = pooled[:, :width], pooled[:, width:]
    d_mean, d_std = grad[:, :width], grad[:, width:]
    n = h.new_full((len(h), 1), h.shape[1]) if mask is None else mask.sum(1, keepdim=True)
    # A set of one pixel has no deviation, and none that could be changed.
    slope = torch.where(n > 1, d_std / (std * (n - 1).clamp(min=1)), 0.0)
    constant = d_mean / n.clamp(min=1) - slope * mean
    out = torch.addcmul(constant.unsqueeze(1), h, slope.unsqueeze(1))
    return out if mask is None else out.mul_(mask.unsqueeze(2))


def _gradient_of_layer(
    groups: Groups, folded: Sequence[Affine], layer: int, source: tuple[Any, Any]
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Gradients of the folded weight and bias of `layer`, and of its inputs, chunk by chunk.

    Args:
        source: for the last layer (pooled features, their gradient); below, the gradients that the
            layer above left for each chunk, and how the statistics of that layer's inputs add to them.
    """
    weight = folded[layer][0]

    def gradient(item: tuple[int, Chunk]) -> tuple[Tensor, Tensor, Tensor]:
        number, chunk = item
        x, mask = groups.take(chunk)
        values = run_layers(x.flatten(0, 1), folded[: layer + 1])
        h = values[-1]
        if layer == len(folded) - 1:
            part = slice(*chunk[:2])
            g = _unpool(h.view(*x.shape[:2], -1), mask, source[0][part], source[1][part]).flatten(0, 1)
        else:
            symmetric, constant = source[1]
            g = affine(h, symmetric, constant)
            if mask is not None and not groups.padded_statistics:
                g *= mask.reshape(-1, 1)
            g += source[0][number]
        # ReLU: the gradient passes where the output is positive.
        torch.ops.aten.threshold_backward.grad_input(g, h, 0, grad_input=g)
        below = affine(g, weight.T.contiguous()) if layer else g.new_empty(0)
        return g.T @ values[-2], g.sum(0), below

    parts = groups.each(gradient, number=True)
    d_weight = torch.stack([part[0] for part in parts]).sum(0)
    d_bias = torch.stack([part[1] for part in parts]).sum(0)
    return d_weight, d_bias, [part[2] for part in parts]
