"""Which neighbours of a pixel belong to its class: the targets of CSCL.

Source: shared/spec/cscl.md sections 1 (windows) and 2 (targets and mask).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

#: Label of a pixel whose class nobody told. All such pixels count as one class ("background").
UNKNOWN = -1
#: Label of a pixel that belongs to another side of the split: it takes part in nothing.
HIDDEN = -2
#: Beyond the image: no class of any pixel.
OUTSIDE = -32768


def neighbours(labels: Tensor, kernel: int = 3, dilation: int = 1) -> Tensor:
    """(B, H, W, k, k) labels in the window around each pixel, `OUTSIDE` beyond the image.

    Args:
        labels: (B, H, W) integer.
        kernel: pixels of a window's side, odd.
        dilation: pixels from one element of the window to the next.

    Raises:
        ValueError: an even kernel has no centre.
    """
    if kernel < 1 or kernel % 2 == 0 or dilation < 1:
        raise ValueError(f"a window needs an odd kernel and a dilation of at least 1: {kernel}, {dilation}")
    reach = kernel // 2 * dilation
    padded = F.pad(labels, (reach, reach, reach, reach), value=OUTSIDE)
    span = 2 * reach + 1
    return padded.unfold(1, span, 1).unfold(2, span, 1)[..., ::dilation, ::dilation]


def same_class(labels: Tensor, kernel: int = 3, dilation: int = 1) -> Tensor:
    """(B, H, W, k, k) bool: True where the neighbour has the class of the centre.

    The centre is always True, what lies outside the image always False, two unknown pixels are True.

    Args:
        labels: (B, H, W) integer class, `UNKNOWN` where nobody knows.
        kernel, dilation: as in `neighbours`.
    """
    return neighbours(labels, kernel, dilation) == labels[..., None, None]


def counted_pairs(labels: Tensor, kernel: int = 3, dilation: int = 1) -> Tensor:
    """(B, H, W, k, k) bool: the mask of CSCL. False for the centre, outside, and unknown pixels."""
    around = neighbours(labels, kernel, dilation)
    counted = (around >= 0) & (labels >= 0)[..., None, None]
    counted[..., kernel // 2, kernel // 2] = False
    return counted


def shown_pairs(labels: Tensor, kernel: int = 3, dilation: int = 1) -> Tensor:
    """(B, H, W, k, k) bool: False where one of the two pixels is `HIDDEN`; all else as without a mask."""
    around = neighbours(labels, kernel, dilation)
    return (around != HIDDEN) & (labels != HIDDEN)[..., None, None]


def pair_mask(labels: Tensor, kernel: int, dilation: int, *, unlabelled: bool, hidden: bool) -> Tensor | None:
    """The mask that a run needs: None where all pairs count.

    Args:
        labels: (B, H, W).
        kernel, dilation: as in `neighbours`.
        unlabelled: mask unknown pixels, centre and surroundings too.
        hidden: some labels may be `HIDDEN`.
    """
    if unlabelled:
        return counted_pairs(labels, kernel, dilation)
    return shown_pairs(labels, kernel, dilation) if hidden else None


def mean_of_neighbours(similarity: Tensor) -> Tensor:
    """(B, H, W) mean similarity of a pixel to its neighbours inside the image: low at borders of parcels.

    Args:
        similarity: (B, H, W, k, k), dilation 1.
    """
    _, height, width, kernel, _ = similarity.shape
    inside = (
        neighbours(torch.zeros(1, height, width, dtype=torch.int32, device=similarity.device), kernel) == 0
    )
    inside[..., kernel // 2, kernel // 2] = False
    total = (similarity * inside).sum((-1, -2))
    return total / inside.sum((-1, -2)).clamp_min(1)
