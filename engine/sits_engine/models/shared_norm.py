"""Batch norms that take their statistics over the batches of all processes of a training run.

So a batch that is shared out trains the same network as one process would with the whole of it. PyTorch's own
SyncBatchNorm does this on graphics cards only, and not for vectors of which some don't count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

#: Sum of a tensor over all processes; differentiable, and called by all of them in the same order.
Total = Callable[[Tensor], Tensor]


class SharedBatchNorm(_BatchNorm):
    """`original` with its very parameters and buffers; a batch's statistics are those of all processes."""

    def __init__(self, original: _BatchNorm, total: Total) -> None:
        super().__init__(original.num_features, original.eps, original.momentum, affine=False)
        self.weight, self.bias = original.weight, original.bias
        for name, buffer in original.named_buffers(recurse=False):
            setattr(self, name, buffer)
        self.total = total
        self.train(original.training)

    def _check_input_dim(self, input: Tensor) -> None:
        """Any number of dimensions: the original was made for those that come."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, F, ...) -> the same."""
        if not self.training:
            return super().forward(x)
        y, count, mean, variance = normalised(x, self.weight, self.bias, self.eps, self.total)
        update_running(self, mean, variance, count)
        return y


class SharesStatistics(nn.Module):
    """A norm of another kind that can take its statistics over all processes, while `total` is set."""

    total: Total | None = None


def normalised(
    x: Tensor, weight: Tensor, bias: Tensor | None, eps: float, total: Total
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Batch norm by the statistics of all processes.

    Only the input is kept for the gradients, as in PyTorch's own.

    Args:
        x: (B, F, ...) this process's share; B may be 0.
        weight, bias: (F,).
        eps: added to the variance.
        total: see `Total`.

    Returns:
        Like x; then what has no gradients: count (), mean (F,), variance (F,), divided by the count.
    """
    return _Normalised.apply(x, weight, bias, eps, total)  # type: ignore[no-any-return, no-untyped-call]


class _Normalised(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, eps: float, total: Total
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        dims = [0, *range(2, x.dim())]
        number = torch.tensor(x.numel() // x.shape[1], device=x.device)
        wide = x.float()
        mean = wide.sum(dims) / number.clamp(min=1)
        variance = (wide - mean.view(_shape(x))).square().sum(dims) / number.clamp(min=1)
        count, mean, variance = _added(total, number, mean, variance)
        ctx.save_for_backward(x, weight, mean, torch.rsqrt(variance + eps), count)
        ctx.total, ctx.biased = total, bias is not None
        y = F.batch_norm(x, mean, variance, weight, bias, False, 0.0, eps)
        ctx.mark_non_differentiable(count, mean, variance)
        return y, count, mean, variance

    @staticmethod
    def backward(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, inverse, count = ctx.saved_tensors
        dims, shape = [0, *range(2, x.dim())], _shape(x)
        unit, wide = (x.float() - mean.view(shape)) * inverse.view(shape), grad.float()
        # of this process: the gradients of all parameters are added up at the end
        to_bias, to_weight = wide.sum(dims), (wide * unit).sum(dims)
        both = ctx.total(torch.stack([to_bias, to_weight])) / count.to(wide.dtype)
        wide = wide - both[0].view(shape) - unit * both[1].view(shape)
        to_x = (wide * (inverse * weight).view(shape)).to(x.dtype)
        return to_x, to_weight.to(weight.dtype), to_bias if ctx.biased else None, None, None


def _shape(x: Tensor) -> tuple[int, ...]:
    return (1, -1) + (1,) * (x.dim() - 2)


def _added(total: Total, count: Tensor, mean: Tensor, variance: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    n, m, v = count.double(), mean.double(), variance.double()
    sums = total(torch.cat([n.view(1), n * m, n * (v + m * m)]))
    n, first, second = sums[0], sums[1 : 1 + len(m)], sums[1 + len(m) :]
    n = n.clamp(min=1)
    m = first / n
    return n, m.to(mean.dtype), (second / n - m * m).clamp(min=0).to(mean.dtype)


def over_all(norm: nn.Module, count: Tensor, mean: Tensor, variance: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Statistics of the batches of all processes, from those of this one's; unchanged where none are shared.

    Args:
        norm: tells by its kind.
        count: () vectors that count, may be 0.
        mean, variance: (F,) theirs, the variance divided by `count`.
    """
    if not isinstance(norm, SharedBatchNorm):
        return count, mean, variance
    return _added(norm.total, count, mean, variance)


def update_running(norm: _BatchNorm, mean: Tensor, variance: Tensor, count: Tensor | int) -> None:
    """Move the running statistics of `norm` as PyTorch does: momentum, variance made unbiased.

    Args:
        norm: the batch norm whose buffers are changed in place.
        mean, variance: (n,) statistics of the batch, variance divided by `count`.
        count: number of vectors they were taken over.
    """
    if norm.running_mean is None or norm.running_var is None or norm.num_batches_tracked is None:
        return
    momentum = 0.1 if norm.momentum is None else norm.momentum
    with torch.no_grad():
        move(norm.running_mean, norm.running_var, mean, variance, count, momentum)
        norm.num_batches_tracked.add_(1)


def move(
    to_mean: Tensor, to_variance: Tensor, mean: Tensor, variance: Tensor, count: Tensor | int, by: float
) -> None:
    """Move running statistics by a share; see `update_running`."""
    number = torch.as_tensor(count, dtype=variance.dtype, device=variance.device)
    unbiased = variance * (number / (number - 1).clamp(min=1))
    to_mean.lerp_(mean, by)
    to_variance.lerp_(unbiased, by)


@contextmanager
def shared_statistics(module: nn.Module, total: Total | None) -> Iterator[None]:
    """While the block runs, all batch norms of `module` share their statistics; None: nothing changes."""
    replaced: list[tuple[nn.Module, str, _BatchNorm]] = []
    told: list[SharesStatistics] = []
    for parent in list(module.modules()) if total is not None else ():
        if isinstance(parent, SharesStatistics):
            parent.total = total
            told.append(parent)
        for name, child in list(parent.named_children()):
            if isinstance(child, _BatchNorm) and total is not None:
                setattr(parent, name, SharedBatchNorm(child, total))
                replaced.append((parent, name, child))
    try:
        yield
    finally:
        for one in told:
            one.total = None
        for parent, name, child in replaced:
            child.train(parent.training)
            setattr(parent, name, child)
