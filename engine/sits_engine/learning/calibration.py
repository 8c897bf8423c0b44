"""Confidence that means what it says: temperature scaling and its check."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from sits_engine.learning.summary import Reliability

BINS = 15
#: Limits of the temperature: beyond them the validation samples say nothing about it.
LIMITS = (0.2, 10.0)


def fit_temperature(probabilities: npt.NDArray[np.floating], labels: npt.NDArray[np.int64]) -> float:
    """The temperature with the smallest negative log-likelihood on held-out samples.

    Args:
        probabilities: (N, K) at temperature 1; their logarithms serve as logits (softmax doesn't
            see the constant they differ by).
        labels: (N,) true classes.

    Returns:
        Temperature within `LIMITS`; 1 without samples.

    Source: Guo et al. 2017, "On calibration of modern neural networks".
    """
    return match_temperature(probabilities, np.eye(probabilities.shape[1])[labels])


def match_temperature(probabilities: npt.NDArray[np.floating], wanted: npt.NDArray[np.floating]) -> float:
    """The temperature with the smallest cross-entropy to other answers.

    Args:
        probabilities: (N, K) at temperature 1.
        wanted: (N, K) shares that sum to 1: certain for labels, soft for a teacher's answers.

    Returns:
        Temperature within `LIMITS`; 1 without samples.
    """
    if len(wanted) == 0:
        return 1.0
    logits = log_probabilities(probabilities)

    def loss(log_temperature: float) -> float:
        return float(-(wanted * log_softmax(logits / np.exp(log_temperature), axis=1)).sum(1).mean())

    best = minimize_scalar(loss, bounds=tuple(np.log(LIMITS)), method="bounded")
    return float(np.exp(best.x))


def with_temperature(probabilities: npt.NDArray[np.floating], temperature: float) -> npt.NDArray[np.float64]:
    """(N, K) probabilities at another temperature, from those at temperature 1."""
    return np.asarray(np.exp(log_softmax(log_probabilities(probabilities) / temperature, axis=1)))


def log_probabilities(probabilities: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Logarithms, finite where float32 rounded a probability to 0."""
    return np.log(np.maximum(probabilities.astype(np.float64), 1e-30))


def reliability(
    probabilities: npt.NDArray[np.floating], labels: npt.NDArray[np.int64], bins: int = BINS
) -> Reliability:
    """Confidence against accuracy in equal bins, and the expected calibration error.

    Args:
        probabilities: (N, K).
        labels: (N,) true classes.
        bins: number of equal bins of confidence from 0 to 1.
    """
    edges = np.linspace(0, 1, bins + 1)
    confidence = probabilities.max(axis=1).astype(np.float64) if len(labels) else np.empty(0)
    right = (probabilities.argmax(axis=1) == labels) if len(labels) else np.empty(0, dtype=bool)
    place = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    counts = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore"):
        mean_confidence = np.bincount(place, confidence, bins) / counts
        accuracy = np.bincount(place, right, bins) / counts
    gap = np.abs(np.nan_to_num(mean_confidence - accuracy))
    error = float((counts * gap).sum() / len(labels)) if len(labels) else float("nan")
    return Reliability(edges, counts.astype(np.int64), mean_confidence, accuracy, error)
