from __future__ import annotations

import numpy as np
import pytest
import torch
from support.photo_series import lonlat, year_series

from sits_engine.errors import InputError
from sits_engine.samples.composites import BLOCK, cut_composites, month_names, monthly, months_of


def test_medians_are_those_of_torch() -> None:
    rng = np.random.default_rng(0)
    months = np.sort(rng.integers(0, 5, 23))
    values = rng.normal(size=(23, 3, 4, 5)).astype(np.float32)
    valid = rng.random((23, 4, 5)) < 0.6
    found, seen = monthly(values, valid, months)
    assert found.shape == (12, 3, 4, 5)
    for month in range(12):
        of_month = months == month
        for r, c in np.ndindex(4, 5):
            clear = values[of_month, :, r, c][valid[of_month, r, c]]
            assert seen[month, r, c] == (len(clear) > 0)
            # torch takes the lower of two middle values
            expected = torch.from_numpy(clear).median(0).values.numpy() if len(clear) else np.zeros(3)
            np.testing.assert_array_equal(found[month, :, r, c], expected)


def test_whole_numbers_stay_whole_and_even_counts_take_the_lower() -> None:
    values = np.array([7, 65535, 3, 5], np.uint16).reshape(4, 1, 1)
    found, seen = monthly(values, np.ones((4, 1), bool), np.array([2, 2, 2, 2]))
    assert found.dtype == np.uint16
    assert found[2, 0, 0] == 5
    assert seen[:, 0].tolist() == [False, False, True] + [False] * 9


def test_composites_of_places_are_those_of_their_pixels() -> None:
    series = year_series()
    rows, cols = np.array([0, 12, 39, 12]), np.array([0, 30, 49, 31])
    xy = np.concatenate([lonlat(series, rows, cols), [[0.0, 0.0], [np.nan, np.nan]]])
    found = cut_composites(series, xy, ["B08", "blue"], 1)
    assert found.rows.tolist() == [0, 1, 2, 3]
    assert found.bands == ("B08", "blue")
    assert found.values.shape == (4, 12, 2, 1, 1)
    physical = series.values[:, [2, 0]] * np.float32(1e-4) - np.float32(0.1)
    whole, seen = monthly(physical, series.clear, months_of(series.dates))
    np.testing.assert_array_equal(found.valid, seen[:, rows, cols].T)
    expected = np.where(seen[:, None], whole, 0)[:, :, rows, cols].transpose(2, 0, 1)
    np.testing.assert_allclose(found.values[..., 0, 0], expected, atol=1e-6)
    assert found.notes[-1] == "2 of 6 places lie outside of the series and were left out."
    assert found.subset([2, 0]).rows.tolist() == [2, 0]


def test_context_that_a_month_does_not_show_takes_the_middle_pixel() -> None:
    series = year_series(clear=1.0)
    series.clear[:, 9, 20] = False
    found = cut_composites(series, lonlat(series, [10, 0], [20, 0]), ["B04"], 3)
    assert found.values.shape == (2, 12, 1, 3, 3)
    np.testing.assert_array_equal(found.values[0, :, 0, 0, 1], found.values[0, :, 0, 1, 1])
    assert (found.values[0, :, 0, 0, 0] != found.values[0, :, 0, 1, 1]).any()
    # the corner of the series: beyond it there is nothing
    np.testing.assert_array_equal(found.values[1, :, 0, 0], found.values[1, :, 0, 1:2, 1].repeat(3, 1))


def test_reading_goes_square_by_square() -> None:
    series = year_series(height=BLOCK + 10, width=20, dates=4, days=30)
    cut_composites(series, lonlat(series, [1, 5, BLOCK + 3], [1, 9, 2]), ["B04"], 1)
    assert [(w.row, w.height, w.width) for w in series.reads] == [(1, 5, 9), (BLOCK + 3, 1, 1)]


def test_months_without_images_and_months_never_clear_are_said() -> None:
    series = year_series(dates=6, days=31)
    series.clear[:] = True
    series.clear[3] = False
    notes = cut_composites(series, lonlat(series, [1], [1]), ["B04"], 1).notes
    assert notes == [
        "The series has no image in July, August, September, October, November and December; "
        "the encoder goes without.",
        "No place was clear in April.",
    ]
    assert month_names(np.arange(12) == 4) == "May"


def test_places_never_clear_are_left_out() -> None:
    series = year_series(clear=1.0)
    series.clear[:, 3, 4] = False
    found = cut_composites(series, lonlat(series, [3, 5], [4, 6]), ["B04"], 1)
    assert found.rows.tolist() == [1]
    assert found.notes == ["1 places were never clear and were left out."]


def test_what_cannot_be_is_said() -> None:
    series = year_series(clear=0.0)
    with pytest.raises(InputError, match=r"None of the 1 places lies in the series year\.json"):
        cut_composites(series, np.array([[100.0, 0.0]]), ["B04"], 1)
    with pytest.raises(InputError, match="None of the 1 places was ever clear"):
        cut_composites(series, lonlat(series, [1], [1]), ["B04"], 1)
    with pytest.raises(InputError, match="has no band"):
        cut_composites(series, lonlat(series, [1], [1]), ["B11"], 1)
    short = year_series(dates=4, days=5)
    with pytest.raises(InputError, match=r"year.json spans 16 days .* need at least a month"):
        cut_composites(short, lonlat(short, [1], [1]), ["B04"], 1)
