from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from sits_engine.learning.segmentation.boundary import boundary
from sits_engine.learning.segmentation.scores import Tally, class_iou, macro_iou, micro_iou


def case(seed=0, classes=5):
    """Truth in patches with unknown pixels, a map right in 7 of 10; class 4 only in the map, 3 nowhere."""
    rng = np.random.default_rng(seed)
    truth = np.repeat(np.repeat(rng.integers(0, 3, (3, 4, 4)), 4, 1), 4, 2).astype(np.int16)
    truth[rng.random(truth.shape) < 0.1] = -1
    wrong = rng.choice([0, 1, 2, 4], truth.shape)
    found = np.where(rng.random(truth.shape) < 0.7, np.maximum(truth, 0), wrong)
    return truth, found, classes


def test_scores_are_those_of_scikit_learn():
    truth, found, classes = case()
    tally = Tally(classes)
    tally.add(truth[:2], found[:2])
    tally.add(truth[2:], found[2:])
    scores = tally.as_scores()
    border = boundary(truth)
    for zone, chosen in (
        ("", truth >= 0),
        ("boundary_", border & (truth >= 0)),
        ("interior_", ~border & (truth >= 0)),
    ):
        y, p = truth[chosen], found[chosen]
        assert scores[f"{zone}accuracy"] == pytest.approx(metrics.accuracy_score(y, p))
        assert scores[f"{zone}miou"] == pytest.approx(metrics.jaccard_score(y, p, average="macro"))
        assert scores[f"{zone}macro_f1"] == pytest.approx(metrics.f1_score(y, p, average="macro"))
    y, p = truth[truth >= 0], found[truth >= 0]
    assert scores["micro_iou"] == pytest.approx(metrics.jaccard_score(y, p, average="micro"))
    assert scores["kappa"] == pytest.approx(metrics.cohen_kappa_score(y, p))
    expected = metrics.jaccard_score(y, p, average=None, labels=range(classes), zero_division=0)
    assert class_iou(tally.confusion["all"]) == pytest.approx(expected)


def test_boundary_and_interior_are_the_known_pixels():
    truth, found, classes = case(1)
    tally = Tally(classes)
    tally.add(truth, found)
    sizes = [tally.zone(name).pixels for name in ("all", "boundary", "interior")]
    assert sizes[0] == (truth >= 0).sum() == sizes[1] + sizes[2]
    assert min(sizes) > 0


def test_only_counted_pixels():
    truth, found, classes = case(2)
    counted = np.zeros(truth.shape, bool)
    counted[:, :8] = True
    part, other = Tally(classes), Tally(classes)
    part.add(truth, found, counted)
    other.add(truth, found, ~counted)
    whole = Tally(classes)
    whole.add(truth, found)
    for zone in ("all", "boundary", "interior"):
        assert np.array_equal(part.confusion[zone] + other.confusion[zone], whole.confusion[zone])
    assert part.borders[1] + other.borders[1] == whole.borders[1]
    assert 0 < part.zone("all").pixels < whole.zone("all").pixels


def test_nothing_to_score():
    empty = Tally(3)
    empty.add(np.full((1, 4, 4), -1), np.zeros((1, 4, 4), int))
    assert all(np.isnan(value) for value in empty.as_scores().values())
    nothing = np.zeros((3, 3), np.int64)
    assert np.isnan(macro_iou(nothing))
    assert np.isnan(micro_iou(nothing))
