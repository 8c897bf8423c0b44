"""With the map's classes as strata both estimators agree; with others, repeated sampling decides."""

import numpy as np
import pytest

from sits_engine.evaluation import olofsson, stehman

COUNTS = np.array([[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]])
AREAS = np.array([18_000.0, 13_500.0, 288_000.0, 580_500.0])


def test_reduces_to_olofsson():
    mapped, reference = (np.repeat(i.ravel(), COUNTS.ravel()) for i in np.indices((4, 4)))
    mine, theirs = stehman.estimate(mapped, mapped, reference, AREAS, 4), olofsson.estimate(COUNTS, AREAS)
    for name in ("overall", "overall_half", "users", "users_half", "producers", "producers_half"):
        np.testing.assert_allclose(getattr(mine, name), getattr(theirs, name), err_msg=name)
    for name in ("areas", "areas_half", "proportions"):
        np.testing.assert_allclose(getattr(mine, name), getattr(theirs, name), err_msg=name)


def test_strata_of_another_map_by_repeated_sampling():
    rng = np.random.default_rng(3)
    n = 20_000
    truth = rng.integers(0, 3, n)
    mapped = np.where(rng.random(n) < 0.8, truth, rng.integers(0, 3, n))
    stratum = np.where(rng.random(n) < 0.6, truth, rng.integers(0, 2, n))
    areas = np.bincount(stratum, minlength=3).astype(float)
    found = []
    for _ in range(400):
        units = np.concatenate([rng.choice(np.flatnonzero(stratum == h), 40) for h in range(3)])
        found.append(stehman.estimate(stratum[units], mapped[units], truth[units], areas, 3))
    assert np.mean([e.overall for e in found]) == pytest.approx((mapped == truth).mean(), abs=0.01)
    np.testing.assert_allclose(np.mean([e.areas for e in found], axis=0), np.bincount(truth), rtol=0.03)
    for name in ("areas", "users", "producers"):
        spread = 1.96 * np.std([getattr(e, name) for e in found], axis=0)
        claimed = np.mean([getattr(e, name + "_half") for e in found], axis=0)
        np.testing.assert_allclose(claimed, spread, rtol=0.15, err_msg=name)


def test_stratum_without_unit_is_named():
    one = np.array([0, 0, 1, 1])
    e = stehman.estimate(one, one, one, [10.0, 20.0, 5.0], 2)
    assert e.no_sample == [2]
    assert e.areas.sum() == pytest.approx(30)


def test_classes_that_the_map_lacks_are_the_same_in_both():
    counts = np.hstack([COUNTS, [[3, 0], [0, 7], [2, 0], [9, 1]]])
    mapped, reference = (np.repeat(i.ravel(), counts.ravel()) for i in np.indices(counts.shape))
    mine = stehman.estimate(mapped, mapped, reference, AREAS, 4, 2)
    theirs = olofsson.estimate(counts, AREAS)
    for name in ("overall", "overall_half", "users", "users_half", "producers", "producers_half", "areas"):
        np.testing.assert_allclose(getattr(mine, name), getattr(theirs, name), err_msg=name)
    np.testing.assert_allclose(mine.areas_half, theirs.areas_half)
    assert theirs.areas.sum() == pytest.approx(AREAS.sum())
    assert len(theirs.areas) == 6
    assert theirs.overall < olofsson.estimate(COUNTS, AREAS).overall
