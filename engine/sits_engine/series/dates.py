"""Acquisition dates: from file names, in the ways that people and providers write them."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from sits_engine.errors import InputError

#: A series with fewer dates can't show a season.
MIN_DATES = 3

_FIRST_YEAR, _LAST_YEAR = 1972, 2100
#: Tried in this order; the first that gives a real date wins. Named groups: y, m, d or j (day of year).
_PATTERNS = tuple(
    re.compile(pattern)
    for pattern in (
        r"(?<!\d)(?P<y>(?:19|20)\d\d)(?P<m>[01]\d)(?P<d>[0-3]\d)(?=T\d{6})",
        r"(?<!\d)(?P<y>(?:19|20)\d\d)(?P<s>[-_.])(?P<m>[01]\d)(?P=s)(?P<d>[0-3]\d)(?!\d)",
        r"(?<!\d)(?P<y>(?:19|20)\d\d)(?P<m>[01]\d)(?P<d>[0-3]\d)(?!\d)",
        r"(?<![0-9a-zA-Z])[A-Za-z]?(?P<y>(?:19|20)\d\d)[-_]?(?P<j>[0-3]\d\d)(?!\d)",
    )
)


def _date(groups: dict[str, str | None]) -> datetime.date | None:
    year = int(groups["y"] or 0)
    if not _FIRST_YEAR <= year <= _LAST_YEAR:
        return None
    try:
        if groups.get("j"):
            day = int(groups["j"] or 0)
            found = datetime.date(year, 1, 1) + datetime.timedelta(days=day - 1)
            return found if day >= 1 and found.year == year else None
        return datetime.date(year, int(groups["m"] or 0), int(groups["d"] or 0))
    except ValueError:
        return None


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """A user's own pattern, checked.

    Either a regular expression with the named groups y, m, d (or y, j for the day of the year), or a
    strftime form such as '%Y_%m_%d' or '%Y%j'.
    """
    text = pattern
    if "%" in text and "(?P<" not in text:
        forms = {"%Y": r"(?P<y>\d{4})", "%m": r"(?P<m>\d{2})", "%d": r"(?P<d>\d{2})", "%j": r"(?P<j>\d{3})"}
        text = "".join(forms.get(part, re.escape(part)) for part in re.split(r"(%[A-Za-z])", text))
    try:
        compiled = re.compile(text)
    except re.error as error:
        raise InputError(
            f"DATE_PATTERN {pattern!r} is no regular expression: {error}.",
            r"Example: (?P<y>\d{4})_(?P<m>\d{2})_(?P<d>\d{2}), or simply %Y_%m_%d.",
        ) from error
    groups = set(compiled.groupindex)
    if not ({"y", "m", "d"} <= groups or {"y", "j"} <= groups):
        raise InputError(
            f"DATE_PATTERN {pattern!r} doesn't say what is year, month and day.",
            r"Name the groups: (?P<y>\d{4}), (?P<m>\d{2}), (?P<d>\d{2}), or (?P<j>\d{3}) for the day "
            "of year; "
            "or write %Y, %m, %d, %j.",
        )
    return compiled


def from_name(name: str, pattern: re.Pattern[str] | None = None) -> datetime.date | None:
    """Acquisition date in a file or folder name, or None.

    Understood without a pattern: 20190401, 2019-04-01 (also with _ or .), 2019091 and A2019091 (day of
    year), Sentinel-2 product and granule names (the first time stamp is the acquisition).
    """
    for candidate in (pattern,) if pattern is not None else _PATTERNS:
        for found in candidate.finditer(name):
            date = _date(found.groupdict())
            if date is not None:
                return date
    return None


def from_tag(text: str) -> datetime.date | None:
    """Date of a TIFFTAG_DATETIME ('2019:04:01 10:30:00') or an ISO date, or None."""
    found = re.match(r"\s*(\d{4})[:\-](\d{2})[:\-](\d{2})", text)
    return _date({"y": found[1], "m": found[2], "d": found[3]}) if found else None


def unreadable(what: str) -> InputError:
    """The error for a file without a date."""
    return InputError(
        f"No acquisition date in the name of {what}.",
        "Put the date into the name (20190401 or 2019-04-01), or give DATE_PATTERN, for example %Y_%m_%d.",
    )


def season_year_of(dates: Sequence[datetime.date]) -> int:
    """Year of the median date: the year whose 1 January is day 0."""
    return sorted(dates)[len(dates) // 2].year


def positions(dates: Iterable[datetime.date], season_year: int) -> npt.NDArray[np.int32]:
    """(T,) days since 1 January of the season year, 0-based; dates before it are negative."""
    start = datetime.date(season_year, 1, 1)
    return np.array([(date - start).days for date in dates], dtype=np.int32)


def check_length(dates: Sequence[datetime.date], where: str) -> None:
    """Raise an InputError unless there are enough dates for a season."""
    if len(dates) < MIN_DATES:
        listed = ", ".join(d.isoformat() for d in dates) or "none"
        raise InputError(
            f"The time series {where} is too short: {len(dates)} dates ({listed}), at least {MIN_DATES} are "
            "needed.",
            "Add images of more dates, or widen the dates or the cloud limit.",
        )
