"""The loss of Exact's classifier, and what a tick of a polygon says about its windows."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from sits_engine.learning.exact.affinity import AffinitySettings, propagate
from sits_engine.learning.exact.cam import fused, relative
from sits_engine.learning.exact.prototypes import ClueSettings, clue_loss
from sits_engine.learning.processes import ALONE, Processes
from sits_engine.models.exact.classifier import ExactOutput
from sits_engine.models.exact.clues import CluePrototypes

#: How scores of a window's patches become one: 'mean' (published), or 'smooth' (the logarithm of the mean of
#: exponentials, a smooth maximum).
POOLINGS = ("smooth", "mean")


@dataclass(frozen=True)
class LossSettings:
    """Weights of the parts, published values; a part of weight 0 isn't computed.

    Attributes:
        patches: of the losses of the two patch logits together (half of their sum at 0.5).
        contrast: of the contrastive loss.
        affinity: of the difference to the propagated map.
        pooling: one of `POOLINGS`, of the two maps. A tick says 'somewhere'; a mean asks patches
            of a small field for huge scores, or all patches for some, and neither tells where the field is.
        clues, propagation: of these parts.
    """

    patches: float = 0.5
    contrast: float = 0.01
    affinity: float = 0.015
    pooling: str = "smooth"
    clues: ClueSettings = field(default_factory=ClueSettings)
    propagation: AffinitySettings = field(default_factory=AffinitySettings)


@dataclass(frozen=True)
class ExactLoss:
    """Scalars in float32, before their weights, and their weighted sum.

    Attributes:
        total: what is trained.
        classes, temporal, spatial, contrast, affinity: the parts; 0 where not computed. Only `total` is
            meant for the gradient.
    """

    total: Tensor
    classes: Tensor
    temporal: Tensor
    spatial: Tensor
    contrast: Tensor
    affinity: Tensor


def exact_loss(
    output: ExactOutput,
    ticks: Tensor,
    clues: CluePrototypes,
    settings: LossSettings | None = None,
    *,
    bags: Tensor | None = None,
    inside: Tensor | None = None,
    contrast: bool = True,
    generator: torch.Generator | None = None,
    processes: Processes = ALONE,
) -> ExactLoss:
    """The loss of a batch; moves prototypes of mode 'momentum' as well where `contrast` is on.

    Where several processes share a batch, each has whole polygons of it, and what this gives is this one's
    part: the parts of all add up to the loss of the batch, and all move their prototypes alike.

    Args:
        output: of the network, with `date_features` unless `settings.affinity` is 0.
        ticks: (A, K) bool, classes of each polygon.
        clues: prototypes of the network.
        settings: see there.
        bags: (B,) int64, the polygon of each window, in 0..A - 1; None: each window is one (A = B).
        inside: (B, h, w) bool, patches that count; None: all.
        contrast: False: without the contrastive loss (published: before step 4000).
        generator: of the draw of prototypes.
        processes: that share the batch; all call this with the same settings.

    Source: shared/spec/exact.md section 3.
    """
    settings = settings or LossSettings()
    ticked = ticks.to(torch.bool)
    of_window = ticked if bags is None else ticked[bags]
    activation = fused(output)
    zero = output.logits.new_zeros(())
    number = processes.add(_number_of_bags(ticked, bags))
    classes = bag_loss(output.logits, ticked, bags, number)
    if settings.pooling == "mean":
        of_time, of_space = output.temporal_logits, output.spatial_logits
    else:
        of_time, of_space = (pooled(m, inside) for m in (output.temporal_map, output.spatial_map))
    temporal, spatial = (bag_loss(scores, ticked, bags, number) for scores in (of_time, of_space))
    pulled, spread = zero, zero
    if contrast and settings.contrast:
        pulled = clue_loss(
            output.class_features,
            relative(activation, bags),
            of_window,
            clues,
            settings.clues,
            inside=inside,
            generator=generator,
            processes=processes,
        )
    if settings.affinity:
        spread = affinity_loss(
            activation, output.date_features, of_window, settings.propagation, inside, processes
        )
    total = classes + settings.patches * (temporal + spatial)
    total = total + settings.contrast * pulled + settings.affinity * spread
    return ExactLoss(total, classes, temporal, spatial, pulled, spread)


def pooled(scores: Tensor, inside: Tensor | None = None) -> Tensor:
    """Logarithm of the mean of exponentials over the patches inside: (B, K, h, w) -> (B, K) float32."""
    flat = scores.float().flatten(2)
    if inside is None:
        return flat.logsumexp(2) - math.log(flat.shape[2])
    mask = inside.flatten(1)[:, None]
    count = mask.sum(2).clamp_min(1)
    return flat.masked_fill(~mask, -1e9).logsumexp(2) - count.log()


def bag_loss(
    logits: Tensor, ticks: Tensor, bags: Tensor | None = None, number: Tensor | None = None
) -> Tensor:
    """Multi-label soft-margin loss over polygons.

    A tick says 'somewhere in this polygon': it asks for the smooth maximum of the polygon's windows (the
    logarithm of the mean of exponentials). No tick says 'nowhere in it' and asks each window. Where each
    polygon is one window this is the published loss.

    Args:
        logits: (B, K) of windows.
        ticks: (A, K) bool, of polygons.
        bags: (B,) int64, the polygon of each window; None: each window is one. Polygons without a window here
            don't count.
        number: () polygons of the whole batch, where this is a part of it; None: those here.

    Returns:
        Sum over polygons, divided by their number, and mean over classes; a scalar in float32.
    """
    z = logits.float()
    ticked = ticks.to(torch.bool)
    if number is None:
        number = _number_of_bags(ticked, bags)
    if bags is None:
        each = F.binary_cross_entropy_with_logits(z, ticked.float(), reduction="sum")
        return each / (number.clamp_min(1) * z.shape[1])
    n_bags = len(ticked)
    index = bags[:, None].expand_as(z)
    count = torch.bincount(bags, minlength=n_bags)[:, None]
    shared = z.new_zeros(n_bags, z.shape[1])
    negative = shared.index_add(0, bags, F.softplus(z)) / count.clamp_min(1)
    top = shared.scatter_reduce(0, index, z.detach(), "amax", include_self=False)
    summed = shared.index_add(0, bags, (z - top[bags]).exp())
    here = count > 0
    smooth_maximum = top + (torch.where(here, summed / count.clamp_min(1), 1.0)).log()
    each = torch.where(ticked, F.softplus(-smooth_maximum), negative) * here
    return each.sum() / (number.clamp_min(1) * z.shape[1])


def _number_of_bags(ticks: Tensor, bags: Tensor | None) -> Tensor:
    """() polygons with a window."""
    if bags is None:
        return torch.tensor(len(ticks), device=ticks.device)
    return (torch.bincount(bags, minlength=len(ticks)) > 0).sum()


def affinity_loss(
    activation: Tensor,
    date_features: Tensor | None,
    ticks: Tensor,
    settings: AffinitySettings,
    inside: Tensor | None = None,
    processes: Processes = ALONE,
) -> Tensor:
    """Mean over ticked maps' patches of |mean of map and propagated map - map|; with gradient to both inputs.

    Args:
        activation: (B, K, h, w), of `cam.fused`.
        date_features: (B, K, d, h, w).
        ticks: (B, K) bool, of windows.
        settings, inside: as `affinity.propagate`.
        processes: that share the batch.

    Returns:
        A scalar in float32, 0 without any tick: this process's part of the mean over the whole batch.

    Raises:
        ValueError: no date features.
    """
    if date_features is None:
        raise ValueError("affinity propagation needs the date features of the network (dates=True)")
    window, k = ticks.nonzero(as_tuple=True)
    own = activation[window, k].float()
    here = None if inside is None else inside[window]
    difference = (propagate(date_features[window, k], own, settings, here) - own).abs() / 2
    if here is not None:
        difference = difference * here
    count = torch.tensor(difference.numel(), device=own.device) if here is None else here.sum()
    return difference.sum() / processes.add(count).clamp_min(1)
