"""A segmentation network for inference: batch norms become part of the convolutions before them."""

from __future__ import annotations

from copy import deepcopy
from typing import cast

import torch
from torch import Tensor, nn

_CONVOLUTIONS = (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_NORMS = (nn.BatchNorm2d, nn.BatchNorm3d)


def folded(module: nn.Module) -> nn.Module:
    """The same network without batch norms that directly follow a convolution in a sequence.

    Equal but for rounding, in evaluation mode only. What has no such norm is given back as it is; otherwise
    it is a copy, and the module stays as it was.
    """
    if not any(_foldable(part) for part in module.modules()):
        return module
    copy = deepcopy(module).eval()
    for part in [*copy.modules()]:
        if isinstance(part, nn.Sequential):
            for place in reversed(_foldable(part)):
                _fold(part[place], part[place + 1])
                del part[place + 1]
        if isinstance(part, nn.Conv3d | nn.ConvTranspose3d):
            # As their inputs lie in memory; PyTorch would turn them for each batch.
            weight = part.weight.detach().contiguous(memory_format=torch.channels_last_3d)
            part.weight = nn.Parameter(weight, requires_grad=False)
    return copy


def _foldable(part: nn.Module) -> list[int]:
    """Places of the convolutions of a sequence that a batch norm with running statistics follows."""
    if not isinstance(part, nn.Sequential):
        return []
    return [
        i
        for i in range(len(part) - 1)
        if isinstance(part[i], _CONVOLUTIONS)
        and isinstance(part[i + 1], _NORMS)
        and part[i + 1].running_var is not None
    ]


@torch.no_grad()
def _fold(convolution: nn.Module, norm: nn.Module) -> None:
    weight = cast(Tensor, convolution.weight)
    scale = torch.rsqrt(_wide(norm.running_var) + cast(float, norm.eps))
    if norm.weight is not None:
        scale = scale * _wide(norm.weight)
    offset = -_wide(norm.running_mean) * scale
    if norm.bias is not None:
        offset = offset + _wide(norm.bias)
    if convolution.bias is not None:
        offset = offset + _wide(convolution.bias) * scale
    # Kernels of transposed convolutions have the channels that go in first.
    channels = 1 if isinstance(convolution, nn.ConvTranspose2d | nn.ConvTranspose3d) else 0
    shape = [1] * weight.ndim
    shape[channels] = -1
    product = _wide(weight) * scale.view(shape)
    convolution.weight = nn.Parameter(product.to(weight), requires_grad=False)
    convolution.bias = nn.Parameter(offset.to(weight), requires_grad=False)


def _wide(x: object) -> Tensor:
    """In float64, so that folding costs no accuracy, and on the CPU: Apple's GPUs have no float64."""
    return cast(Tensor, x).detach().cpu().double()
