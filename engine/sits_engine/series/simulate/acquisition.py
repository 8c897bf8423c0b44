"""Days on which the satellites looked: two overlapping orbits, some passes lost to cloud."""

from __future__ import annotations

import datetime
from itertools import pairwise

import numpy as np

from sits_engine.series.simulate.settings import YEAR

FIRST_DAY, LAST_DAY = 30, 310


def overpasses(rng: np.random.Generator, count: int, first_orbit: int) -> list[datetime.date]:
    """`count` irregular dates of one season, sorted.

    Each of two orbits passes every fifth day; of these days `count` are kept: one from each of `count`
    equal parts of the season, so that no gap swallows a crop, drawn at random inside the part.

    Args:
        rng: random numbers.
        count: dates, 3 to 100.
        first_orbit: day of the first pass of the year; the second orbit follows two days later.
    """
    days = np.arange(FIRST_DAY, LAST_DAY)
    passes = days[np.isin((days - first_orbit) % 5, (0, 2))]
    edges = np.linspace(0, len(passes), count + 1).round().astype(int)
    chosen = [int(rng.choice(passes[a:b])) for a, b in pairwise(edges)]
    start = datetime.date(YEAR, 1, 1)
    return [start + datetime.timedelta(days=day) for day in chosen]
