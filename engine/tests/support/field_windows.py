"""Made-up windows of fields whose crops differ in the course of the year, and a tiny network."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from sits_engine.samples.windows import WindowSet


def field_windows(
    n=6, size=16, dates=6, bands=2, classes=3, scale=1, clear=0.85, seed=0, field=6
) -> WindowSet:
    """Windows cut into fields of `field` pixels, a tenth of them without label; windows lie in a row."""
    rng = np.random.default_rng(seed)
    side = size * scale
    step = field * scale
    blocks = -(-side // step)
    ids = np.arange(n * blocks * blocks).reshape(n, blocks, blocks) + 1
    crop = rng.integers(0, classes, ids.size + 1)
    known = rng.random(ids.size + 1) > 0.1
    fine = np.repeat(np.repeat(ids, step, 1), step, 2)[:, :side, :side]
    labels = np.where(known[fine], crop[fine], -1).astype(np.int16)
    days = np.linspace(20, 330, dates).astype(np.int32)
    peak = np.linspace(90, 260, classes)[crop[fine]]
    curve = np.exp(-(((days[None, :, None, None] - peak[:, None]) / 45) ** 2))
    coarse = curve.reshape(n, dates, size, scale, size, scale).mean((3, 5))
    values = np.stack([0.1 + 0.4 * coarse * (1 if b % 2 == 0 else -0.2) for b in range(bands)], 2)
    values = values + rng.normal(0, 0.01, values.shape)
    valid = rng.random((n, dates, size, size)) < clear
    return WindowSet(
        bands=tuple(f"B0{b + 2}" for b in range(bands)),
        values=(values * valid[:, :, None]).astype(np.float32),
        valid=valid,
        positions=np.tile(days, (n, 1)),
        labels=labels,
        parcels=np.where(labels >= 0, fine, 0).astype(np.int32),
        mixed=np.zeros(labels.shape, np.uint8),
        scale=scale,
        classes=tuple(f"crop {k}" for k in range(classes)),
        xy=np.stack([5 + 0.01 * np.arange(n), np.full(n, 50.0)], 1),
        region=np.zeros(n, np.int16),
        rows=np.zeros(n, np.int32),
        cols=(np.arange(n) * size).astype(np.int32),
    )


class TinySegmenter(nn.Module):
    """Dates and bands as channels, one convolution, batch norm; the interface of a `Segmenter`."""

    divisor = 2

    def __init__(self, n_bands=2, n_classes=3, n_dates=4, scale=1, window=8, width=8) -> None:
        super().__init__()
        self.scale, self.embedding_channels = scale, width
        self.conv = nn.Conv2d(n_dates * (n_bands + 1), width, 3, padding=1)
        self.norm = nn.BatchNorm2d(width)
        self.head = nn.Conv2d(width, n_classes, 1)

    def embed(self, images, positions, date_mask):
        day = (positions / 365).to(images.dtype) * date_mask
        day = day[:, :, None, None, None].expand(*images.shape[:2], 1, *images.shape[3:])
        x = torch.relu(self.norm(self.conv(torch.cat([images, day], 2).flatten(1, 2))))
        return F.interpolate(x, scale_factor=self.scale, mode="nearest") if self.scale > 1 else x

    def classify(self, embedding):
        return self.head(embedding)

    def forward(self, images, positions, date_mask):
        return self.classify(self.embed(images, positions, date_mask))
