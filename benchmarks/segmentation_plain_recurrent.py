"""UNet3Df, UNet2D-CLSTM and BiConvGRU as they were published, written plainly: for `segmentation_speed.py`.

One operator after the other, in eager PyTorch: every norm as a layer of its own, the convolution of a date's
input at that date, that of the GRU's gates over input and state side by side. Two favours to the published
forms: all dates go through the U-Net in one batch, and the LSTM is run once instead of twice. Parameters have
the names of our networks, so that a state dict fits both.

Source: shared/spec/cscl.md sections 5.2 to 5.4.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from segmentation_plain import PlainUNet3D
from torch import Tensor, nn


class PlainUNet3Df(PlainUNet3D):
    """Wide features to the end, for `n_dates`, a multiple of 4."""

    def __init__(self, n_bands: int, n_classes: int, n_dates: int) -> None:
        super().__init__(n_bands, n_classes, n_dates)
        layers: list[nn.Module] = []
        for _ in range(2):
            layers += [nn.Conv3d(128, 128, 3, padding=1), nn.BatchNorm3d(128), nn.LeakyReLU()]
        self.trunk.dc3 = nn.Sequential(*layers)
        self.final = nn.Module()
        self.final.conv = nn.Conv3d(128, 128, 3, padding=1)
        self.final.dates = nn.Linear(n_dates, 1)
        self.head = nn.Conv2d(128, n_classes, 1)

    def forward(self, stack: Tensor) -> Tensor:
        """(B, T, C + 1, H, W) -> logits (B, K, H, W)."""
        features = self.final.conv(self.features(stack))
        result: Tensor = self.head(self.final.dates(features.movedim(2, -1)).squeeze(-1))
        return result


def _convolution(n_in: int, n_out: int, *, grouped: bool = False) -> list[nn.Module]:
    norm = nn.GroupNorm(n_out // 16, n_out) if grouped else nn.BatchNorm2d(n_out)
    return [nn.Conv2d(n_in, n_out, 3, padding=1), norm, nn.LeakyReLU()]


class _RecurrentNorm(nn.Module):
    """Batch norm without shift, with statistics of each date."""

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, n_dates: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((channels,), 0.1))
        self.register_buffer("running_mean", torch.zeros(n_dates, channels))
        self.register_buffer("running_var", torch.ones(n_dates, channels))

    def forward(self, x: Tensor, date: int) -> Tensor:
        """Normalise (B, C, H, W)."""
        statistics = self.running_mean[date], self.running_var[date]
        return F.batch_norm(x, *statistics, self.weight, None, self.training)


class PlainUNet2DCLSTM(nn.Module):
    """A U-Net of each date, then the convolutional LSTM."""

    def __init__(self, n_bands: int, n_classes: int, n_dates: int) -> None:
        super().__init__()
        self.unet = nn.Module()
        u = self.unet
        u.enc3 = nn.Sequential(
            *_convolution(n_bands + 1, 64, grouped=True), *_convolution(64, 64, grouped=True)
        )
        u.enc4 = nn.Sequential(*_convolution(64, 128, grouped=True), *_convolution(128, 128, grouped=True))
        u.center = nn.Sequential(*_convolution(128, 256, grouped=True))
        u.center_decode = nn.Sequential(
            *_convolution(256, 256, grouped=True), nn.ConvTranspose2d(256, 128, 2, stride=2)
        )
        u.dec4 = nn.Sequential(
            *_convolution(256, 128), *_convolution(128, 128), nn.ConvTranspose2d(128, 64, 2, stride=2)
        )
        u.final = nn.Sequential(
            *_convolution(128, 64), *_convolution(64, 32), nn.Conv2d(32, 128, 3, padding=1)
        )
        self.lstm = nn.Module()
        self.lstm.input_conv = nn.Conv2d(128, 512, 3, padding=1)
        self.lstm.h_conv = nn.Conv2d(128, 512, 3, padding=1)
        self.lstm.input_norm = _RecurrentNorm(512, n_dates)
        self.lstm.h_norm = _RecurrentNorm(512, n_dates)
        self.lstm.cell_norm = _RecurrentNorm(128, n_dates)
        self.head = nn.Conv2d(128, n_classes, 3, padding=1)

    def forward(self, stack: Tensor) -> Tensor:
        """(B, T, C + 1, H, W) -> logits (B, K, H, W)."""
        u, cells = self.unet, self.lstm
        top = u.enc3(stack.flatten(0, 1))
        middle = u.enc4(F.max_pool2d(top, 2))
        bottom = u.center_decode(u.center(F.max_pool2d(middle, 2)))
        up = u.dec4(torch.cat([bottom, middle], 1))
        x = u.final(torch.cat([up, top], 1)).unflatten(0, stack.shape[:2])
        state = cell = torch.zeros_like(x[:, 0])
        states = []
        for date in range(stack.shape[1]):
            recurrent = cells.h_norm(cells.h_conv(state), date)
            gates = recurrent + cells.input_norm(cells.input_conv(x[:, date]), date)
            into, forget, out, candidate = gates.chunk(4, 1)
            cell = torch.sigmoid(forget) * cell + torch.sigmoid(into) * torch.tanh(candidate)
            state = torch.sigmoid(out) * cells.cell_norm(torch.tanh(cell), date)
            states.append(state)
        result: Tensor = self.head(torch.stack(states, 1).mean(1))
        return result


class _PlainGRU(nn.Module):
    def __init__(self, n_in: int, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.input_conv = nn.Conv2d(n_in, 3 * hidden, 3, padding=1)
        self.gate_conv = nn.Conv2d(hidden, 2 * hidden, 3, padding=1, bias=False)
        self.candidate_conv = nn.Conv2d(hidden, hidden, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, n_in, H, W) -> last state (B, hidden, H, W)."""
        # The published layers see input and state side by side.
        both = 2 * self.hidden
        weight, bias = self.input_conv.weight, self.input_conv.bias
        gate = torch.cat([weight[:both], self.gate_conv.weight], 1)
        wanted = torch.cat([weight[both:], self.candidate_conv.weight], 1)
        state = x.new_zeros(len(x), self.hidden, *x.shape[3:])
        for one in x.unbind(1):
            update, reset = torch.sigmoid(
                F.conv2d(torch.cat([one, state], 1), gate, bias[:both], padding=1)
            ).chunk(2, 1)
            new = torch.tanh(F.conv2d(torch.cat([one, reset * state], 1), wanted, bias[both:], padding=1))
            state = (1 - update) * state + update * new
        return state


class PlainBiConvGRU(nn.Module):
    """Convolutional GRU in both directions."""

    def __init__(self, n_bands: int, n_classes: int, n_dates: int) -> None:
        super().__init__()
        self.inconv = nn.Conv2d(n_bands + 1, 64, 3, padding=1)
        self.ahead, self.back = _PlainGRU(64, 256), _PlainGRU(64, 256)
        self.head = nn.Conv2d(512, n_classes, 3, padding=1)

    def forward(self, stack: Tensor) -> Tensor:
        """(B, T, C + 1, H, W) -> logits (B, K, H, W), of which the published form takes the logarithm."""
        x = self.inconv(stack.flatten(0, 1)).unflatten(0, stack.shape[:2])
        result: Tensor = self.head(torch.cat([self.ahead(x), self.back(x.flip(1))], 1))
        return result
