"""Temporal-aware affinity propagation (TAAP): scores flow between neighbours that look alike over time."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

#: Smallest variance that is not counted as none: its root's gradient would be without bounds.
TINY = 1e-12
#: Rows and columns from a patch to its eight neighbours.
NEIGHBOURS = tuple((i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if (i, j) != (0, 0))


@dataclass(frozen=True)
class AffinitySettings:
    """Published values.

    Attributes:
        dilations: distances of the neighbours in patches; eight neighbours for each.
        iterations: how often scores flow.
        temperature: of the softmax over the neighbours (published: alpha).
    """

    dilations: tuple[int, ...] = (2,)
    iterations: int = 3
    temperature: float = 0.3


def propagate(
    features: Tensor, scores: Tensor, settings: AffinitySettings | None = None, inside: Tensor | None = None
) -> Tensor:
    """Let scores flow: each patch takes the mean of its neighbours' scores, weighted by affinity.

    Args:
        features: (N, d, h, w), what patches are compared by.
        scores: (N, h, w).
        settings: see there.
        inside: (N, h, w) bool, patches that count. In place of a neighbour outside a patch
            meets itself, much as at the edge of the window, where the nearest patch repeats (published).

    Returns:
        (N, h, w) float32. A constant stays what it is.

    Source: shared/spec/exact.md section 3.2.
    """
    settings = settings or AffinitySettings()
    # Half precision is too coarse for differences of neighbours.
    with torch.autocast(features.device.type, enabled=False):
        weights = affinities(features, settings, inside)
        met = None if inside is None else _shifted(inside.float()[:, None], settings.dilations)
        result = scores.float()
        for _ in range(settings.iterations):
            flowed = torch.stack([s[:, 0] for s in _shifted(result[:, None], settings.dilations)], 1)
            if met is not None:
                flowed = torch.where(torch.cat(met, 1) > 0, flowed, result[:, None])
            result = (weights * flowed).sum(1)
        return result


def affinities(features: Tensor, settings: AffinitySettings, inside: Tensor | None = None) -> Tensor:
    """Softmax over the neighbours of cosine / spread / temperature.

    Args:
        features, settings, inside: as `propagate`.

    Returns:
        (N, J, h, w) float32, J = 8 times the number of dilations; sums to 1 over J.
    """
    x = features.float()
    direction = F.normalize(x, dim=1, eps=1e-8)
    near, pointing = _shifted(x, settings.dilations), _shifted(direction, settings.dilations)
    met = None if inside is None else _shifted(inside.float()[:, None], settings.dilations)
    cosines: list[Tensor] = []
    # The spread of the neighbours, from differences to the centre: sums of squares of the features
    # themselves would lose the small differences of a field's inside.
    total, squares = torch.zeros_like(x), torch.zeros_like(x)
    for number, (neighbour, its_direction) in enumerate(zip(near, pointing, strict=True)):
        cosine, difference = (direction * its_direction).sum(1), neighbour - x
        if met is not None:
            seen = met[number] > 0
            cosine = torch.where(seen[:, 0], cosine, 1.0)
            difference = difference * seen
        cosines.append(cosine)
        total, squares = total + difference, squares + difference.square()
    count = len(cosines)
    variance = (squares - total.square() / count) / (count - 1)
    spread = torch.where(variance > TINY, variance.clamp_min(TINY).sqrt(), 0.0).mean(1, keepdim=True)
    return (torch.stack(cosines, 1) / (spread + 1e-8) / settings.temperature).softmax(1)


def _shifted(x: Tensor, dilations: tuple[int, ...]) -> list[Tensor]:
    """Views of x (N, c, h, w), one for each neighbour; the edge of the window is repeated outwards."""
    height, width = x.shape[-2:]
    result = []
    for distance in dilations:
        padded = F.pad(x, (distance, distance, distance, distance), mode="replicate")
        for i, j in NEIGHBOURS:
            top, left = distance * (1 + i), distance * (1 + j)
            result.append(padded[..., top : top + height, left : left + width])
    return result
