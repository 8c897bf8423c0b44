"""Whose batch statistics the student trains with: those of the source model, or those of the batches."""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import nn

from sits_engine.device import Device
from sits_engine.learning.transforms import Collator
from sits_engine.models.pseltae import PSELTAE

#: Samples of each region that the statistics are taken from.
SAMPLES = 512
#: Nearer than this the target lies where the source model's statistics were taken. The pairs that were
#: measured lie far on either side (docs/adaptation.md).
NEAR = 0.4


def distance(network: PSELTAE, source: Collator, target: Collator, device: Device, seed: int) -> float:
    """How far the target's features lie from the source's, in standard deviations of the source's.

    Args:
        network: the source model, with the shift built in if there is one; it is not changed.
        source, target: whole series of both regions, the source's on its own calendar as the network sees it.
        device: where to compute.
        seed: of the samples drawn.

    Returns:
        root mean square over the features of a batch norm of the distance between the two means; mean over
        the norms behind the attention over dates.
    """
    a, b = (_statistics(network, side, device, seed) for side in (source, target))
    apart = [
        float(((there - here).square() / spread.clamp(min=1e-6)).mean().sqrt())
        for (here, spread), (there, _) in zip(a, b, strict=True)
    ]
    return float(np.mean(apart))


def _statistics(
    network: PSELTAE, side: Collator, device: Device, seed: int
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Mean and variance of what each norm behind the attention over dates is given, by the source model."""
    probe = copy.deepcopy(network).to(device.torch).eval()
    found: list[tuple[torch.Tensor, torch.Tensor]] = []

    def look(norm: nn.Module, given: tuple[torch.Tensor]) -> None:
        found.append((given[0].mean(0), given[0].var(0, correction=0)))

    for part in (probe.temporal_encoder.mlp, probe.decoder):
        for norm in _norms(part):
            norm.register_forward_pre_hook(look)
    rng = np.random.default_rng(seed)
    index = rng.permutation(len(side.sets))[:SAMPLES]
    with torch.no_grad():
        probe(*side(index, rng).to(device.torch).inputs)
    return found


def _norms(module: nn.Module) -> list[nn.BatchNorm1d]:
    return [child for child in module.modules() if isinstance(child, nn.BatchNorm1d)]


def keep(student: nn.Module) -> None:
    """In training: norms behind the pooling of pixels use and keep the source model's statistics.

    Call after `student.train()`. The norms of single pixels go on with each region's own batches: light and
    soil may differ where crops look the same.
    """
    if not isinstance(student, PSELTAE):
        raise TypeError(f"{type(student).__name__} has no pooling of pixels")
    pixels = set(student.spatial_encoder.mlp1.modules())
    for norm in _norms(student):
        if norm not in pixels:
            norm.eval()
