from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

from sits_engine.learning.sampler import BalancedSampler, ShuffledSampler


def test_every_class_is_equally_frequent_however_rare() -> None:
    labels = np.array([0] * 900 + [1] * 90 + [2] * 3)
    sampler = BalancedSampler(labels, 32, np.random.default_rng(0))
    drawn = np.concatenate(list(islice(sampler, 60)))
    assert len(drawn) == 60 * 32
    np.testing.assert_allclose(np.bincount(labels[drawn]) / len(drawn), 1 / 3, atol=0.02)
    rare = np.bincount(drawn[labels[drawn] == 2] - 990)
    assert rare.max() - rare.min() <= 1


def test_all_samples_of_a_class_come_before_one_comes_again() -> None:
    sampler = BalancedSampler(np.zeros(10, dtype=np.int64), 5, np.random.default_rng(1))
    first = np.concatenate([sampler.draw(), sampler.draw()])
    assert sorted(first.tolist()) == list(range(10))


def test_same_seed_same_batches() -> None:
    labels = np.arange(50) % 4
    a, b = (BalancedSampler(labels, 7, np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(list(islice(a, 5)), list(islice(b, 5)))


def test_a_gap_in_the_classes_and_nothing_to_draw() -> None:
    sampler = BalancedSampler(np.array([0, 0, 5]), 4, np.random.default_rng(0))
    assert set(sampler.draw()) == {0, 1, 2}
    with pytest.raises(ValueError, match="needs samples"):
        BalancedSampler(np.array([0, -1]), 4, np.random.default_rng(0))


def test_shuffled_rounds_hold_every_sample_once_and_drop_the_rest() -> None:
    sampler = ShuffledSampler(np.full(10, -1), 4, np.random.default_rng(0))
    rounds = [np.concatenate([sampler.draw(), sampler.draw()]) for _ in range(30)]
    for drawn in rounds:  # 8 of 10: the last two of a round are left out
        assert len(np.unique(drawn)) == 8
    counts = np.bincount(np.concatenate(rounds), minlength=10)
    assert counts.min() > 0
    assert counts.sum() == 240
    assert len({tuple(drawn) for drawn in rounds}) == 30


def test_shuffled_batch_of_the_whole_set_and_of_more() -> None:
    whole = ShuffledSampler(np.zeros(6), 6, np.random.default_rng(0))
    for _ in range(3):
        assert sorted(whole.draw().tolist()) == list(range(6))
    large = ShuffledSampler(np.zeros(5), 12, np.random.default_rng(0))
    for _ in range(3):
        counts = np.bincount(large.draw(), minlength=5)
        assert counts.sum() == 12
        assert counts.min() >= 1
        assert counts.max() <= 4
    one = ShuffledSampler(np.zeros(1), 3, np.random.default_rng(0))
    assert one.draw().tolist() == [0, 0, 0]


def test_shuffled_same_seed_same_batches_and_nothing_to_draw() -> None:
    a, b = (ShuffledSampler(np.zeros(50), 7, np.random.default_rng(3)) for _ in range(2))
    for _ in range(9):
        np.testing.assert_array_equal(a.draw(), b.draw())
    with pytest.raises(ValueError, match="needs samples"):
        ShuffledSampler(np.zeros(0), 4, np.random.default_rng(0))
