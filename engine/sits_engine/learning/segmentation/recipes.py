"""Optimisers and learning rates of pre-training and fine-tuning.

Source: shared/spec/cscl.md sections 4 and 9; shared/spec/pitfalls.md 2.3 (rates move each step) and 3.14.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from torch import nn, optim

#: Rate at which warm-up starts.
COLD = 1e-8
#: Lowest rate of a cosine.
FLOOR = 5e-6


@dataclass(frozen=True)
class Recipe:
    """How one stage is optimised.

    Attributes:
        learning_rate: highest.
        decay: 'stairs': times `factor` every `every` epochs; 'cosine': warm-up along a line, then half a
            cosine down to `FLOOR`, both step by step.
        optimiser: 'adam' or 'adamw'.
        weight_decay: of AdamW (published for segmentation: 0).
        factor, every: of the stairs.
        warm_up: share of all steps.
    """

    learning_rate: float
    decay: Literal["stairs", "cosine"]
    optimiser: Literal["adam", "adamw"] = "adam"
    factor: float = 0.975
    every: int = 1
    warm_up: float = 0.1
    weight_decay: float = 0.0

    def optimizer(self, parameters: Iterable[nn.Parameter]) -> optim.Optimizer:
        """Fused, so that a card isn't waited for."""
        if self.optimiser == "adamw":
            return optim.AdamW(parameters, lr=self.learning_rate, weight_decay=self.weight_decay, fused=True)
        return optim.Adam(parameters, lr=self.learning_rate, fused=True)

    def rate(self, step: int, steps_per_epoch: int, epochs: int) -> float:
        """Learning rate of a step (from 0)."""
        if self.decay == "stairs":
            return self.learning_rate * self.factor ** (step // steps_per_epoch // self.every)
        total = steps_per_epoch * epochs
        warm = round(self.warm_up * total)
        if step < warm:
            return COLD + (self.learning_rate - COLD) * (step / warm)
        floor = min(FLOOR, self.learning_rate)
        share = min(1.0, (step - warm) / max(1, total - 1 - warm))
        return floor + (self.learning_rate - floor) * (1 + math.cos(math.pi * share)) / 2


def recipe(
    architecture: str, stage: Literal["pretrain", "finetune"], *, published: bool, rate: float | None = None
) -> Recipe:
    """The recipe of a network in a stage.

    The published one is made for 50 to 300 epochs of thousands of windows on a GPU. A run that ends after
    some hundred steps would hardly move with a rate of 1e-4, so the default is ten times that, with a short
    warm-up (the first steps of batch norm) and a cosine that has fallen when the run ends.

    Args:
        architecture: of the registry.
        stage: 'pretrain' is CSCL.
        published: the published recipe (see above) instead of ours.
        rate: another highest learning rate; None keeps the recipe's.
    """
    if architecture.startswith("tsvit"):
        # the same in both: AdamW with warm-up and cosine is the published one of TSViT
        chosen = Recipe(1e-3, "cosine", "adamw")
    elif published:
        chosen = Recipe(1e-4, "stairs", every=1 if stage == "pretrain" else 2)
    else:
        chosen = Recipe(1e-3, "cosine", warm_up=0.05)
    if rate is None:
        return chosen
    return Recipe(rate, chosen.decay, chosen.optimiser, chosen.factor, chosen.every, chosen.warm_up)
