"""Average precision: how well scores rank those that have a class before those that don't."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def average_precision(scores: npt.NDArray[np.floating], has: npt.NDArray[np.bool_]) -> float:
    """Mean precision at the ranks of the positives (steps, not trapezia; equal scores share one rank).

    Args:
        scores: (N,), larger means yes.
        has: (N,) bool.

    Returns:
        In 0..1; NaN where all are positive or none is.
    """
    n_positive = int(has.sum())
    if n_positive in (0, len(has)):
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    right = np.cumsum(has[order])
    # the last one of each run of equal scores
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(has) - 1)
    precision, recall = right[last] / (last + 1), right[last] / n_positive
    return float((np.diff(recall, prepend=0.0) * precision).sum())
