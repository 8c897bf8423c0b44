"""Pixel labels, where somebody has them: for the report only, nothing is chosen by them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sits_engine.learning import scores as scoring
from sits_engine.learning.segmentation.scores import class_iou, macro_iou

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class PixelTruth:
    """Known pixels of the windows.

    Attributes:
        name: of the labels, for people.
        labels: (N, H, W) int16, place of the class, K for background, -1 unknown.
        background: whether any pixel is known to be background.
    """

    name: str
    labels: npt.NDArray[np.int16]
    background: bool


def confusion(truth: npt.NDArray[np.int16], masks: npt.NDArray[np.int16], n_classes: int) -> Ints:
    """(K + 1, K + 1) counts of pixels that both know; rows = truth, background is K.

    Args:
        truth, masks: (N, H, W) place of the class, K background, -1 unknown or left unlabelled.
        n_classes: K.
    """
    known = (truth >= 0) & (masks >= 0)
    return scoring.confusion_of(truth[known].astype(np.int64), masks[known].astype(np.int64), n_classes + 1)


def scores_of(counts: Ints, *, background: bool) -> dict[str, float]:
    """accuracy, miou and macro_f1; `crop_miou` leaves the background's own IoU out of the mean.

    Where the truth knows no background, pixels that a mask leaves to it count as missed, and the background
    is no class of the means.
    """
    k = len(counts) - 1
    there = counts.sum(axis=0) + counts.sum(axis=1) > 0
    crops = class_iou(counts)[:k][there[:k]]
    crop_miou = float(crops.mean()) if len(crops) else float("nan")
    f1 = scoring.class_f1(counts)
    shown = there if background else np.append(there[:k], False)
    return {
        "accuracy": scoring.accuracy(counts),
        "miou": macro_iou(counts) if background else crop_miou,
        "crop_miou": crop_miou,
        "macro_f1": float(f1[shown].mean()) if shown.any() else float("nan"),
    }
