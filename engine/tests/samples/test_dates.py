from __future__ import annotations

import itertools

import numpy as np
import pytest
from support.window_sets import windows

from sits_engine.samples.dates import evenly, thinned

ALL = np.ones(200, bool)


def test_spread_over_the_season_not_the_first() -> None:
    days = np.arange(0, 365, 5)
    index, used = evenly(days, ALL[: len(days)], 16)
    assert used.all()
    assert (index[0], index[-1]) == (0, len(days) - 1)
    gaps = np.diff(days[index])
    assert gaps.max() - gaps.min() <= 5


def test_dense_parts_do_not_win() -> None:
    days = np.concatenate([np.arange(40), [100, 200, 300]])
    index, _ = evenly(days, ALL[: len(days)], 4)
    assert days[index].tolist() == [0, 100, 200, 300]


@pytest.mark.parametrize("seed", range(5))
def test_no_other_choice_is_nearer(seed) -> None:
    rng = np.random.default_rng(seed)
    days = np.sort(rng.choice(300, 9, replace=False)) - 60
    index, _ = evenly(days, ALL[:9], 4)
    targets = np.linspace(days[0], days[-1], 4)
    best = min(np.abs(days[list(c)] - targets).sum() for c in itertools.combinations(range(9), 4))
    assert np.abs(days[index] - targets).sum() == pytest.approx(best)


def test_shorter_series_are_padded_at_the_end() -> None:
    index, used = evenly(np.array([3, 9, 20, 31]), np.array([True, False, True, True]), 5)
    assert index.tolist() == [0, 2, 3, 3, 3]
    assert used.tolist() == [True, True, True, False, False]
    index, used = evenly(np.array([3, 9]), np.zeros(2, bool), 3)
    assert (index.tolist(), used.tolist()) == ([0, 0, 0], [False] * 3)


def test_unusable_dates_are_left_out_and_one_date_is_in_the_middle() -> None:
    days, mask = np.arange(10) * 10, np.arange(10) != 9
    assert 9 not in evenly(days, mask, 4)[0]
    assert evenly(days, mask, 1)[0].tolist() == [4]


def test_a_clear_date_nearby_is_better_than_a_clouded_one() -> None:
    days = np.array([0, 98, 100, 200])
    assert evenly(days, ALL[:4], 3)[0].tolist() == [0, 2, 3]
    assert evenly(days, ALL[:4], 3, clear=np.array([1, 1, 0.1, 1]))[0].tolist() == [0, 1, 3]
    far = np.array([0, 20, 100, 200])
    assert evenly(far, ALL[:4], 3, clear=np.array([1, 0.5, 0.3, 1]))[0].tolist() == [0, 2, 3]


def test_each_window_gets_its_own_dates() -> None:
    some = windows(n=3, dates=6)
    some.valid[:] = True
    some.valid[1, 2:] = False
    less = thinned(some, 4)
    assert less.values.shape == (3, 4, 3, 6, 6)
    assert less.valid[1].any(axis=(1, 2)).tolist() == [True, True, False, False]
    assert not less.values[1, 2:].any()
    np.testing.assert_array_equal(less.values[1, :2], some.values[1, :2])
    np.testing.assert_array_equal(less.positions[1], some.positions[1, [0, 1, 1, 1]])
    for i in (0, 2):
        index, _ = evenly(some.positions[i], ALL[:6], 4)
        np.testing.assert_array_equal(less.values[i], some.values[i, index])
    np.testing.assert_array_equal(less.labels, some.labels)


def test_more_dates_than_there_are() -> None:
    some = windows(n=2, dates=3)
    some.valid[:] = True
    more = thinned(some, 5)
    np.testing.assert_array_equal(more.values[:, :3], some.values)
    assert not more.valid[:, 3:].any()
    assert (np.diff(more.positions, axis=1) >= 0).all()
