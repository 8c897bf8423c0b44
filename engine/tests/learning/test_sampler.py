from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

from sits_engine.learning.sampler import BalancedSampler


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
