"""The worked example of Olofsson et al. 2014 (section 5), and what the paper leaves open."""

import numpy as np
import pytest

from sits_engine.evaluation.olofsson import estimate

# Table 8: rows = map, columns = reference; deforestation, forest gain, stable forest, stable non-forest
COUNTS = np.array([[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]])
PIXELS = np.array([200_000, 150_000, 3_200_000, 6_450_000])
HECTARES = PIXELS * 0.09  # 30 m pixels


def test_worked_example():
    e = estimate(COUNTS, HECTARES)
    assert e.overall == pytest.approx(0.95, abs=0.005)
    assert e.overall_half == pytest.approx(0.02, abs=0.005)
    assert e.users.round(2).tolist() == [0.88, 0.73, 0.93, 0.96]
    assert e.users_half.round(2).tolist() == [0.07, 0.10, 0.04, 0.02]
    assert e.producers.round(2).tolist() == [0.75, 0.85, 0.93, 0.96]
    # The paper prints 0.23 and 0.01 for the second and fourth; its own equation 7 gives 0.254 and 0.018
    # (worked by hand, and `test_variances_agree_with_repeated_sampling` sides with the equation).
    assert e.producers_half.round(3).tolist() == [0.213, 0.254, 0.034, 0.018]
    assert e.areas == pytest.approx([21_158, 11_686, 285_770, 581_386], abs=1)
    assert e.areas_half == pytest.approx([6_158, 3_756, 15_510, 16_282], abs=1)
    assert e.areas.sum() == pytest.approx(HECTARES.sum())


def test_units_do_not_change_shares():
    hectares, pixels = estimate(COUNTS, HECTARES), estimate(COUNTS, PIXELS)
    np.testing.assert_allclose(hectares.producers_half, pixels.producers_half)
    np.testing.assert_allclose(hectares.areas / 0.09, pixels.areas)


def test_variances_agree_with_repeated_sampling():
    # A population with known cells: the standard errors must be the spread over many samples.
    rng = np.random.default_rng(7)
    shares = np.array([[0.8, 0.2], [0.1, 0.9]])
    area = np.array([300.0, 700.0])
    found = [
        estimate(np.array([rng.multinomial(60, shares[0]), rng.multinomial(90, shares[1])]), area)
        for _ in range(1500)
    ]
    for name in ("areas", "producers", "users"):
        values = np.array([getattr(e, name) for e in found])
        halves = np.array([getattr(e, name + "_half") for e in found])
        np.testing.assert_allclose(1.96 * values.std(axis=0), halves.mean(axis=0), rtol=0.08)
    truth = area @ shares
    np.testing.assert_allclose(np.mean([e.areas for e in found], axis=0), truth, rtol=0.01)


def test_stratum_without_sample_is_left_out_and_named():
    e = estimate(np.array([[8, 2, 0], [1, 9, 0], [0, 0, 0]]), [100.0, 300.0, 50.0])
    assert e.no_sample == [2]
    assert e.areas.sum() == pytest.approx(400)
    assert np.isnan(e.users[2])
    assert np.isfinite(e.overall_half)


def test_class_without_area_and_sample_is_no_problem():
    e = estimate(np.array([[8, 2, 0], [1, 9, 0], [0, 0, 0]]), [100.0, 300.0, 0.0])
    assert e.no_sample == []


def test_single_sample_gives_the_widest_interval_not_none():
    e = estimate(np.array([[1, 0], [3, 97]]), [100.0, 900.0])
    assert e.single == [0]
    assert e.users_half[0] == pytest.approx(1.96 * 0.5)
    assert e.areas_half[0] > estimate(np.array([[10, 0], [3, 97]]), [100.0, 900.0]).areas_half[0]


@pytest.mark.parametrize(
    ("matrix", "areas"),
    [(np.zeros((2, 2), int), [1, 1]), (np.eye(2, dtype=int), [1, 0]), (np.eye(2, dtype=int), [1, 1, 1])],
)
def test_impossible_input(matrix, areas):
    with pytest.raises(ValueError):
        estimate(matrix, areas)
