"""The sign of a shift in words: days added to the target's dates mean that the target is earlier."""

import numpy as np
import pytest

from sits_engine.learning.adaptation.shift_words import shift_words
from sits_engine.learning.adaptation.summary import ShiftCurves


def curves(shift: int, resampled: list[int], max_shift: int = 60) -> ShiftCurves:
    shifts = np.arange(-max_shift, max_shift + 1)
    names = ("IS", "AM", "ENT")
    return ShiftCurves(
        shifts=shifts,
        scores=dict.fromkeys(names, np.zeros(len(shifts))),
        best=dict.fromkeys(names, shift),
        resampled=dict.fromkeys(names, np.repeat(resampled, 50)),
        estimator="IS",
        shift=shift,
        n_sets=100,
    )


@pytest.mark.parametrize(
    ("shift", "resampled", "words"),
    [
        (
            30,
            [27, 33],
            "crops here are about 30 days earlier than where the model learned (between 27 and 33 days, ",
        ),
        (
            -30,
            [-33, -27],
            "crops here are about 30 days later than where the model learned (between 27 and 33 days, ",
        ),
        (
            12,
            [12, 12],
            "about 12 days earlier than where the model learned (nearly every resample gave the same)",
        ),
        (
            1,
            [-1, 2],
            "no shift that these images can show (best: 1 day earlier; between 1 day later and 2 days ",
        ),
        (0, [0, 0], "no shift that these images can show (best: 0 days; 0 days, from resamples)"),
        (
            30,
            [-40, 35],
            "no clear shift: the best is 30 days earlier, but resamples gave 40 days later to 35 days ",
        ),
        (60, [58, 60], "this is the largest shift that was tried, the true one may be larger"),
    ],
)
def test_words_say_direction_size_and_confidence(shift: int, resampled: list[int], words: str) -> None:
    assert words in shift_words(curves(shift, resampled))


def test_a_wide_spread_around_a_small_shift_is_unclear_not_absent() -> None:
    assert shift_words(curves(1, [-40, 35])).startswith("no clear shift")


def with_peaks(days: dict[int, float], shift: int) -> ShiftCurves:
    """Triangular peaks, 30 days wide at the foot: day -> height."""
    found = curves(shift, [shift, shift])
    apart = [height * np.maximum(0, 1 - np.abs(found.shifts - day) / 15) for day, height in days.items()]
    found.scores["IS"] = np.max(apart, axis=0)
    return found


def test_a_clear_peak_needs_no_warning() -> None:
    found = with_peaks({27: 1.0, -20: 0.9}, 27)
    assert found.level == (27, 27)
    assert "alike" not in shift_words(found)


@pytest.mark.parametrize(
    ("second", "words"),
    [
        (12, "but shifts from 12 days earlier to 31 days earlier score nearly alike"),
        (-5, "but shifts from 5 days later to 31 days earlier score nearly alike, none at all among them"),
    ],
)
def test_a_second_peak_that_resamples_do_not_show_is_told(second: int, words: str) -> None:
    found = with_peaks({31: 1.0, second: 0.97}, 31)
    assert found.interval == (31, 31)
    assert found.level == (second, 31)
    assert shift_words(found).endswith(words)
    assert found.as_json()["level_days"] == [second, 31]


def test_entropy_is_best_where_it_is_smallest() -> None:
    found = with_peaks({20: 1.0}, 20)
    found.estimator, found.scores["ENT"] = "ENT", -found.scores["IS"]
    assert found.level == (20, 20)
