"""Scores agree with scikit-learn."""

import numpy as np
import pytest
from sklearn import metrics

from sits_engine.evaluation.metrics import error_matrix, scores_of
from sits_engine.learning.scores import confusion_of


def test_agree_with_scikit_learn():
    rng = np.random.default_rng(1)
    reference = rng.integers(0, 4, 500)
    mapped = np.where(rng.random(500) < 0.6, reference, rng.integers(0, 4, 500))
    matrix = error_matrix(mapped, reference, 4)
    np.testing.assert_array_equal(matrix, metrics.confusion_matrix(reference, mapped).T)
    scores = scores_of(matrix, list("abcd"), ["#000000"] * 4)
    assert scores.overall_accuracy == pytest.approx(metrics.accuracy_score(reference, mapped))
    assert scores.macro_f1 == pytest.approx(metrics.f1_score(reference, mapped, average="macro"))
    assert scores.weighted_f1 == pytest.approx(metrics.f1_score(reference, mapped, average="weighted"))
    assert scores.kappa == pytest.approx(metrics.cohen_kappa_score(reference, mapped))
    p, r, f, _ = metrics.precision_recall_fscore_support(reference, mapped)
    assert [c.precision for c in scores.per_class] == pytest.approx(list(p))
    assert [c.recall for c in scores.per_class] == pytest.approx(list(r))
    assert [c.f1 for c in scores.per_class] == pytest.approx(list(f))


def test_class_in_neither_does_not_count_but_a_missed_one_does():
    names, colors = ["a", "b", "c"], ["#000000"] * 3
    absent = scores_of(np.array([[5, 0, 0], [0, 5, 0], [0, 0, 0]]), names, colors)
    assert absent.macro_f1 == 1
    assert np.isnan(absent.per_class[2].f1)
    missed = scores_of(np.array([[5, 0, 2], [0, 5, 0], [0, 0, 0]]), names, colors)
    assert missed.per_class[2].f1 == 0
    assert missed.macro_f1 == pytest.approx((10 / 12 + 1 + 0) / 3)


def test_negative_indices_are_left_out():
    assert error_matrix(np.array([0, -1, 1]), np.array([0, 1, -1]), 2).tolist() == [[1, 0], [0, 0]]


def test_one_class_has_no_kappa():
    assert np.isnan(scores_of(np.array([[5]]), ["a"], ["#000000"]).kappa)


def test_a_class_that_the_map_lacks_is_a_mistake():
    matrix = error_matrix(np.array([0, 0, 1, 1]), np.array([0, 2, 1, 2]), 2, 1)
    assert matrix.tolist() == [[1, 0, 1], [0, 1, 1]]
    scores = scores_of(matrix, ["a", "b"], ["#000000"] * 2)
    assert scores.overall_accuracy == 0.5
    assert [c.precision for c in scores.per_class] == [0.5, 0.5]
    assert [c.recall for c in scores.per_class] == [1, 1]
    assert scores.n == 4


def test_the_error_matrix_is_the_transpose_of_the_confusion_of_training() -> None:
    rng = np.random.default_rng(3)
    mapped, reference = rng.integers(0, 4, 50), rng.integers(0, 4, 50)
    matrix = error_matrix(mapped, reference, 4)
    np.testing.assert_array_equal(matrix, confusion_of(reference, mapped, 4).T)
    assert matrix[1, 2] == ((mapped == 1) & (reference == 2)).sum()
