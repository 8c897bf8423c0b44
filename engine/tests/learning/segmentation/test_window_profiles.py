"""Profiles of windows are means over clear labelled pixels, by class and date."""

import dataclasses

import numpy as np
import pytest
from support.field_windows import field_windows

from sits_engine.learning.segmentation.profiles import window_profiles
from sits_engine.learning.segmentation.targets import HIDDEN


def windows(scale=1, seed=0):
    made = field_windows(n=5, size=8, dates=4, bands=3, scale=scale, field=4)
    rng = np.random.default_rng(seed)
    made.valid[:] = rng.random(made.valid.shape) < 0.7
    made.values[:] = rng.random(made.values.shape) * made.valid[:, :, None]
    made.labels[rng.random(made.labels.shape) < 0.2] = -1
    made.labels[0, :3] = HIDDEN
    made.positions[:] = [10, 60, 90, 200]
    made.positions[4] = [10, 75, 90, 200]  # a date that the others lack
    return made


def test_means_and_deviations_pixel_by_pixel():
    made = windows()
    found = window_profiles(made, 2021)
    assert found.positions.tolist() == [10, 60, 75, 90, 200]
    assert (found.bands, found.season_year) == (made.bands, 2021)
    assert found.mean.shape == (len(made.classes), 5, 3)
    for k in range(len(made.classes)):
        for t, day in enumerate(found.positions):
            chosen = (made.positions == day)[:, :, None, None] & made.valid & (made.labels == k)[:, None]
            own = np.moveaxis(made.values, 2, -1)[chosen]
            assert len(own) > 1
            np.testing.assert_allclose(found.mean[k, t], own.mean(axis=0), atol=1e-5)
            np.testing.assert_allclose(found.std[k, t], own.std(axis=0), atol=1e-4)


def test_finer_labels_count_by_their_share_of_a_pixel():
    made = windows(scale=2).subset([1])
    made.valid[:] = True
    made.labels[:] = -1
    made.labels[0, :2, :2] = [[0, 0], [0, 1]]  # three quarters of the first pixel, one of class 1
    made.labels[0, :2, 2:4] = 0
    first, second = made.values[0, :, :, 0, 0], made.values[0, :, :, 0, 1]
    found = window_profiles(made, 2021)
    np.testing.assert_allclose(found.mean[0], (0.75 * first + second) / 1.75, atol=1e-6)
    np.testing.assert_allclose(found.mean[1], first, atol=1e-6)


@pytest.mark.parametrize("what", ["labels", "clear"])
def test_nothing_seen_is_unknown_not_zero(what):
    made = windows()
    if what == "labels":
        made = dataclasses.replace(made, labels=np.full_like(made.labels, HIDDEN))
    else:
        made.valid[:] = False
    found = window_profiles(made, 2021)
    assert np.isnan(found.mean).all()
    assert found.as_json()["mean"][0][0] == [None, None, None]
