"""From class activation maps to a label for each pixel."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

#: Score that a class must exceed to win a pixel from the background: what training takes for background
#: (`prototypes.ClueSettings.low`, published), so that nothing is chosen by labels of pixels.
BACKGROUND_SCORE = 0.2
#: The same for people.
THRESHOLD_WORDS = "Fixed: what training takes for background. No label of a pixel was used."
#: Label of pixels outside of the polygon.
OUTSIDE = -1


@dataclass(frozen=True)
class PseudoLabels:
    """Labels of windows.

    Attributes:
        labels: (N, H, W) int64: 0 background, class k is k + 1, -1 outside of the polygon.
        confidence: (N, H, W) float32: 1 - second best score / best score, 0 (a tie) to 1; 0 outside.
    """

    labels: Tensor
    confidence: Tensor


def enlarged(cam: Tensor, patch: int, inside: Tensor | None = None, *, corners: bool = False) -> Tensor:
    """Maps at patch resolution -> at pixel resolution, bilinear.

    Args:
        cam: (N, K, h, w).
        patch: rows and columns of a patch.
        inside: (N, h, w) bool, patches that count; the others' values don't mix in. None: all.
        corners: published: the outermost patches' centres are put on the outermost pixels, which shifts maps
            by up to half a patch (pitfalls 2.15). Otherwise a patch's centre is the middle of its pixels.

    Returns:
        (N, K, h * patch, w * patch) float32.
    """
    size = (cam.shape[-2] * patch, cam.shape[-1] * patch)

    def grown(x: Tensor) -> Tensor:
        return F.interpolate(x, size, mode="bilinear", align_corners=corners)

    if inside is None:
        return grown(cam.float())
    weight = inside.float()[:, None]
    return grown(cam.float() * weight) / grown(weight).clamp_min(1e-6)


def pseudo_labels(
    cam: Tensor,
    ticks: Tensor,
    patch: int,
    *,
    background: float | None = BACKGROUND_SCORE,
    inside: Tensor | None = None,
    corners: bool = False,
) -> PseudoLabels:
    """Give each pixel the class of the largest score; ties go to the background, then to the earlier class.

    Args:
        cam: (N, K, h, w) in 0..1, of `cam.scaled`.
        ticks: (N, K) bool; others never win.
        patch: rows and columns of a patch.
        background: score of the background; None: there is none, the best ticked class wins each pixel (and
            a window without a tick is background).
        inside: (N, H, W) bool, pixels of the polygon; a patch counts where it has one. None: all.
        corners: as `enlarged`.

    Raises:
        ValueError: the background's score isn't in 0..1.

    Source: shared/spec/exact.md section 5.
    """
    if background is not None and not 0 <= background <= 1:
        raise ValueError(f"the background's score must lie in 0..1, not {background}")
    patches = None if inside is None else inside_patches(inside, patch)
    scores = enlarged(cam, patch, patches, corners=corners)
    ticked = ticks.to(torch.bool)[:, :, None, None]
    # Below every score: a tie of 0 with the background is no win either.
    scores = torch.where(ticked, scores, 0.0 if background is not None else -1.0)
    ground = torch.full_like(scores[:, :1], -0.5 if background is None else background)
    scores = torch.cat([ground, scores], 1)
    labels = scores.argmax(1)
    best = scores.clamp_min(0.0).topk(min(2, scores.shape[1]), 1).values
    confidence = 1 - best[:, 1] / best[:, 0].clamp_min(1e-8)
    confidence = torch.where(best[:, 0] > 0, confidence, 0.0)
    if inside is not None:
        labels, confidence = labels.masked_fill(~inside, OUTSIDE), confidence * inside
    return PseudoLabels(labels, confidence)


def inside_patches(inside: Tensor, patch: int) -> Tensor:
    """Patches with at least one pixel of the polygon, (N, H, W) bool -> (N, h, w) bool."""
    n, height, width = inside.shape
    cells = inside.view(n, height // patch, patch, width // patch, patch)
    return cells.any(4).any(2)
