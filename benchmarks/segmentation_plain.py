"""TSViT and UNet3D as they were published, written plainly: what `segmentation_speed.py` measures against.

One operator after the other, in eager PyTorch: attention as two products with a softmax between them, every
token through every layer, the last convolution of UNet3D at every date. Classes of TSViT stand beside each
other in the batch in its spatial stage, as published. Parameters have the names of our networks, so that a
state dict fits both.

Source: shared/spec/cscl.md sections 5.1 and 9, exact.md section 6.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

#: Rows of the table of days, and what the day is divided by in the last channel.
N_DAYS, DAYS = 366, 365.0001


def published_input(images: Tensor, positions: Tensor) -> Tensor:
    """(B, T, C, H, W) and (B, T) -> (B, T, C + 1, H, W): the day is the last channel."""
    day = (positions.to(images.dtype) / DAYS)[:, :, None, None, None]
    return torch.cat([images, day.expand(*images.shape[:2], 1, *images.shape[3:])], 2)


class _Layer(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x))."""

    def __init__(self, dim: int, heads: int, head_dim: int) -> None:
        super().__init__()
        self.heads, self.factor = heads, head_dim**-0.5
        self.attention_norm = nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * heads * head_dim, bias=False)
        self.project = nn.Linear(heads * head_dim, dim)
        self.mlp_norm = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))

    def forward(self, x: Tensor) -> Tensor:
        """(N, L, dim), all tokens."""
        query, key, value = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in self.qkv(self.attention_norm(x)).chunk(3, -1)
        )
        scores = torch.einsum("nhid,nhjd->nhij", query, key) * self.factor
        mixed = torch.einsum("nhij,nhjd->nhid", scores.softmax(-1), value)
        x = self.project(mixed.transpose(1, 2).flatten(2)) + x
        result: Tensor = self.mlp(self.mlp_norm(x)) + x
        return result


class _Transformer(nn.Module):
    def __init__(self, dim: int, depth: int, heads: int, head_dim: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_Layer(dim, heads, head_dim) for _ in range(depth))
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        """All layers and the norm."""
        for layer in self.layers:
            x = layer(x)
        result: Tensor = self.norm(x)
        return result


class PlainTSViT(nn.Module):
    """Patches of 2 x 2 pixels; values of a patch in the published, scrambled order (pitfalls 3.1)."""

    def __init__(
        self, n_bands: int, n_classes: int, window: int, dim: int, depth: int, heads: int, head_dim: int
    ) -> None:
        super().__init__()
        self.dim, self.n_classes = dim, n_classes
        self.temporal = nn.Module()
        self.temporal.patch_embedding = nn.Linear(4 * n_bands, dim)
        self.temporal.day_embedding = nn.Linear(N_DAYS, dim)
        self.temporal.class_tokens = nn.Parameter(torch.randn(n_classes, dim))
        self.temporal.transformer = _Transformer(dim, depth, heads, head_dim)
        self.patch_positions = nn.Module()
        self.patch_positions.table = nn.Parameter(torch.randn((window // 2) ** 2, dim))
        self.spatial = _Transformer(dim, depth, heads, head_dim)
        self.pixels = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, 4))

    def forward(self, stack: Tensor) -> Tensor:
        """(B, T, C + 1, H, W) -> logits (B, K, H, W)."""
        batch, dates, _, height, width = stack.shape
        stage = self.temporal
        day = torch.floor(stack[:, :, -1, 0, 0] * DAYS).long()
        days = stage.day_embedding(F.one_hot(day, N_DAYS).float())
        # (B, T, C, h, 2, w, 2) -> (B, h, w, T, 2, 2, C)
        x = stack[:, :, :-1].unflatten(4, (-1, 2)).unflatten(3, (-1, 2)).permute(0, 3, 5, 1, 4, 6, 2)
        x = stage.patch_embedding(x.reshape(batch, height * width // 4, dates, -1)) + days[:, None]
        tokens = stage.class_tokens.expand(*x.shape[:2], -1, -1)
        x = stage.transformer(torch.cat([tokens, x], 2).flatten(0, 1))[:, : self.n_classes]
        x = x.reshape(batch, -1, self.n_classes, self.dim).transpose(1, 2).flatten(0, 1)
        values = self.pixels(self.spatial(x + self.patch_positions.table))
        return values.reshape(batch, self.n_classes, height, width)


def _block(*widths: int) -> list[nn.Module]:
    """Conv3d, batch norm, LeakyReLU from each width to the next."""
    made: list[nn.Module] = []
    for n_in, n_out in zip(widths, widths[1:], strict=False):
        made += [nn.Conv3d(n_in, n_out, 3, padding=1), nn.BatchNorm3d(n_out), nn.LeakyReLU()]
    return made


def _double(n_in: int, n_out: int) -> nn.Module:
    return nn.ConvTranspose3d(n_in, n_out, 3, stride=2, padding=1, output_padding=1)


class PlainUNet3D(nn.Module):
    """The narrow original with `n_dates`, a multiple of 4."""

    def __init__(self, n_bands: int, n_classes: int, n_dates: int) -> None:
        super().__init__()
        self.trunk = nn.Module()
        self.trunk.en3 = nn.Sequential(*_block(n_bands + 1, 64, 64))
        self.trunk.en4 = nn.Sequential(*_block(64, 128, 128))
        self.trunk.center_in = nn.Sequential(*_block(128, 256))
        self.trunk.center_out = nn.Sequential(*_block(256, 256), _double(256, 128))
        self.trunk.dc4 = nn.Sequential(*_block(256, 128, 128))
        self.trunk.trans3 = nn.Sequential(_double(128, 64), nn.BatchNorm3d(64), nn.LeakyReLU())
        self.trunk.dc3 = nn.Sequential(*_block(128, 64, 32))
        self.head = nn.Module()
        self.head.conv = nn.Conv3d(32, n_classes, 3, padding=1)
        self.head.dates = nn.Linear(n_dates, 1)

    def features(self, stack: Tensor) -> Tensor:
        """(B, T, C + 1, H, W) -> features of all dates (B, n, T, H, W)."""
        u = self.trunk
        top = u.en3(stack.transpose(1, 2))
        middle = u.en4(F.max_pool3d(top, 2))
        bottom = u.center_out(u.center_in(F.max_pool3d(middle, 2)))
        middle = u.dc4(torch.cat([bottom, middle], 1))
        result: Tensor = u.dc3(torch.cat([u.trans3(middle), top], 1))
        return result

    def forward(self, stack: Tensor) -> Tensor:
        """(B, T, C + 1, H, W) -> logits (B, K, H, W)."""
        scores = self.head.conv(self.features(stack))
        result: Tensor = self.head.dates(scores.movedim(2, -1)).squeeze(-1)
        return result
