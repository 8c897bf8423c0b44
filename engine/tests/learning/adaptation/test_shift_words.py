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
