"""Super-resolution: blocks that enlarge an embedding two or four times."""

from __future__ import annotations

from torch import nn

from sits_engine.models.segmentation.blocks import SLOPE


def enlarging(channels: int, scale: int) -> nn.Sequential:
    """One block for scale 2, two for 4, none for 1.

    A block is ConvTranspose2d 3 x 3 with stride 2, batch norm, LeakyReLU. The class head and the
    similarity head both act on what comes out, so that pre-training trains the blocks as well.

    Args:
        channels: of the embedding, kept.
        scale: 1, 2 or 4.

    Returns:
        (B, channels, H, W) -> (B, channels, H * scale, W * scale).

    Source: shared/spec/cscl.md section 6 (there for UNet3Df only).
    """
    return nn.Sequential(*(_block(channels) for _ in range(scale.bit_length() - 1)))


def _block(channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.ConvTranspose2d(channels, channels, 3, stride=2, padding=1, output_padding=1),
        nn.BatchNorm2d(channels),
        nn.LeakyReLU(SLOPE, inplace=True),
    )
