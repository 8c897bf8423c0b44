"""The lattice covers every pixel, is the same for every tile, and weights blend without a jump."""

import numpy as np
import pytest

from sits_engine.models.blend import Blend, reach, reflected, starts, taper, touching


@pytest.mark.parametrize(
    ("length", "window", "step"), [(100, 16, 8), (16, 16, 8), (17, 16, 8), (40, 16, 16), (33, 8, 3)]
)
def test_windows_cover_the_image_and_stay_inside(length, window, step):
    places = starts(length, window, step)
    covered = np.zeros(length, int)
    for place in places:
        assert 0 <= place <= length - window
        covered[place : place + window] += 1
    assert covered.min() >= 1
    assert len(set(places)) == len(places)
    assert (np.diff(places) <= step).all()


@pytest.mark.parametrize("length", [1, 5, 15])
def test_small_image_has_one_window_around_it(length):
    (place,) = starts(length, 16, 8)
    assert place <= 0 < length <= place + 16
    index = reflected(int(place), 16, length)
    np.testing.assert_array_equal(index[-place : length - place], np.arange(length))
    assert index.min() >= 0
    assert index.max() < length
    if length > 1:
        assert (np.abs(np.diff(index)) == 1).all()  # neighbours stay neighbours: nothing jumps


def test_a_step_that_leaves_gaps_is_refused():
    with pytest.raises(ValueError, match="step of 17"):
        starts(100, 16, 17)


def test_a_part_sees_all_windows_of_its_pixels():
    places = starts(100, 16, 8)
    for first, size in ((0, 7), (31, 20), (90, 10)):
        near = touching(places, 16, first, size)
        for pixel in range(first, first + size):
            mine = [p for p in places if p <= pixel < p + 16]
            assert set(mine) <= set(near)
        low, pixels = reach(places, 16, first, size, 100)
        assert low == near[0]
        assert low + pixels == near[-1] + 16


def test_weights_of_half_overlapping_windows_add_up_to_one():
    weights = taper(16)
    np.testing.assert_allclose(weights[8:] + weights[:8], 1, atol=1e-6)
    assert weights.min() > 0


def test_blend_is_the_weighted_mean():
    rng = np.random.default_rng(0)
    first, second = rng.random((2, 2, 4, 4)).astype(np.float32)
    blend = Blend(2, 4, 7, 4)
    blend.add(first, 0, -1)
    blend.add(second, 0, 1)
    blend.add(first, 0, -9)  # does not touch the area
    found = blend.result()
    t = taper(4)
    np.testing.assert_allclose(found[:, :, 0], first[:, :, 1], rtol=1e-6)
    expected = (first[:, :, 2] * t[2] + second[:, :, 0] * t[0]) / (t[2] + t[0])
    np.testing.assert_allclose(found[:, :, 1], expected, rtol=1e-5)
    assert (found[:, :, 5:] == 0).all()
