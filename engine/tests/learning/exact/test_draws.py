"""Which pixels the steps of a sharpening see."""

from collections import Counter

import numpy as np
import pytest

from sits_engine.learning.exact.draws import draws, uniform

SIZES = {"steps": 40, "batch": 1024, "seed": 3}


def mixed(rare=100, frequent=6400):
    """Pixels, some of class 2 among many of class 0."""
    classes = np.array([0] * frequent + [2] * rare)[np.random.default_rng(1).permutation(rare + frequent)]
    return 7 * np.arange(len(classes)), classes


def test_frequent_classes_are_drawn_less_often_than_they_are_frequent():
    pixels, classes = mixed()
    share = {}
    for evenness in (0.0, 0.5, 1.0):
        made = draws(pixels, classes, 4, evenness=evenness, **SIZES)
        drawn = np.concatenate(made)
        counts = np.bincount(classes[drawn // 7], minlength=4)
        assert counts[[1, 3]].tolist() == [0, 0]
        share[evenness] = counts[2] / counts.sum()
        assert set(drawn) >= set(pixels[classes == 2])
        sizes = np.array([len(step) for step in made])
        assert len(sizes) == 40
        # chance alone makes sizes vary by their root
        np.testing.assert_allclose(sizes, 1024, atol=5 * 32)
    # 100 of 6500; the roots, 10 of 90; half
    assert share[0.0] == pytest.approx(1 / 65, rel=0.2)
    assert share[0.5] == pytest.approx(1 / 9, rel=0.1)
    assert share[1.0] == pytest.approx(0.5, rel=0.05)


def test_a_pixel_more_leaves_the_draws_of_all_others():
    pixels, classes = mixed()
    before = draws(pixels, classes, 3, evenness=0.5, **SIZES)
    gone = np.delete(np.arange(len(pixels)), 11)
    other = np.where(np.arange(len(pixels)) == 11, 2 - classes[11], classes)
    for kept, new in ((gone, classes), (np.arange(len(pixels)), other)):
        after = draws(pixels[kept], new[kept], 3, evenness=0.5, **SIZES)
        changed = sum(
            (
                (Counter(a.tolist()) - Counter(b.tolist())) + (Counter(b.tolist()) - Counter(a.tolist()))
            ).total()
            for a, b in zip(before, after, strict=True)
        )
        # of 40,960; the share of its class in all draws changes by a hundredth or less
        assert 0 < changed < 120


def test_order_is_no_matter_and_seeds_are():
    pixels, classes = mixed(rare=30, frequent=200)
    order = np.random.default_rng(2).permutation(len(pixels))
    plain = draws(pixels, classes, 3, evenness=0.5, **SIZES)
    turned = draws(pixels[order], classes[order], 3, evenness=0.5, **SIZES)
    for one, two in zip(plain, turned, strict=True):
        np.testing.assert_array_equal(np.sort(one), np.sort(two))
    again = draws(pixels, classes, 3, evenness=0.5, **{**SIZES, "seed": 4})
    assert any(len(one) != len(two) for one, two in zip(plain, again, strict=True))


def test_hashed_numbers_are_as_if_drawn():
    """First two by hand from the published constants, in whole numbers of Python."""

    def mix(z):
        z = (z + 0x9E3779B97F4A7C15) % 2**64
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
        return z ^ (z >> 31)

    assert mix(0) == 0xE220A8397B1DCDAF  # the first number of SplitMix64 with seed 0
    numbers = np.arange(100_000)
    found = uniform(numbers, 5)
    for number in (0, 1):
        by_hand = mix(mix(number ^ mix(0)) ^ mix(5))
        assert found[number] == (by_hand >> 11) * 2.0**-53
    assert found.min() >= 0
    assert found.max() < 1
    np.testing.assert_allclose(np.histogram(found, 20, (0, 1))[0], 5000, rtol=0.06)
    for other in (uniform(numbers, 6), uniform(numbers + 1, 5), uniform(numbers, 5, numbers)):
        assert abs(np.corrcoef(found, other)[0, 1]) < 0.02
