"""Splits by whole regions and by folds."""

import dataclasses

import numpy as np
import pytest
from support.field_windows import field_windows

from sits_engine.errors import InputError
from sits_engine.learning.segmentation.given_sides import split_folds, split_regions


@pytest.fixture
def nine():
    """Three windows in each of three regions."""
    made = field_windows(n=9, size=12, field=3)
    return dataclasses.replace(made, region=np.repeat([0, 1, 2], 3).astype(np.int16))


def test_whole_regions(nine):
    sides = split_regions(nine)
    assert sides.kind == "regions"
    assert sorted(sides.split[::3].tolist()) == [0, 1, 2]
    np.testing.assert_array_equal(sides.split, sides.split[::3].repeat(3))
    np.testing.assert_array_equal(sides.side[:, 0, 0], sides.split)


def test_folds(nine):
    sides = split_folds(nine, [2, 1, 5], validation=1, test=2)
    assert sides.kind == "folds"
    assert sides.split[::3].tolist() == [2, 1, 0]


def test_too_few_regions(nine):
    with pytest.raises(InputError, match=r"are of 1 region; .* at least three"):
        split_regions(dataclasses.replace(nine, region=np.zeros(9, np.int16)))


@pytest.mark.parametrize(
    ("folds", "validation", "test", "words"),
    [
        ((), 4, 5, "have no folds"),
        ((1, 4, 5), 5, 5, "VALIDATION_FOLD and TEST_FOLD are both 5"),
        ((1, 2, 5), 4, 5, r"VALIDATION_FOLD is 4, but .* Folds with windows: 1, 2, 5"),
        ((1, 2, 4), 4, 5, "TEST_FOLD is 5"),
        ((4, 5, 5), 4, 5, "No fold is left for training"),
    ],
)
def test_folds_that_can_not_be(nine, folds, validation, test, words):
    with pytest.raises(InputError, match=words):
        split_folds(nine, folds, validation=validation, test=test)


def test_a_class_that_training_would_lack_is_named(nine):
    nine.labels[3:][nine.labels[3:] == 1] = 0
    with pytest.raises(InputError, match=r"No training pixel of crop 1: all lie in folds"):
        split_folds(nine, [4, 1, 5])
