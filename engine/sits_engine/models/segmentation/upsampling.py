"""Super-resolution: blocks that enlarge an embedding two or four times."""

from __future__ import annotations

import torch
from torch import nn

from sits_engine.models.segmentation.blocks import SLOPE

#: Half-pixel bilinear interpolation by 2, along one axis, as a transposed convolution of stride 2.
BILINEAR = (0.25, 0.75, 0.75, 0.25)
#: Of PyTorch's random weights, what is added to the interpolation at the start.
NOISE = 0.1


def enlarging(channels: int, scale: int, *, reference: bool = False) -> nn.Sequential:
    """One block for scale 2, two for 4, none for 1.

    A block is a transposed convolution of stride 2, batch norm, LeakyReLU. The class head and the
    similarity head both act on what comes out, so that pre-training trains the blocks as well.

    Published is a kernel of 3 x 3 with random weights, which covers every other pixel more often than its
    neighbours and speckles the finer map. Ours has 4 x 4, so that all pixels are covered alike, and starts
    as bilinear interpolation: the finer network begins where the coarse one, enlarged, would be
    (docs/segmentation.md has what that gains).

    Args:
        channels: of the embedding, kept.
        scale: 1, 2 or 4.
        reference: the published block.

    Returns:
        (B, channels, H, W) -> (B, channels, H * scale, W * scale).

    Source: shared/spec/cscl.md section 6 (there for UNet3Df only).
    """
    return nn.Sequential(*(_block(channels, reference) for _ in range(scale.bit_length() - 1)))


def _block(channels: int, reference: bool) -> nn.Sequential:
    if reference:
        enlarge = nn.ConvTranspose2d(channels, channels, 3, stride=2, padding=1, output_padding=1)
    else:
        enlarge = nn.ConvTranspose2d(channels, channels, len(BILINEAR), stride=2, padding=1)
        interpolate(enlarge)
    return nn.Sequential(enlarge, nn.BatchNorm2d(channels), nn.LeakyReLU(SLOPE, inplace=True))


@torch.no_grad()
def interpolate(layer: nn.ConvTranspose2d) -> None:
    """Make a transposed convolution 4 x 4 of stride 2 start as bilinear interpolation of each channel."""
    along = torch.tensor(BILINEAR)
    same = torch.arange(layer.in_channels)
    layer.weight.mul_(NOISE)
    layer.weight[same, same] += along[:, None] * along
    if layer.bias is not None:
        layer.bias.zero_()
