"""Scores of segmented windows: over all known pixels, at the borders of parcels, and inside them.

Macro scores are means over the classes that occur in the truth or in the map (as scikit-learn's over the
labels present).

Source: shared/spec/cscl.md section 7; shared/spec/pitfalls.md 3.19.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from sits_engine.learning import scores as scoring
from sits_engine.learning.segmentation.boundary import BorderCounts, border_counts, boundary

#: Distances in pixels of the label grid within which a border counts as found.
DISTANCES = (1, 2)
#: Sets of pixels with scores of their own.
ZONES = ("all", "boundary", "interior")


def class_iou(confusion: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """(K,) intersection over union of each class; 0 where it occurs nowhere."""
    right = np.diag(confusion).astype(np.float64)
    union = confusion.sum(axis=0) + confusion.sum(axis=1) - right
    return np.asarray(right / np.maximum(union, 1))


def macro_iou(confusion: npt.NDArray[np.int64]) -> float:
    """mIoU: mean of the classes that occur in reference or prediction; NaN without pixels."""
    there = confusion.sum(axis=0) + confusion.sum(axis=1) > 0
    return float(class_iou(confusion)[there].mean()) if there.any() else float("nan")


def micro_iou(confusion: npt.NDArray[np.int64]) -> float:
    """Right pixels over the sum of rows and columns less the right ones."""
    total, right = int(confusion.sum()), int(np.trace(confusion))
    return right / (2 * total - right) if total else float("nan")


@dataclass
class ZoneScores:
    """One set of pixels: how many, and the scores on them (NaN without pixels)."""

    pixels: int
    accuracy: float
    miou: float
    macro_f1: float


@dataclass
class Tally:
    """Counts that windows add to; scores are read at the end.

    Attributes:
        n_classes: K.
        confusion: by zone, (K, K) counts, rows = reference, columns = predicted.
        borders: by distance.
    """

    n_classes: int
    confusion: dict[str, npt.NDArray[np.int64]] = field(default_factory=dict)
    borders: dict[int, BorderCounts] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for zone in ZONES:
            self.confusion.setdefault(zone, np.zeros((self.n_classes, self.n_classes), np.int64))
        for distance in DISTANCES:
            self.borders.setdefault(distance, BorderCounts())

    def add(
        self,
        truth: npt.NDArray[np.integer],
        found: npt.NDArray[np.integer],
        counted: npt.NDArray[np.bool_] | None = None,
    ) -> None:
        """Count some windows.

        Args:
            truth: (N, H, W) class, < 0 unknown.
            found: (N, H, W) class of the map, everywhere.
            counted: (N, H, W) the known pixels to be counted (a side of a split inside windows); borders are
                still those of the whole truth. None: all.
        """
        known = truth >= 0 if counted is None else (truth >= 0) & counted
        border = boundary(truth)
        for zone, pixels in zip(ZONES, (known, known & border, known & ~border), strict=True):
            labels, answers = truth[pixels].astype(np.int64), found[pixels].astype(np.int64)
            self.confusion[zone] += scoring.confusion_of(labels, answers, self.n_classes)
        for distance in DISTANCES:
            self.borders[distance] += border_counts(truth, found, distance, counted)

    def zone(self, name: str) -> ZoneScores:
        """Scores of one of `ZONES`."""
        confusion = self.confusion[name]
        return ZoneScores(
            pixels=int(confusion.sum()),
            accuracy=scoring.accuracy(confusion),
            miou=macro_iou(confusion),
            macro_f1=scoring.macro_f1(confusion),
        )

    def as_scores(self) -> dict[str, float]:
        """All of them by name; NaN where there is nothing to measure."""
        confusion = self.confusion["all"]
        out = {
            "accuracy": scoring.accuracy(confusion),
            "miou": macro_iou(confusion),
            "micro_iou": micro_iou(confusion),
            "macro_f1": scoring.macro_f1(confusion),
            "weighted_f1": scoring.weighted_f1(confusion),
            "kappa": scoring.kappa(confusion),
        }
        for name in ZONES[1:]:
            zone = self.zone(name)
            out |= {
                f"{name}_accuracy": zone.accuracy,
                f"{name}_miou": zone.miou,
                f"{name}_macro_f1": zone.macro_f1,
            }
        for distance, counts in self.borders.items():
            out[f"boundary_f1_{distance}px"] = counts.f1
            out[f"boundary_precision_{distance}px"] = counts.precision
            out[f"boundary_recall_{distance}px"] = counts.recall
        return out
