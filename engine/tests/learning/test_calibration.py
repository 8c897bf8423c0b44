from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax

from sits_engine.learning.calibration import fit_temperature, reliability, with_temperature


def overconfident(n=4000, factor=3.0, seed=0):
    """Labels drawn from softmax(z); the 'network' says softmax(factor z)."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, (n, 4))
    true = softmax(logits, axis=1)
    labels = (rng.random((n, 1)) > np.cumsum(true, axis=1)).sum(axis=1)
    return softmax(factor * logits, axis=1).astype(np.float32), labels, true


def test_temperature_undoes_overconfidence() -> None:
    said, labels, true = overconfident()
    temperature = fit_temperature(said, labels)
    assert temperature == pytest.approx(3.0, rel=0.06)
    np.testing.assert_allclose(with_temperature(said, 3.0), true, atol=1e-4)
    before = reliability(said, labels).error
    after = reliability(with_temperature(said, temperature), labels).error
    assert before > 0.2
    assert after < 0.03


def test_expected_calibration_error_by_hand() -> None:
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.3, 0.7], [0.6, 0.4]])
    found = reliability(probabilities, np.array([0, 1, 1, 0]), bins=5)
    assert found.counts.tolist() == [0, 0, 1, 1, 2]
    assert found.error == pytest.approx((abs(0.6 - 1) + abs(0.7 - 1) + 2 * abs(0.9 - 0.5)) / 4)
    assert found.as_json()["accuracy"] == [None, None, 1.0, 1.0, 0.5]


def test_extremes() -> None:
    assert fit_temperature(np.empty((0, 3)), np.empty(0, dtype=np.int64)) == 1.0
    assert np.isnan(reliability(np.empty((0, 3)), np.empty(0, dtype=np.int64)).error)
    certain = np.eye(3, dtype=np.float32)[[0, 1, 2, 0]]
    assert fit_temperature(certain, np.array([0, 1, 2, 0])) <= 1.0
    assert np.isfinite(with_temperature(certain, 2.0)).all()
    assert reliability(certain, np.array([0, 1, 2, 1])).counts[-1] == 4
