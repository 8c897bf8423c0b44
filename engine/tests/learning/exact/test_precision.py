import numpy as np
import pytest

from sits_engine.learning.exact.precision import average_precision


def test_average_precision():
    has = np.array([True, False, True, False])
    assert average_precision(np.array([4.0, 3, 2, 1]), has) == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert average_precision(np.array([4.0, 1, 3, 2]), has) == 1
    # equal scores share one rank: half of all
    assert average_precision(np.zeros(4), has) == 0.5
    assert np.isnan(average_precision(np.zeros(2), np.array([True, True])))
    assert np.isnan(average_precision(np.zeros(2), np.array([False, False])))
