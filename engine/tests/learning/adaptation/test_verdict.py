"""The verdict on answers whose worth is known: two crops with series far apart, named rightly or wrongly."""

from dataclasses import replace

import numpy as np
import pytest
from networks import pixel_sets

from sits_engine.learning.adaptation.summary import ShiftCurves
from sits_engine.learning.adaptation.verdict import explained, inception_of, judge, measures_of

N = 200
TRUTH = np.arange(N) % 2


def target():
    sets = pixel_sets([1] * N)
    values = np.random.default_rng(0).normal(0, 0.1, sets.values.shape).astype(np.float32)
    values[TRUTH == 1] += 0.5
    return replace(sets, values=values, valid=np.ones_like(sets.valid))


def curves(gain=0.5):
    shifts = np.arange(-60, 61)
    score = 1 - np.abs(shifts - 30) * gain / 30
    found = {name: score.astype(float) for name in ("IS", "AM", "ENT")}
    best = dict.fromkeys(found, 30)
    return ShiftCurves(shifts, found, best, {name: np.full(5, 30) for name in found}, "IS", 30, N)


def answers(wrong, classes=3, sure=0.8):
    """(N, K) probabilities for the true crop but for a share of the samples, which get the other one."""
    named = TRUTH.copy()
    flipped = np.random.default_rng(1).permutation(N)[: int(wrong * N)]
    named[flipped] = 1 - named[flipped]
    p = np.full((N, classes), (1 - sure) / (classes - 1), np.float32)
    p[np.arange(N), named] = sure
    return p


@pytest.mark.parametrize("method", ["timematch", "shift", "mmd", "fixmatch"])
def test_right_answers_after_wrong_ones_are_better_and_the_reverse_is_worse(method):
    few, many = answers(0.05, sure=0.9), answers(0.4)
    better = judge(target(), method, curves(), 30, many, many, few)
    worse = judge(target(), method, curves(), 30, few, few, many)
    assert (better.word, worse.word) == ("better", "worse")
    assert sum(reason.speaks for reason in better.reasons) > 0 > worse.reasons[-1].speaks
    assert "use the source model" in worse.headline


def test_unchanged_answers_are_the_same():
    p = answers(0.1)
    assert judge(target(), "mmd", curves(), 0, p, p, p).word == "same"
    assert judge(target(), "shift", curves(gain=0.0), 0, p, p, p).word == "same"


def test_growing_certainty_alone_is_not_better():
    before = answers(0.3, sure=0.5)
    after = answers(0.3, sure=0.99)
    found = judge(target(), "mmd", curves(), 0, before, before, after)
    assert found.measures["inception_after"] > found.measures["inception_before"] + 0.1
    assert found.word == "same"


def test_a_crop_that_vanishes_is_worse_and_said():
    before = answers(0.0)
    before[:20, 2] = 1.0
    found = judge(target(), "alda", curves(), 0, before, before, answers(0.02))
    assert found.measures["lost"] == pytest.approx(0.1)
    assert any("hardly named" in reason.text for reason in found.reasons)


def test_measures_look_at_no_label():
    sets = target()
    p, q = answers(0.3), answers(0.1)
    labelled = replace(sets, labels=TRUTH.astype(np.int64))
    assert measures_of(sets, curves(), 30, p, p, q) == measures_of(labelled, curves(), 30, p, p, q)


def test_explained_variance_and_inception_score_by_hand():
    series = np.array([[0.0], [0.0], [2.0], [4.0]])
    # total = 11, between (0, 0 | 2, 4): means 0 and 3 around 1.5
    assert explained(series, np.array([0, 0, 1, 1])) == pytest.approx(9 / 11)
    assert explained(series, np.zeros(4, int)) == 0
    assert explained(np.ones((3, 2)), np.array([0, 1, 1])) == 0
    sure = np.eye(2, dtype=np.float32)
    assert inception_of(sure) == pytest.approx(np.log(2), abs=1e-3)
    assert inception_of(np.full((4, 2), 0.5, np.float32)) == pytest.approx(0, abs=1e-6)
