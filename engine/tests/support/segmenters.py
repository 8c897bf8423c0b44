"""Tiny segmentation networks, cards and series for tests of maps."""

from __future__ import annotations

import torch
from torch import nn

from sits_engine.models.card import BandCard, ClassCard, ModelCard


class Mean(nn.Module):
    """Mean over the dates that are used, two zero-padded convolutions, enlarged `scale` times.

    The padding makes it react to the border of its window, as the published networks do.
    """

    def __init__(self, bands=3, classes=3, scale=1, width=8, divisor=4, seed=0, border=True):
        super().__init__()
        torch.manual_seed(seed)
        self.divisor, self.scale, self.embedding_channels = divisor, scale, width
        mode = "zeros" if border else "reflect"
        self.first = nn.Conv2d(bands, width, 5, padding=2, padding_mode=mode)
        self.second = nn.Conv2d(width, width, 5, padding=2, padding_mode=mode)
        self.head = nn.Conv2d(width, classes, 1)
        with torch.no_grad():
            for part in (self.first, self.second):
                part.weight.mul_(2)
            self.head.weight.mul_(6)
        self.calls: list[tuple[int, ...]] = []

    def embed(self, images, positions, date_mask):
        self.calls.append(tuple(images.shape))
        used = date_mask.float()[:, :, None, None, None]
        mean = (images * used).sum(1) / used.sum(1).clamp(min=1)
        mean = mean + 0.002 * (positions * date_mask).sum(1)[:, None, None, None] / date_mask.sum(1).clamp(
            min=1
        ).view(-1, 1, 1, 1)
        return (
            self.second(torch.tanh(self.first(mean)))
            .repeat_interleave(self.scale, 2)
            .repeat_interleave(self.scale, 3)
        )

    def classify(self, embedding):
        return self.head(torch.tanh(embedding))

    def forward(self, images, positions, date_mask):
        return self.classify(self.embed(images, positions, date_mask))


def segment_card(*, bands=("B02", "B04", "B08"), classes=3, window=16, n_dates=5, scale=1, **changes):
    """A card for `Mean`."""
    more = changes.pop("hyperparameters", {})
    return ModelCard(
        architecture="mean",
        hyperparameters={"window": window, "n_dates": n_dates, "scale": scale, **more},
        bands=[BandCard(name=name, mean=0.18, std=0.1) for name in bands],
        classes=[
            ClassCard(name=name, color=color, codes=[str(i)])
            for i, (name, color) in enumerate(
                [("wheat", "#d9a01c"), ("maïs", "#f2e205"), ("sugar beet", "#c2185b")][:classes], 1
            )
        ],
        season_year=2023,
        positions=[float(day) for day in range(40, 240, 10)],
        **changes,
    )
