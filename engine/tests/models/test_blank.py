"""Networks are built without values before a file's tensors are taken, and quickly."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from sits_engine.models.blank import blank

ENGINE = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    "draw", [nn.init.trunc_normal_, nn.init.kaiming_normal_, nn.init.orthogonal_, torch.Tensor.normal_]
)
def test_shapes_without_values(draw):
    def make():
        module = nn.Sequential(nn.Embedding(4, 3), nn.Conv3d(2, 3, 3))
        draw(module[0].weight.data)
        return module

    module = blank(make)
    assert {p.device.type for p in module.parameters()} == {"meta"}
    assert [tuple(p.shape) for p in module.parameters()] == [(4, 3), (3, 2, 3, 3, 3), (3,)]


def test_elsewhere_values_are_drawn_as_ever():
    torch.manual_seed(0)
    blank(lambda: nn.Linear(3, 3))
    inside = nn.Linear(3, 3)
    torch.manual_seed(0)
    torch.testing.assert_close(inside.weight, nn.Linear(3, 3).weight)


def test_no_network_needs_pytorchs_compiler_to_be_loaded():
    code = """
import sys
from sits_engine.models import registry
from sits_engine.models.blank import blank

def numbers(name):
    if name in registry.SEGMENTERS:
        return registry.segmentation_hyperparameters(name, 10, 8, n_dates=24)
    if name == "exact":
        return registry.exact_hyperparameters(10, 8)
    if name == "timesenclip":
        return registry.timesenclip_hyperparameters(10)
    return {"n_bands": 10, "n_classes": 8, **registry.WIDTHS["standard"]}

for name in registry.ARCHITECTURES:
    blank(lambda: registry.build(name, numbers(name)))
    assert "torch._dynamo" not in sys.modules, name
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ENGINE)
