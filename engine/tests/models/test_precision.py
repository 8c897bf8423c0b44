"""Training and maps compute in one type of half precision: the one the card in use has."""

from contextlib import contextmanager, nullcontext

import pytest
import torch

from sits_engine.device import Device
from sits_engine.learning.segmentation import inference, steps
from sits_engine.models import precision, segment_inference


def pretend(monkeypatch, new_cards):
    """Cards as PyTorch shows them: those of `new_cards` have bfloat16, whichever is the current one."""
    current = [0]

    @contextmanager
    def device(card):
        before, current[0] = current[0], card.index or 0
        yield
        current[0] = before

    def supported(including_emulation=True):
        return including_emulation or current[0] in new_cards

    monkeypatch.setattr(torch.cuda, "device", device)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)


def test_bfloat16_where_the_card_has_it_else_float16(monkeypatch):
    pretend(monkeypatch, new_cards={1})
    assert precision.half_type(Device(torch.device("cuda:0"), "old")) == torch.float16
    assert precision.half_type(Device(torch.device("cuda:1"), "new")) == torch.bfloat16
    assert precision.half_type(Device(torch.device("cuda"), "the first")) == torch.float16


@pytest.mark.parametrize("name", ["cpu", "mps"])
def test_float32_beside_nvidia(name):
    device = Device(torch.device(name), name)
    assert precision.half_type(device) is None
    with precision.mixed(device):
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert product.dtype == torch.float32


def test_training_tests_and_maps_ask_the_same_function(monkeypatch):
    pretend(monkeypatch, new_cards={0})
    asked = []
    monkeypatch.setattr(torch, "autocast", lambda kind, dtype: asked.append((kind, dtype)) or nullcontext())
    for module in (steps, inference, segment_inference):
        module.mixed(Device(torch.device("cuda"), "a card"))
    assert asked == [("cuda", torch.bfloat16)] * 3
    assert steps.half_type is precision.half_type
