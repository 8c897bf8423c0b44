"""Classes from cosines between pixels and words, without training: raw and normalised scores.

Published form (specification, section 6): a score is cos / 2 + 1; the class with the highest score wins. The
normalised form divides the column of each class by its mean over the whole set of samples. It is
*transductive*: what a sample is called depends on the other samples of the set.
"""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch

Floats = npt.NDArray[np.floating[Any]]
#: Numbers as NumPy or PyTorch has them.
Numbers = TypeVar("Numbers", npt.NDArray[np.floating[Any]], torch.Tensor)


def scores(cosines: Numbers) -> Numbers:
    """Published scores of cosines: 0.5..1.5, in the same order."""
    return cosines / 2 + 1


def column_means(cosines: Floats) -> npt.NDArray[np.float64]:
    """(K,) mean score of each class over (N, K) cosines: never below 0.5, so that it can divide.

    Dividing by means of the cosines themselves would turn the order around where a mean is negative, and blow
    up noise where it is near zero.
    """
    return np.asarray(scores(np.asarray(cosines, np.float64)).mean(axis=0))


def normalised(cosines: Floats, means: npt.NDArray[np.floating[Any]] | None = None) -> Floats:
    """Normalised scores, about 1: each class's score divided by its mean.

    Args:
        cosines: (N, K).
        means: (K,) of `column_means`; those of `cosines` themselves without it, as published.
    """
    return np.asarray(scores(cosines) / (column_means(cosines) if means is None else means))


def levelled(cosines: Numbers, factors: Numbers) -> Numbers:
    """Cosines after each class's mean score was brought to the mean of all: the order of `normalised`.

    The numbers stay on the scale of cosines, so that the model's scale can turn them into confidences.

    Args:
        cosines: (..., K).
        factors: (K,) of `level_factors`.
    """
    return (scores(cosines) * factors - 1) * 2


def level_factors(means: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float32]:
    """(K,) mean of the means divided by each of them."""
    return np.asarray(means.mean() / means, np.float32)


def confidences(cosines: torch.Tensor, scale: float) -> torch.Tensor:
    """(..., K) soft-max of scale * cosine over the classes.

    With the scale that the model learnt to tell photos apart. Nobody calibrated it on classes: it orders
    pixels, it is no probability of being right.
    """
    return torch.softmax(scale * cosines, dim=-1)
