import datetime

import pytest

from sits_engine.errors import InputError
from sits_engine.series import dates


@pytest.mark.parametrize(
    "name",
    [
        "S2_20180704",
        "2018-07-04",
        "ndvi_2018_07_04_v2",
        "S2A_MSIL2A_20180704T103021_N0208_R108_T31UFS_20180706T124912.SAFE",
        "MOD13Q1.A2018185.h12v10",
        "field_2018185",
        "T31UFS_20180704T103021_B02_10m",
        "LC08_L2SP_199024_20180704_20200831_02_T1",
    ],
)
def test_dates_as_people_write_them(name):
    assert dates.from_name(name) == datetime.date(2018, 7, 4)


@pytest.mark.parametrize("name", ["scene", "12345678", "S2_20181345", "tile_19000101", "a_2018400", "199024"])
def test_numbers_that_are_no_dates(name):
    assert dates.from_name(name) is None


def test_own_patterns():
    for pattern in (r"(?P<d>\d\d)(?P<m>\d\d)(?P<y>\d{4})", "%d%m%Y"):
        assert dates.from_name("x04072018", dates.compile_pattern(pattern)) == datetime.date(2018, 7, 4)
    assert dates.from_name("x2018185", dates.compile_pattern("%Y%j")) == datetime.date(2018, 7, 4)


@pytest.mark.parametrize(
    ("pattern", "reason"), [("(", "no regular expression"), (r"\d+", "year, month and day")]
)
def test_bad_patterns_are_named(pattern, reason):
    with pytest.raises(InputError, match=reason) as error:
        dates.compile_pattern(pattern)
    assert "%Y" in error.value.advice


def test_tags():
    assert dates.from_tag("2019:04:01 10:30:00") == datetime.date(2019, 4, 1)
    assert dates.from_tag("yesterday") is None


def test_positions_start_at_zero_and_may_be_negative():
    days = [datetime.date(2018, 12, 31), datetime.date(2019, 1, 1), datetime.date(2019, 12, 31)]
    assert dates.positions(days, 2019).tolist() == [-1, 0, 364]


def test_season_year_is_that_of_the_median_date():
    days = [datetime.date(2018, 10, 1), datetime.date(2019, 2, 1), datetime.date(2019, 6, 1)]
    assert dates.season_year_of(days) == 2019


def test_a_short_series_is_refused_with_its_dates():
    with pytest.raises(InputError, match=r"too short: 2 dates \(2019-04-01, 2019-05-01\)"):
        dates.check_length([datetime.date(2019, 4, 1), datetime.date(2019, 5, 1)], "x.json")
