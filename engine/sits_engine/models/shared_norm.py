"""Batch norms that take their statistics over the batches of all processes of a training run.

So a batch that is shared out trains the same network as one process would with the whole of it. PyTorch's own
SyncBatchNorm does this on graphics cards only, and not for vectors of which some don't count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
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
        dims = [0, *range(2, x.dim())]
        shape = (1, -1) + (1,) * (x.dim() - 2)
        wide = x.float()
        number = x.numel() // x.shape[1]
        mean = wide.sum(dims) / max(1, number)
        variance = (wide - mean.view(shape)).square().sum(dims) / max(1, number)
        count, mean, variance = over_all(self, torch.tensor(number, device=x.device), mean, variance)
        update_running(self, mean, variance, count)
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return ((wide - mean.view(shape)) * scale.view(shape) + self.bias.view(shape)).to(x.dtype)


def over_all(norm: nn.Module, count: Tensor, mean: Tensor, variance: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Statistics of the batches of all processes, from those of this one's; unchanged where none are shared.

    Args:
        norm: tells by its kind.
        count: () vectors that count, may be 0.
        mean, variance: (F,) theirs, the variance divided by `count`.
    """
    if not isinstance(norm, SharedBatchNorm):
        return count, mean, variance
    n, m, v = count.double(), mean.double(), variance.double()
    sums = norm.total(torch.cat([n.view(1), n * m, n * (v + m * m)]))
    n, first, second = sums[0], sums[1 : 1 + len(m)], sums[1 + len(m) :]
    n = n.clamp(min=1)
    m = first / n
    return n, m.to(mean.dtype), (second / n - m * m).clamp(min=0).to(mean.dtype)


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
        number = torch.as_tensor(count, dtype=variance.dtype, device=variance.device)
        unbiased = variance * (number / (number - 1).clamp(min=1))
        norm.running_mean.lerp_(mean, momentum)
        norm.running_var.lerp_(unbiased, momentum)
        norm.num_batches_tracked.add_(1)


@contextmanager
def shared_statistics(module: nn.Module, total: Total | None) -> Iterator[None]:
    """While the block runs, all batch norms of `module` share their statistics; None: nothing changes."""
    replaced: list[tuple[nn.Module, str, _BatchNorm]] = []
    for parent in list(module.modules()) if total is not None else ():
        for name, child in list(parent.named_children()):
            if isinstance(child, _BatchNorm) and total is not None:
                setattr(parent, name, SharedBatchNorm(child, total))
                replaced.append((parent, name, child))
    try:
        yield
    finally:
        for parent, name, child in replaced:
            child.train(parent.training)
            setattr(parent, name, child)
