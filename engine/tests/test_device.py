"""Which processor computes, and how it is said."""

import pytest
import torch

from sits_engine import device
from sits_engine.errors import EngineError


def test_cpu_is_named():
    chosen = device.select("cpu")
    assert chosen.is_cpu
    assert chosen.label.startswith("CPU (")
    assert "thread" in chosen.label
    assert device.processor(1).label.endswith(", 1 thread)")
    assert device.processor(2).label.endswith(", 2 threads)")


def test_auto_gives_a_device_that_computes():
    chosen = device.select("auto")
    assert torch.ones(3, device=chosen.torch).sum().item() == 3


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a usable NVIDIA card")
def test_a_named_device_that_fails_is_an_error_with_a_way_out():
    with pytest.raises(EngineError) as raised:
        device.select("cuda")
    assert raised.value.code == "DEVICE_UNAVAILABLE"
    assert "Set up engine" in raised.value.advice


def test_available_ends_with_the_cpu():
    assert device.available()[-1]["device"] == "cpu"
