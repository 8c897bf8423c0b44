"""Segmentation networks that are small and whose norms have seen numbers, and windows for them."""

import torch
from torch import nn

from sits_engine.models.card import BandCard, ClassCard, ModelCard
from sits_engine.models.registry import build, segmentation_hyperparameters

NORMS = (nn.BatchNorm2d, nn.BatchNorm3d)


def trained(name, scale=1, n_dates=6):
    """A small network whose norms have seen numbers, so that they do something."""
    torch.manual_seed(3)
    numbers = segmentation_hyperparameters(
        name, 3, 4, n_dates=n_dates, scale=scale, window=8, width="small", **slim(name)
    )
    module = build(name, numbers)
    for part_name, values in module.state_dict().items():
        if part_name.endswith("running_var"):
            values.uniform_(0.2, 3)
        elif part_name.endswith("running_mean"):
            values.normal_(0, 0.3)
    for part in module.modules():
        if isinstance(part, NORMS):
            nn.init.uniform_(part.weight, -1.5, 1.5)
            nn.init.normal_(part.bias, 0, 0.5)
    return module.eval(), numbers


def slim(name):
    return {"temporal_depth": 1, "spatial_depth": 1} if name == "tsvit" else {}


def card_of(name, numbers):
    return ModelCard(
        architecture=name,
        hyperparameters=numbers,
        bands=[BandCard(name=f"B{i}") for i in range(3)],
        classes=[ClassCard(name=f"class {i}", color="#808080") for i in range(4)],
        season_year=2023,
        positions=[0.0],
    )


def windows(n=3, n_dates=6, seed=0):
    """Images of which the second lacks its first dates and the third all but one."""
    random = torch.Generator().manual_seed(seed)
    mask = torch.ones(n, n_dates, dtype=torch.bool)
    if n > 2:
        mask[1, :2] = False
        mask[2] = False
        mask[2, 4] = True
    images = torch.randn(n, n_dates, 3, 8, 8, generator=random) * mask[:, :, None, None, None]
    return images, torch.arange(n_dates).mul(30).expand(n, -1), mask
