"""Scores of an error matrix. Everywhere in this package: rows = map, columns = reference.

The reference may know classes that the map doesn't have: they are further columns (K rows, K + E columns),
and whatever lies in them is a mistake of the map.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sits_engine.evaluation.summary import ClassScores
from sits_engine.learning.scores import confusion_of

Matrix = npt.NDArray[np.int64]


def error_matrix(
    mapped: npt.NDArray[np.integer], reference: npt.NDArray[np.integer], n_classes: int, n_others: int = 0
) -> Matrix:
    """(K, K + E) counts of pairs, rows = map; pairs with a negative index are left out.

    The transpose of `learning.scores.confusion_of`, which has the reference in the rows as machine learning
    does; accuracy assessment of maps has the map there, since the map's classes are the strata.
    """
    mapped = mapped.astype(np.int64, copy=False).ravel()
    reference = reference.astype(np.int64, copy=False).ravel()
    known = (mapped >= 0) & (reference >= 0)
    return confusion_of(reference[known], mapped[known], n_classes + n_others).T[:n_classes]


@dataclass(frozen=True)
class Scores:
    """Figures of a confusion matrix.

    Attributes:
        overall_accuracy: share of units on the diagonal.
        macro_f1: mean F1 of the map's classes that occur in the reference or in the map.
        weighted_f1: mean F1 weighted by reference units.
        kappa: Cohen's kappa; NaN where chance agreement is 1.
        per_class: precision, recall and F1 of each class.
        n: units.
    """

    overall_accuracy: float
    macro_f1: float
    weighted_f1: float
    kappa: float
    per_class: list[ClassScores]
    n: int


def scores_of(matrix: Matrix, names: Sequence[str], colors: Sequence[str]) -> Scores:
    """Scores of a (K, K + E) matrix.

    A class that neither map nor reference show has NaN everywhere and does not count in the mean F1;
    one that only one of them shows has F1 = 0 and counts: scikit-learn's `f1_score(average='macro')` over
    the labels present does the same.
    """
    counts = matrix.astype(float)
    right = np.diag(counts)
    mapped, total = counts.sum(axis=1), counts.sum()
    reference = counts.sum(axis=0)[: len(counts)]
    with np.errstate(invalid="ignore", divide="ignore"):
        precision, recall = right / mapped, right / reference
        f1 = 2 * right / (mapped + reference)
        overall = right.sum() / total
        chance = (mapped * reference).sum() / total**2
        kappa = (overall - chance) / (1 - chance)
        weighted = np.nansum(f1 * reference) / total
    present = mapped + reference > 0
    return Scores(
        overall_accuracy=float(overall),
        macro_f1=float(f1[present].mean()) if present.any() else float("nan"),
        weighted_f1=float(weighted),
        kappa=float(kappa) if chance < 1 else float("nan"),
        per_class=[
            ClassScores(n, c, int(m), int(r), float(p), float(q), float(f))
            for n, c, m, r, p, q, f in zip(
                names, colors, mapped, reference, precision, recall, f1, strict=True
            )
        ],
        n=int(total),
    )
