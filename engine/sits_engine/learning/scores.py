"""Scores from a confusion matrix (scikit-learn's take seconds to import; tests compare with them)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def confusion_of(
    labels: npt.NDArray[np.int64], found: npt.NDArray[np.int64], n_classes: int
) -> npt.NDArray[np.int64]:
    """(K, K) counts, rows = reference, columns = predicted."""
    flat = np.bincount(labels * n_classes + found, minlength=n_classes**2)
    return flat.reshape(n_classes, n_classes).astype(np.int64)


def class_f1(confusion: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """(K,) F1 of each class; 0 where undefined."""
    total = confusion.sum(axis=0) + confusion.sum(axis=1)
    return np.asarray(2 * np.diag(confusion) / np.maximum(total, 1), dtype=np.float64)


def f1_where_known(confusion: npt.NDArray[np.int64]) -> list[float | None]:
    """F1 of each class; None for a class that the reference doesn't hold."""
    there = confusion.sum(axis=1) > 0
    return [float(f1) if known else None for f1, known in zip(class_f1(confusion), there, strict=True)]


def macro_f1(confusion: npt.NDArray[np.int64]) -> float:
    """Mean F1 of the classes that occur in reference or prediction (spec timematch.md section 8)."""
    there = confusion.sum(axis=0) + confusion.sum(axis=1) > 0
    return float(class_f1(confusion)[there].mean()) if there.any() else float("nan")


def weighted_f1(confusion: npt.NDArray[np.int64]) -> float:
    """Mean F1 weighted by the reference counts."""
    total = confusion.sum()
    return float(class_f1(confusion) @ confusion.sum(axis=1) / total) if total else float("nan")


def accuracy(confusion: npt.NDArray[np.int64]) -> float:
    """Share of right answers."""
    total = confusion.sum()
    return float(np.trace(confusion) / total) if total else float("nan")


def kappa(confusion: npt.NDArray[np.int64]) -> float:
    """Cohen's kappa; NaN where chance alone would be always right."""
    total = confusion.sum()
    if not total:
        return float("nan")
    chance = float(confusion.sum(axis=0) @ confusion.sum(axis=1)) / float(total) ** 2
    return float("nan") if chance == 1 else (accuracy(confusion) - chance) / (1 - chance)
