"""By what a run knows that a checkpoint is its own."""

from __future__ import annotations

from typing import Any

from torch import nn

from sits_engine.learning.checkpoint import mark_of
from sits_engine.models.card import ModelCard
from sits_engine.samples.pixel_sets import PixelSets


def run_mark(
    module: nn.Module, card: ModelCard, source: PixelSets, target: PixelSets, plain: dict[str, Any]
) -> str:
    """Changes when weights, card, samples or settings change; labels of the target are no input."""
    samples = [
        a for sets in (source, target) for a in (sets.values, sets.valid, sets.offsets, sets.positions)
    ]
    facts = {**plain, "card": card.model_dump(mode="json")}
    return mark_of(facts, [*samples, source.labels], module)
