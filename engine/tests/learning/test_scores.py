from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from sits_engine.learning import scores


@pytest.mark.parametrize("seed", range(4))
def test_equal_to_scikit_learn(seed) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 5, 60) % (5 - seed % 2)
    found = np.where(rng.random(60) < 0.6, labels, rng.integers(0, 6, 60))
    confusion = scores.confusion_of(labels, found, 7)
    np.testing.assert_array_equal(confusion, metrics.confusion_matrix(labels, found, labels=range(7)))
    f1 = {
        kind: metrics.f1_score(labels, found, average=kind, zero_division=0) for kind in ("macro", "weighted")
    }
    assert scores.macro_f1(confusion) == pytest.approx(f1["macro"])
    assert scores.weighted_f1(confusion) == pytest.approx(f1["weighted"])
    assert scores.accuracy(confusion) == pytest.approx(metrics.accuracy_score(labels, found))
    assert scores.kappa(confusion) == pytest.approx(metrics.cohen_kappa_score(labels, found))


def test_nothing_and_one_class() -> None:
    nothing = np.zeros((3, 3), dtype=np.int64)
    assert all(
        np.isnan(f(nothing)) for f in (scores.macro_f1, scores.weighted_f1, scores.accuracy, scores.kappa)
    )
    one = nothing.copy()
    one[1, 1] = 9
    assert scores.macro_f1(one) == 1
    assert np.isnan(scores.kappa(one))
