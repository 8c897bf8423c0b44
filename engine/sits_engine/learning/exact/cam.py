"""Class activation maps: where a window shows a class, by clue prototypes (CB-CAM) or the network's maps."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from sits_engine.learning.exact.affinity import AffinitySettings, propagate
from sits_engine.models.exact.classifier import ExactOutput
from sits_engine.models.exact.clues import CluePrototypes

#: Where a map comes from: similarity to prototypes, or the mean of the two maps of the network ('plain CAM').
SOURCES = ("clues", "plain")
#: What a map is brought to 0..1 by, see `scaled`.
SCALINGS = ("polygon", "window", "class", "none")


@dataclass(frozen=True)
class CamSettings:
    """What the maps are made of.

    Attributes:
        source: one of `SOURCES`.
        affinity: of the propagation; None: none.
        scaling: one of `SCALINGS`; published is 'window', which is 'polygon' where each is one window.
    """

    source: str = "clues"
    affinity: AffinitySettings | None = field(default_factory=AffinitySettings)
    scaling: str = "polygon"

    def __post_init__(self) -> None:
        """Check words; ValueError."""
        if self.source not in SOURCES or self.scaling not in SCALINGS:
            raise ValueError(f"source '{self.source}' or scaling '{self.scaling}' is not known")


def fused(output: ExactOutput) -> Tensor:
    """(relu(Ms) + relu(Mt)) / 2, (B, K, h, w) float32, with gradient."""
    return (output.spatial_map.relu() + output.temporal_map.relu()) / 2


def relative(activation: Tensor, bags: Tensor | None = None) -> Tensor:
    """Activation over its maximum in the polygon, in 0..1, without gradient.

    Args:
        activation: (B, K, h, w), not negative, 0 outside of the polygon.
        bags: (B,) int64, the polygon of each window; None: each window is one.
    """
    activation = activation.detach()
    return activation / (_reduced(activation.amax((2, 3)), bags, "amax") + 1e-5)[:, :, None, None]


def raw_cam(
    output: ExactOutput,
    ticks: Tensor,
    clues: CluePrototypes,
    settings: CamSettings | None = None,
    inside: Tensor | None = None,
) -> Tensor:
    """Maps of the ticked classes before scaling.

    Args:
        output: of the network, with `date_features` where maps are propagated.
        ticks: (B, K) bool, classes of each window (of its polygon); maps of the others are 0.
        clues: prototypes of the network.
        settings: see there; `scaling` is not used here.
        inside: (B, h, w) bool, patches that count; None: all.

    Returns:
        (B, K, h, w) float32, not negative, 0 outside.

    Raises:
        ValueError: propagation without date features.

    Source: shared/spec/exact.md section 4.
    """
    settings = settings or CamSettings()
    cam = fused(output) if settings.source == "plain" else similarity_map(output.class_features, clues)
    ticked = ticks.to(torch.bool)
    cam = cam * ticked[:, :, None, None]
    if settings.affinity is not None:
        cam = refined(cam, output, ticked, settings.affinity, inside)
    return cam if inside is None else cam * inside[:, None]


def similarity_map(features: Tensor, clues: CluePrototypes) -> Tensor:
    """How much closer to a class than to its background patches are: (B, K, d, h, w) -> (B, K, h, w)."""
    with torch.autocast(features.device.type, enabled=False):
        # Element by element, as published: matrix products round otherwise, and that decides pixels where
        # scores are as small as those of the golden file.
        x = features.float()[:, :, None]
        near, far = (
            F.cosine_similarity(x, prototypes[None, :, :, :, None, None], dim=3).amax(2)
            for prototypes in clues.directions()
        )
        return (near - far).relu()


def refined(
    cam: Tensor, output: ExactOutput, ticks: Tensor, settings: AffinitySettings, inside: Tensor | None = None
) -> Tensor:
    """Mean of maps and propagated maps of the ticked classes; others stay.

    Args:
        cam: (B, K, h, w).
        output, inside: as `raw_cam`.
        ticks: (B, K) bool.
        settings: of the propagation.
    """
    if output.date_features is None:
        raise ValueError("affinity propagation needs the date features of the network (dates=True)")
    window, k = ticks.nonzero(as_tuple=True)
    own = cam[window, k]
    spread = propagate(
        output.date_features[window, k], own, settings, None if inside is None else inside[window]
    )
    return cam.index_put((window, k), (own + spread) / 2)


def scaled(
    cam: Tensor,
    ticks: Tensor,
    scaling: str = "polygon",
    *,
    bags: Tensor | None = None,
    inside: Tensor | None = None,
    typical: Tensor | None = None,
) -> Tensor:
    """Bring maps to 0..1, for all windows of a set together.

    Args:
        cam: (N, K, h, w), of `raw_cam`.
        ticks: (N, K) bool.
        scaling: 'window' (published): each class of a window from its minimum to its maximum, so that each
            ticked class wins pixels in each window. 'polygon': the same over all windows of a polygon,
            since a tick says somewhere in the polygon, not in each window. 'class': one factor for a class
            everywhere (`typical`), so a class that shows weakly in a window may win nothing there.
            'none': only cut at 1.
        bags: (N,) int64, the polygon of each window; None: each window is one.
        inside: (N, h, w) bool, patches that count; None: all.
        typical: (K,) for 'class', of the training windows; None: `typical_maximum` of these windows.

    Returns:
        (N, K, h, w) float32 in 0..1, 0 outside and for classes that aren't ticked.
    """
    if scaling not in SCALINGS:
        raise ValueError(f"scaling '{scaling}' is none of {', '.join(SCALINGS)}")
    ticked = ticks.to(torch.bool)[:, :, None, None]
    counted = ticked if inside is None else ticked & inside[:, None]
    cam = cam.float()
    if scaling == "class":
        top = typical_maximum(cam, ticks, bags=bags, inside=inside) if typical is None else typical
        result = cam / top.clamp_min(1e-8)[:, None, None]
    elif scaling == "none":
        result = cam
    else:
        groups = bags if scaling == "polygon" else None
        low = _reduced(cam.masked_fill(~counted, float("inf")).amin((2, 3)), groups, "amin")
        high = _reduced(cam.masked_fill(~counted, float("-inf")).amax((2, 3)), groups, "amax")
        low, high = low[:, :, None, None], high[:, :, None, None]
        result = (cam - low) / (high - low + 1e-8)
    return torch.where(counted, result, 0.0).clamp(0.0, 1.0)


def typical_maximum(
    cam: Tensor, ticks: Tensor, *, bags: Tensor | None = None, inside: Tensor | None = None
) -> Tensor:
    """Mean of a class's largest activations in the polygons that have it; (K,), 0 for a class never ticked.

    Arguments as `scaled`.
    """
    ticked = ticks.to(torch.bool)
    top = (cam if inside is None else cam * inside[:, None]).float().amax((2, 3))
    # Each window has its polygon's maximum; weighed by the number of windows, each polygon counts once.
    top = _reduced(top, bags, "amax")
    weight = ticked.float()
    if bags is not None:
        weight = weight / torch.bincount(bags)[bags][:, None]
    return (top * weight).sum(0) / weight.sum(0).clamp_min(1e-8)


def _reduced(values: Tensor, bags: Tensor | None, how: str) -> Tensor:
    """Values (B, K) -> for each window the largest or smallest of its polygon, (B, K)."""
    if bags is None:
        return values
    index = bags[:, None].expand_as(values)
    groups = values.new_zeros(int(bags.max()) + 1, values.shape[1])
    return groups.scatter_reduce(0, index, values, how, include_self=False)[bags]
