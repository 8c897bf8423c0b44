"""Scores that say, without labels, how well a model fits the target at each temporal shift.

All take probabilities p of shape (N target sets, D shifts, K classes) and give one score a shift, (D,), in
nats (accuracy: a share). Source: shared/spec/timematch.md section 5.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sits_engine.errors import InputError

#: Inside every logarithm.
EPS = 1e-5

#: Estimators whose best score is the largest; of the others it is the smallest.
LARGEST_IS_BEST = ("IS", "ACC")


def inception(p: Tensor) -> Tensor:
    """IS: mean over the sets of KL(p || mean p): sure on each set, varied over all (largest is best)."""
    mean = p.mean(dim=0)
    return -entropy(p) - (mean * (mean + EPS).log()).sum(dim=-1)


def entropy(p: Tensor) -> Tensor:
    """ENT: mean entropy of the predictions (smallest is best)."""
    return -(p * (p + EPS).log()).sum(dim=-1).mean(dim=0)


def activation(p: Tensor, class_distribution: Tensor | npt.NDArray[np.floating]) -> Tensor:
    """AM: KL(estimated class shares || shares of the predicted classes) + entropy (smallest is best).

    Args:
        p: (N, D, K).
        class_distribution: (K,) shares of the classes that the target is thought to have; sums to 1.

    Returns:
        (D,) in the wider of the two dtypes.
    """
    c = torch.as_tensor(class_distribution, device=p.device)
    shares = predicted_shares(p).to(c.dtype)
    divergence = (c * ((c + EPS).log() - (shares + EPS).log())).sum(dim=-1)
    return divergence + entropy(p)


def accuracy(p: Tensor, labels: Tensor) -> Tensor:
    """ACC: share of right predictions with labels (N,); needs the truth, so an upper bound only."""
    return (p.argmax(dim=-1) == labels.to(p.device)[:, None]).double().mean(dim=0)


def predicted_shares(p: Tensor) -> Tensor:
    """Share of the sets that each class is the most probable of, (D, K) float64."""
    n, d, k = p.shape
    cell = p.argmax(dim=-1) + k * torch.arange(d, device=p.device)
    return torch.bincount(cell.flatten(), minlength=d * k).reshape(d, k).double() / max(1, n)


def score(
    estimator: str, p: Tensor, class_distribution: Tensor | npt.NDArray[np.floating] | None = None
) -> Tensor:
    """Score by its name, 'IS', 'AM' (which needs the class distribution) or 'ENT', (D,)."""
    if estimator == "AM":
        if class_distribution is None:
            raise ValueError("estimator AM needs a class distribution")
        return activation(p, class_distribution)
    return {"IS": inception, "ENT": entropy}[estimator](p)


def best_shift(scores: Tensor, shifts: Tensor | npt.NDArray[np.int64], estimator: str) -> int:
    """Shift (days) of the best score; ties go to the smallest absolute shift, then to the positive one.

    Args:
        scores, shifts: (D,) each.
        estimator: 'IS', 'AM', 'ENT' or 'ACC'.

    Raises:
        InputError: a score is no finite number.
    """
    values = scores.detach().cpu()
    if not torch.isfinite(values).all():
        raise InputError(
            f"The temporal shift can't be estimated: the {estimator} score of a shift is no finite number.",
            "Look for missing values in the series, or train the model again.",
        )
    best = values.max() if estimator in LARGEST_IS_BEST else values.min()
    tied: list[int] = torch.as_tensor(shifts).cpu()[values == best].tolist()
    return int(min(tied, key=lambda day: (abs(day), -day)))
