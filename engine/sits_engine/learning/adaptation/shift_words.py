"""What an estimated temporal shift means, in words; reports and jobs share them."""

from __future__ import annotations

from sits_engine.learning.adaptation.summary import ShiftCurves

#: Shifts up to this many days are below what a series with an image every few days can show.
SMALLEST_SHIFT = 2
#: A clear peak is narrower: 3 to 7 days on the simulated pair; 14 and more where the best day was wrong.
LEVEL = 10


def shift_words(curves: ShiftCurves) -> str:
    """A sentence without full stop on the direction, size and confidence of the estimate.

    A positive shift (days ADDED to the target's dates) means that the target's season is earlier. The range
    in brackets is `ShiftCurves.interval`, the 5 % and 95 % quantiles over resamples of the target.
    """
    shift = curves.shift
    low, high = curves.interval
    if abs(shift) <= SMALLEST_SHIFT and max(abs(low), abs(high)) <= 3 * SMALLEST_SHIFT:
        spread = f"{_range(low, high)}, from resamples"
        return f"no shift that these images can show (best: {_signed(shift)}; {spread})"
    if low <= 0 <= high:
        spread = f"{_signed(low)} to {_signed(high)}"
        return f"no clear shift: the best is {_signed(shift)}, but resamples gave {spread}"
    words = f"crops here are about {_days(abs(shift))} {_side(shift)} than where the model learned"
    if low == high:
        words += " (nearly every resample gave the same)"
    else:
        words += f" ({_range(low, high)}, from resamples)"
    if curves.at_edge:
        words += "; this is the largest shift that was tried, the true one may be larger"
    first, last = curves.level
    if last - first > LEVEL:
        words += f"; but shifts from {_signed(first)} to {_signed(last)} score nearly alike"
        if first <= 0 <= last:
            words += ", none at all among them"
    return words


def _range(low: int, high: int) -> str:
    if low == high:
        return _signed(low)
    if low * high >= 0:
        near, far = sorted((abs(low), abs(high)))
        return f"between {near} and {_days(far)}"
    return f"between {_signed(low)} and {_signed(high)}"


def _signed(shift: int) -> str:
    return f"{_days(abs(shift))} {_side(shift)}" if shift else "0 days"


def _side(shift: int) -> str:
    return "earlier" if shift > 0 else "later"


def _days(number: int) -> str:
    return f"{number} day" if number == 1 else f"{number} days"
