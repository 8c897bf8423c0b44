"""Small networks, cards and samples for tests."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from sits_engine.models.card import BandCard, ClassCard, ModelCard
from sits_engine.models.registry import build, pseltae_hyperparameters
from sits_engine.samples.pixel_sets import PixelSets, offsets_of


def network(*, bands=3, classes=4, width="small", seed=0, **changes) -> nn.Module:
    """A network whose batch norms and outputs are far from their start, in eval mode."""
    torch.manual_seed(seed)
    module = build("pseltae", pseltae_hyperparameters(bands, classes, width=width, **changes))
    for name, value in module.state_dict().items():
        if "running_mean" in name or name.endswith("norm.bias"):
            value.normal_(0, 0.3)
        elif "running_var" in name or name.endswith("norm.weight"):
            value.uniform_(0.5, 1.5)
    with torch.no_grad():
        module.decoder[-1].weight.mul_(5)
    return module.eval()


def card(*, bands=3, classes=4, width="small", mask_dates=True, temperature=1.0, **changes) -> ModelCard:
    """The card of such a network."""
    return ModelCard(
        architecture="pseltae",
        hyperparameters=pseltae_hyperparameters(bands, classes, width=width, **changes),
        bands=[BandCard(name=f"B{i}", mean=0.1 * i, std=0.1 + 0.05 * i) for i in range(bands)],
        classes=[ClassCard(name=f"class {i}", color="#00ff00") for i in range(classes)],
        season_year=2020,
        positions=[0.0, 10.0],
        mask_dates=mask_dates,
        temperature=temperature,
    )


def pixel_sets(sizes, *, dates=6, bands=3, clear=0.7, regions=1, seed=0) -> PixelSets:
    """Random sets of these sizes; regions differ in their dates, and the last has one date less."""
    rng = np.random.default_rng(seed)
    n, pixels = len(sizes), int(np.sum(sizes))
    region = np.arange(n) % regions
    positions = np.arange(dates)[None] * 20 + 3 * region[:, None]
    owner = np.repeat(np.arange(n), sizes)
    valid = rng.random((pixels, dates)) < clear
    if regions > 1:
        positions[region == regions - 1, -1] = positions[region == regions - 1, -2]
        valid[region[owner] == regions - 1, -1] = False
    values = rng.random((pixels, dates, bands), dtype=np.float32) * valid[:, :, None]
    return PixelSets(
        bands=tuple(f"B{i}" for i in range(bands)),
        values=values.astype(np.float32),
        valid=valid,
        offsets=offsets_of(sizes),
        positions=positions.astype(np.int32),
        labels=rng.integers(0, 4, n),
        classes=("a", "b", "c", "d"),
        ids=np.array([str(i) for i in range(n)]),
        xy=np.zeros((n, 2)),
        region=region.astype(np.int16),
        blocks=np.zeros(n, np.int64),
    )
