"""Convolution, norm and LeakyReLU in the orders that the U-Nets use."""

from __future__ import annotations

from torch import nn

#: Slope of every LeakyReLU (published: PyTorch's default).
SLOPE = 0.01
#: Channels of a group where groups are normalised.
GROUP = 16


def conv3d(n_in: int, n_out: int) -> list[nn.Module]:
    """Conv3d 3 x 3 x 3, batch norm, LeakyReLU."""
    return [nn.Conv3d(n_in, n_out, 3, padding=1), nn.BatchNorm3d(n_out), nn.LeakyReLU(SLOPE, inplace=True)]


def double_conv3d(n_in: int, middle: int, n_out: int) -> nn.Sequential:
    """Two of `conv3d` after one another."""
    return nn.Sequential(*conv3d(n_in, middle), *conv3d(middle, n_out))


def double_size3d(n_in: int, n_out: int) -> nn.ConvTranspose3d:
    """Twice as many dates, rows and columns."""
    return nn.ConvTranspose3d(n_in, n_out, 3, stride=2, padding=1, output_padding=1)


def conv2d(n_in: int, n_out: int) -> list[nn.Module]:
    """Conv2d 3 x 3, batch norm, LeakyReLU."""
    return [nn.Conv2d(n_in, n_out, 3, padding=1), nn.BatchNorm2d(n_out), nn.LeakyReLU(SLOPE, inplace=True)]


def grouped_conv2d(n_in: int, n_out: int) -> list[nn.Module]:
    """Conv2d 3 x 3, group norm with groups of 16 channels, LeakyReLU."""
    norm = nn.GroupNorm(max(n_out // GROUP, 1), n_out)
    return [nn.Conv2d(n_in, n_out, 3, padding=1), norm, nn.LeakyReLU(SLOPE, inplace=True)]
