"""Numbers as words that a reader can repeat and defend."""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt


def score(value: float | None, digits: int = 2) -> str:
    """'0.87', or an en dash where there is none."""
    return "–" if value is None or not math.isfinite(value) else f"{value:.{digits}f}"


def percent(value: float | None, digits: int = 0) -> str:
    """'87 %' of a share 0..1."""
    return "–" if value is None or not math.isfinite(value) else f"{100 * value:.{digits}f} %"


def count(value: float) -> str:
    """'12 345' with thin spaces between thousands."""
    return f"{value:,.0f}".replace(",", "\u202f")


def days(shift: float) -> str:
    """'+31 days', '−1 day', '0 days': a shift with its sign."""
    number = round(shift)
    sign = "+" if number > 0 else "\u2212" if number < 0 else ""
    return f"{sign}{abs(number)} day{'' if abs(number) == 1 else 's'}"


def hectares(value: float) -> str:
    """'1 234 ha', with decimals below 100."""
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f}".replace(",", "\u202f") + " ha"


def of_hundred(share: float) -> str:
    """'87 of 100'; '99.6 of 100' near the ends, where rounding would claim perfection."""
    number = 100 * share
    near_end = 0 < number < 1 or 99 < number < 100
    return f"{number:.1f} of 100" if near_end else f"{number:.0f} of 100"


def listing(names: Sequence[str], most: int = 4) -> str:
    """'a, b and c', shortened to `most` names."""
    if len(names) > most:
        return ", ".join(names[:most]) + f" and {len(names) - most} more"
    if len(names) < 2:
        return "".join(names)
    return ", ".join(names[:-1]) + " and " + names[-1]


def wilson(right: int, total: int) -> tuple[float, float]:
    """95 % interval of a share by Wilson's score (Brown, Cai and DasGupta 2001 recommend it)."""
    if total == 0:
        return 0.0, 1.0
    z = 1.959964
    share = right / total
    middle = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z / (1 + z * z / total) * math.sqrt(share * (1 - share) / total + z * z / (4 * total**2))
    return max(0.0, middle - half), min(1.0, middle + half)


def worst_confusion(counts: npt.NDArray[np.int64], names: Sequence[str]) -> str:
    """The most frequent mistake: 'soybean taken for maize (23 of 60)'. Rows are the truth; '' if none."""
    wrong = np.array(counts, dtype=np.int64)
    np.fill_diagonal(wrong, 0)
    if wrong.sum() == 0:
        return ""
    true, said = (int(i) for i in np.unravel_index(int(wrong.argmax()), wrong.shape))
    total = int(np.asarray(counts)[true].sum())
    return f"{names[true]} taken for {names[said]} ({wrong[true, said]} of {total})"


def day(position: float, season_year: int) -> datetime.date:
    """Date of a day position (days since 1 January of the season year)."""
    return datetime.date(season_year, 1, 1) + datetime.timedelta(days=round(float(position)))


def facts(values: Mapping[str, Any]) -> dict[str, str]:
    """Names and values as text: nested ones are joined, underscores become blanks, empty ones left out."""
    out: dict[str, str] = {}
    for name, value in values.items():
        if value is None or value == "" or (isinstance(value, (list, tuple, dict)) and not value):
            continue
        out[str(name).replace("_", " ")] = _text(value)
    return out


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, Mapping):
        return "; ".join(f"{key}: {_text(item)}" for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(_text(item) for item in value)
    return str(value)
