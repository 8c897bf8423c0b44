"""Devices other than CPU and CUDA get no float64 tensor: Apple's GPUs have none. 'meta' stands in for one."""

import pytest
import torch
from networks import network
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from sits_engine.models import folded, pixel_stage, pixel_training

META = torch.device("meta")


class NoFloat64(TorchDispatchMode):
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, torch.Tensor) and tensor.device == META:
                assert tensor.dtype != torch.float64, func
        return out


def test_the_check_itself_sees_float64() -> None:
    with NoFloat64(), pytest.raises(AssertionError):
        torch.zeros(2, device=META).double()


def test_folding(monkeypatch) -> None:
    # what a real device would copy back
    monkeypatch.setattr(torch.Tensor, "cpu", lambda t: torch.ones(t.shape, dtype=t.dtype))
    module = network().to(META)
    with NoFloat64():
        made = folded.fold(module, torch.zeros(3, device=META), torch.ones(3, device=META), 1.5)
    for weight, bias in [*made.mlp1, *made.mlp2, *made.mlp3, *made.decoder, made.inconv, made.last]:
        assert weight.device == bias.device == META
        assert weight.dtype == bias.dtype == torch.float32


def test_training() -> None:
    block = network().spatial_encoder.mlp1[0]
    pair = (block.linear.weight.detach().to(META), torch.zeros(block.linear.out_features, device=META))
    pixels = torch.zeros(4, 5, block.linear.in_features, device=META)
    groups = pixel_stage.Groups(
        pixels, None, torch.arange(4, device=META), ((0, 2, 5), (2, 4, 5)), False, True
    )
    with NoFloat64():
        sums, products = groups.moments([pair])
        pixel_training.pooled_features([network().to(META).train().spatial_encoder.mlp1[0]], groups)
    assert sums.shape == (len(products),) == (block.linear.out_features,)
