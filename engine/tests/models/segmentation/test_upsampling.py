"""Blocks that enlarge: how they start, and their sizes."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import sits_engine  # noqa: F401
from sits_engine.models.segmentation.upsampling import enlarging, interpolate


def test_a_block_starts_as_bilinear_interpolation(monkeypatch) -> None:
    monkeypatch.setattr("sits_engine.models.segmentation.upsampling.NOISE", 0.0)
    layer = nn.ConvTranspose2d(3, 3, 4, stride=2, padding=1)
    interpolate(layer)
    x = torch.rand(2, 3, 6, 7)
    expected = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
    inside = (..., slice(1, -1), slice(1, -1))  # interpolation repeats the edge, convolution pads with 0
    torch.testing.assert_close(layer(x)[inside], expected[inside])


@pytest.mark.parametrize("reference", [False, True])
@pytest.mark.parametrize("scale", [1, 2, 4])
def test_size_follows_the_scale(scale: int, reference: bool) -> None:
    blocks = enlarging(5, scale, reference=reference)
    assert blocks(torch.rand(2, 5, 4, 6)).shape == (2, 5, 4 * scale, 6 * scale)


def test_all_pixels_are_covered_alike() -> None:
    """The published kernel covers every other pixel more often: speckles of one pixel."""

    def cover(reference: bool) -> torch.Tensor:
        layer = enlarging(1, 2, reference=reference)[0][0]
        nn.init.ones_(layer.weight)
        nn.init.zeros_(layer.bias)
        return layer(torch.ones(1, 1, 6, 6))[0, 0, 2:-2, 2:-2]

    assert cover(reference=False).unique().numel() == 1
    assert cover(reference=True).unique().numel() > 1
