from __future__ import annotations

import numpy as np
import pytest
from support.published_windows import mtlcc_sample

from sits_engine.errors import InputError
from sits_engine.samples.mtlcc import CLASSES, CODES, read_window
from sits_engine.samples.published_windows import BANDS


def test_bands_dates_and_classes() -> None:
    sample = mtlcc_sample()
    window = read_window(sample, "w", region=1)
    assert window.values.shape == (1, 4, 13, 24, 24)
    assert window.bands == BANDS
    np.testing.assert_allclose(
        window.values[0, :, :4], sample["x10"].transpose(0, 3, 1, 2) * 1e-4, rtol=1e-5, atol=1e-7
    )
    np.testing.assert_array_equal(window.positions[0], sample["day"] - 1)
    assert len(CLASSES) == 17
    labels = window.labels[0]
    assert (CODES[labels[0, 0]], CODES[labels[0, 20]]) == (1, 26)
    assert labels[20, 0] == -1  # 4 is none of the 17
    assert labels[20, 20] == -1


def test_labels_stay_with_the_images() -> None:
    """Pitfalls 3.2: the published loader flips images and labels along different axes."""
    sample = mtlcc_sample()
    sample["x10"][:] = sample["labels"][..., None].astype(np.int16) * 100
    for labels in (sample["labels"], sample["labels"][0], sample["labels"][0][..., None]):
        window = read_window({**sample, "labels": labels}, "w")
        codes = np.rint(window.values[0, 0, 0] * 100).astype(int)
        known = window.labels[0] >= 0
        np.testing.assert_array_equal(np.array(CODES)[window.labels[0]][known], codes[known])


def test_the_same_input_gives_the_same_dates() -> None:
    """Pitfalls 3.3: the published loader draws 16 dates at random, even when it tests."""
    sample = mtlcc_sample(dates=30)
    first, again = read_window(sample, "w"), read_window(sample, "w")
    assert first.values.shape[1] == 30
    np.testing.assert_array_equal(first.values, again.values)


def test_a_new_year_is_later() -> None:
    sample = mtlcc_sample()
    sample["year"] = np.array([2017, 2016, 2016, 2017])
    sample["day"] = np.array([1, 300, 366, 40])
    window = read_window(sample, "w")
    assert window.positions[0].tolist() == [299, 365, 366, 405]
    np.testing.assert_allclose(window.values[0, 2, 0], sample["x10"][0, ..., 0] * 1e-4, atol=1e-6)


def test_damaged_samples_are_named() -> None:
    sample = mtlcc_sample()
    different = sample["labels"].copy()
    different[1] += 1
    for change, words in (
        ({"x20": sample["x20"][..., :5]}, r"'x20' of w has the shape \(4, 12, 12, 5\)"),
        ({"x60": sample["x60"][:3]}, r"4 days and images of \[4, 4, 3\] dates"),
        ({"day": np.zeros(4)}, "no days of the year"),
        ({"year": np.zeros(4)}, "years of w are"),
        ({"labels": different}, "differ between dates"),
        ({"labels": sample["labels"][0, :5]}, "doesn't fit together"),
    ):
        with pytest.raises(InputError, match=words):
            read_window({**sample, **change}, "w")
