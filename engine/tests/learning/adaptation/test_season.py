"""A target of another season is refused before hours of training, with the way out."""

import dataclasses

import numpy as np
import pytest
from networks import pixel_sets

from sits_engine.errors import InputError
from sits_engine.learning.adaptation.season import check_season

YEAR = [float(d) for d in range(0, 361, 10)]


def target(*days):
    sets = pixel_sets([3, 2, 4], dates=len(days), clear=1.0)
    return dataclasses.replace(sets, positions=np.tile(np.array(days, np.int32), (3, 1)))


def test_the_same_season_moved_by_a_month_is_fine() -> None:
    assert check_season(target(35, 150, 250, 390), YEAR, 60) == []
    assert check_season(target(-30, 100, 330), YEAR, 60) == []


def test_a_short_season_is_warned_of_and_half_of_one_refused() -> None:
    (warning,) = check_season(target(60, 150, 310), YEAR, 60)
    assert "day 60 to 310" in warning
    assert "69 % of the model's season" in warning
    with pytest.raises(InputError, match="at most 39 % of the model's season") as caught:
        check_season(target(60, 100, 200), YEAR, 60)
    assert "missing part of the season" in caught.value.advice


def test_a_wrong_season_year_is_refused() -> None:
    with pytest.raises(InputError, match=r"day 366 to 720 .* at most 15 %") as caught:
        check_season(target(366, 500, 720), YEAR, 60)
    assert "season year" in caught.value.advice


def test_two_years_are_no_season() -> None:
    with pytest.raises(InputError, match="covers 720 days, more than one season"):
        check_season(target(0, 300, 720), YEAR, 60)
    assert check_season(target(0, 300, 720), [0.0, 700.0], 60) == []


def test_days_without_a_clear_pixel_do_not_count() -> None:
    sets = target(0, 100, 200, 360)
    sets.valid[:, 2:] = False
    with pytest.raises(InputError, match="day 0 to 100"):
        check_season(sets, YEAR, 60)


def test_a_card_without_dates_says_nothing() -> None:
    assert check_season(target(0, 1), [], 60) == []
