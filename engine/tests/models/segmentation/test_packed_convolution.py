"""Convolutions for maps give the numbers of PyTorch's own."""

import copy

import pytest
import torch
from support.trained_segmenters import card_of, trained, windows
from torch import nn

from sits_engine.device import select
from sits_engine.models.segment_inference import SegmentPredictor
from sits_engine.models.segmentation import packed_convolution
from sits_engine.models.segmentation.folding import folded
from sits_engine.models.segmentation.packed_convolution import Joined, PackedConv3d, packed


@pytest.mark.parametrize("slope", [1.0, 0.2])
@pytest.mark.parametrize("bias", [True, False])
def test_one_and_several_inputs(slope, bias):
    torch.manual_seed(0)
    convolution = nn.Conv3d(7, 5, 3, padding=1, stride=(1, 2, 1), bias=bias)
    parts = [torch.randn(2, channels, 4, 6, 5) for channels in (3, 2, 2)]
    with torch.no_grad():
        expected = nn.functional.leaky_relu(convolution(torch.cat(parts, 1)), slope)
        run = PackedConv3d(convolution, slope)
        torch.testing.assert_close(run(*parts), expected, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(run(torch.cat(parts, 1)), expected, atol=1e-5, rtol=1e-5)
        more = torch.randn(9, 7, 3, 3, 3)
        torch.testing.assert_close(
            run(more), nn.functional.leaky_relu(convolution(more), slope), atol=1e-5, rtol=1e-5
        )


def test_joined_layers_are_those_of_a_sequence():
    torch.manual_seed(0)
    layers = [nn.Conv3d(5, 4, 3), nn.LeakyReLU(), nn.Conv3d(4, 2, 1)]
    x, y = torch.randn(1, 2, 4, 4, 4), torch.randn(1, 3, 4, 4, 4)
    assert list(Joined(*layers).state_dict()) == list(nn.Sequential(*layers).state_dict())
    with torch.no_grad():
        assert torch.equal(Joined(*layers)(x, y), nn.Sequential(*layers)(torch.cat([x, y], 1)))


@pytest.mark.parametrize("name", ["unet3d", "unet3df"])
def test_networks_give_the_same_numbers_and_stay_as_they_were(name):
    module, _ = trained(name)
    network = folded(module)
    before = copy.deepcopy(network.state_dict())
    with torch.no_grad():
        expected = network(*windows())
        made = packed(network)
        for _ in range(2):
            torch.testing.assert_close(made(*windows()), expected, atol=1e-5, rtol=1e-4)
    assert sum(isinstance(part, PackedConv3d) for part in made.modules()) == 10
    assert not any(isinstance(part, PackedConv3d) for part in network.modules())
    for key, value in network.state_dict().items():
        assert torch.equal(value, before[key])


def test_what_has_none_or_cannot_is_given_back(monkeypatch):
    flat, _ = trained("unet2d_clstm")
    assert packed(flat) is flat
    other = nn.Sequential(nn.Conv3d(1, 1, 3, padding=1, padding_mode="circular"), nn.LeakyReLU())
    assert packed(other) is other
    half = nn.Sequential(nn.Conv3d(1, 1, 3), nn.LeakyReLU()).bfloat16()
    assert packed(half) is half
    module, _ = trained("unet3d")
    monkeypatch.setattr(packed_convolution, "works", lambda: False)
    assert packed(module) is module


def test_operators_that_are_missing_or_wrong_are_not_used(monkeypatch):
    works = packed_convolution.works.__wrapped__
    assert works()

    def missing(self, *parts):
        raise AttributeError("no operator")

    monkeypatch.setattr(PackedConv3d, "forward", missing)
    assert not works()
    monkeypatch.setattr(PackedConv3d, "forward", lambda self, *parts: torch.zeros(1, 4, 4, 5, 6))
    assert not works()


def test_maps_on_a_processor_run_it():
    module, numbers = trained("unet3d")
    run = SegmentPredictor(module, card_of("unet3d", numbers), select("cpu")).module
    assert any(isinstance(part, PackedConv3d) for part in run.modules())
    assert not any(isinstance(part, PackedConv3d) for part in module.modules())
