"""Leaf area of every field on a day: two logistic curves, harvest, catch crops, mowing.

Green leaf area follows the double logistic curve that is the usual summary of a season (Zhang et al. 2003;
Fisher et al. 2006); dry leaves stand from yellowing until harvest, stubble is left after it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sits_engine.series.simulate.crops import CROPS, Crop
from sits_engine.series.simulate.settings import Difficulty
from sits_engine.series.simulate.spectra import DRY, YELLOW_FLOWERS, canopy

Vector = npt.NDArray[np.float32]

FLOWER_DAYS = 9.0
REGROWTH_DAYS = 14.0
CUT_LEAVES = 0.30
STUBBLE_DAYS = 45.0
NEVER = 9999.0
DRAWN = (
    *("start", "start_rate", "end", "end_rate", "harvest", "area"),
    *("before_area", "before_end", "before_rate", "after_area", "after_start"),
    *("flower_day", "flower_strength", "chlorophyll", "structure", "water"),
)


@dataclass
class Fields:
    """Parameters of P fields, each array (P,) float32 unless said; days are those of the region."""

    crop: npt.NDArray[np.int64]
    variety: npt.NDArray[np.int64]
    start: Vector
    start_rate: Vector
    end: Vector
    end_rate: Vector
    harvest: Vector
    area: Vector
    before_area: Vector
    before_end: Vector
    before_rate: Vector
    after_area: Vector
    after_start: Vector
    flower_day: Vector
    flower_strength: Vector
    cuts: npt.NDArray[np.float32]  # (P, 4), NEVER where there is none
    weeds: Vector
    canopy: npt.NDArray[np.float32]  # (P, 10) reflectance of its dense green canopy
    soil: Vector

    def __len__(self) -> int:
        return len(self.crop)


@dataclass(frozen=True)
class State:
    """P fields on one day.

    Attributes:
        leaves: (P,) green and dry leaf area.
        change: (P,) change of the leaf area a day, used for parts of a field that lag behind.
        surface: (P, 10) reflectance of the canopy, dense.
        straw: (P,) share of the ground under stubble.
    """

    leaves: Vector
    change: Vector
    surface: npt.NDArray[np.float32]
    straw: Vector


def quotas(shares: tuple[float, ...], count: int, least: int) -> npt.NDArray[np.int64]:
    """Fields of each class: proportional to `shares`, at least `least` where `count` allows it."""
    weights = np.asarray(shares) / np.sum(shares)
    least = min(least, count // len(weights))
    rest = count - least * len(weights)
    exact = weights * rest
    numbers = np.floor(exact).astype(np.int64)
    order = np.argsort(-(exact - numbers), kind="stable")
    numbers[order[: rest - int(numbers.sum())]] += 1
    return np.asarray(numbers + least, dtype=np.int64)


def draw_fields(
    rng: np.random.Generator,
    count: int,
    shares: tuple[float, ...],
    variety_tilt: float,
    shift: npt.NDArray[np.float64],
    difficulty: Difficulty,
) -> Fields:
    """Draw `count` fields: crop by quota, then variety, then what the farmer and the soil did.

    Args:
        rng: random numbers.
        count: fields.
        shares: of each crop.
        variety_tilt: 0 favours the first varieties, 1 the last.
        shift: (crops,) days that each crop of the region is earlier than in `CROPS`.
        difficulty: spreads.
    """
    crop = np.repeat(np.arange(len(CROPS)), quotas(shares, count, least=6))
    rng.shuffle(crop)
    variety = np.zeros(count, dtype=np.int64)
    columns = {name: np.zeros(count) for name in DRAWN}
    cuts = np.full((count, 4), NEVER)
    for index, kind in enumerate(CROPS):
        mine = np.flatnonzero(crop == index)
        weights = np.linspace(1.0 - variety_tilt, variety_tilt, len(kind.varieties)) + 0.15
        variety[mine] = rng.choice(len(kind.varieties), len(mine), p=weights / weights.sum())
        values = _draw_crop(rng, kind, variety[mine], difficulty)
        for name, column in columns.items():
            column[mine] = values[name]
        if kind.cuts:
            cuts[mine] = np.array(kind.cuts) + rng.normal(0, 8, (len(mine), len(kind.cuts)))
            cuts[mine] += rng.normal(0, 10, (len(mine), 1))
            cuts[mine] = np.where(rng.random((len(mine), len(kind.cuts))) < 0.25, NEVER, cuts[mine])
    for name in ("start", "end", "harvest", "before_end", "after_start", "flower_day"):
        columns[name] -= shift[crop]
    cuts -= shift[crop][:, None]
    leaf = canopy(*(columns.pop(name).astype(np.float32) for name in ("chlorophyll", "structure", "water")))
    return Fields(
        crop=crop,
        variety=variety,
        cuts=cuts.astype(np.float32),
        weeds=(difficulty.weeds * rng.gamma(1.5, 1 / 1.5, count)).astype(np.float32),
        canopy=leaf,
        soil=rng.normal(0, 0.12, count).astype(np.float32),
        **{name: column.astype(np.float32) for name, column in columns.items()},
    )


def _draw_crop(
    rng: np.random.Generator, crop: Crop, variety: npt.NDArray[np.int64], difficulty: Difficulty
) -> dict[str, npt.NDArray[np.float64]]:
    """Parameters of the fields of one crop, each (n,)."""
    n = len(variety)

    def trait(name: str) -> npt.NDArray[np.float64]:
        values = np.array([getattr(v, name) for v in crop.varieties])
        return np.asarray(difficulty.variety_spread * values[variety], dtype=np.float64)

    late = rng.normal(0, difficulty.timing_days, n)
    start = crop.start + trait("start") + late
    # A late field catches up: about half of its delay is left at the end of the season.
    end = crop.end + trait("end") + 0.5 * late + rng.normal(0, 0.6 * difficulty.timing_days, n)
    end_rate = crop.end_rate * np.exp(rng.normal(0, 0.15, n))
    harvest = crop.harvest + trait("end") + 0.5 * late + rng.normal(0, difficulty.timing_days, n)
    # Grain is cut dry, beets are lifted green: only a harvest before yellowing would be impossible for grain.
    harvest = np.maximum(harvest, np.minimum(end, crop.harvest) + 6)
    autumn_sown = crop.winter_area > 0
    covered = rng.random(n) < crop.cover_before * difficulty.catch_crops
    ploughed = np.minimum(start - 25, rng.normal(85, 14, n))
    caught = rng.random(n) < crop.cover_after * difficulty.catch_crops
    start_rate = crop.start_rate * np.exp(rng.normal(0, 0.12, n))
    leaf = difficulty.leaf
    return {
        "start": start,
        "start_rate": start_rate,
        "end": end,
        "end_rate": end_rate,
        "harvest": harvest,
        "area": crop.area * (1 + trait("area")) * np.exp(rng.normal(0, difficulty.vigour, n)),
        "before_area": (
            crop.winter_area * np.exp(rng.normal(0, 0.35, n))
            if autumn_sown
            else covered * rng.uniform(0.6, 2.4, n)
        ),
        # The winter leaves of an autumn-sown crop become its spring leaves; a cover crop is ploughed in.
        "before_end": start if autumn_sown else ploughed,
        "before_rate": start_rate if autumn_sown else np.full(n, 3.0),
        "after_area": caught * rng.uniform(0.8, 2.8, n),
        "after_start": harvest + rng.normal(38, 8, n),
        "flower_day": crop.flower_day + trait("start") + 0.7 * late + rng.normal(0, 2, n),
        "flower_strength": crop.flower_strength * rng.uniform(0.6, 1.2, n),
        "chlorophyll": crop.chlorophyll + trait("chlorophyll") + rng.normal(0, leaf, n),
        "structure": crop.structure + rng.normal(0, leaf, n),
        "water": crop.water + rng.normal(0, 1.3 * leaf, n),
    }


def _rise(day: float, middle: Vector, rate: Vector) -> Vector:
    """Logistic rise from 0 to 1."""
    return np.asarray(1.0 / (1.0 + np.exp(np.clip((middle - day) / rate, -60, 60))), dtype=np.float32)


def _leaf_area(fields: Fields, day: float) -> tuple[Vector, Vector]:
    """Green and dry leaf area (P,) each."""
    grown = _rise(day, fields.start, fields.start_rate)
    standing = 1.0 - _rise(day, fields.harvest, np.full_like(fields.harvest, 0.7))
    yellowing = _rise(day, fields.end, fields.end_rate)
    green = fields.area * grown * (1.0 - yellowing) * standing
    dry = 0.75 * fields.area * grown * yellowing * standing
    green += fields.before_area * (1.0 - _rise(day, fields.before_end, fields.before_rate)) * standing
    green += fields.after_area * _rise(day, fields.after_start, np.full_like(fields.start, 6.0))
    since = day - fields.cuts
    regrown = 1.0 - (1.0 - CUT_LEAVES) * np.exp(-np.clip(since, 0, None) / REGROWTH_DAYS)
    green *= np.where(since >= 0, regrown, 1.0).prod(axis=1)
    # Weeds stand where the crop leaves room, and less in winter than in summer.
    room = np.exp(-0.5 * (green + dry))
    green += fields.weeds * room * (0.35 + 0.65 * np.exp(-(((day - 190.0) / 80.0) ** 2)))
    return green.astype(np.float32), dry.astype(np.float32)


def state(fields: Fields, day: float) -> State:
    """Leaf area and canopy reflectance of every field on `day` (days since 1 January)."""
    green, dry = _leaf_area(fields, day)
    later = sum(_leaf_area(fields, day + 1.0), np.zeros_like(green))
    earlier = sum(_leaf_area(fields, day - 1.0), np.zeros_like(green))
    leaves = green + dry
    green_share = green / np.maximum(leaves, 1e-3)
    bloom = fields.flower_strength * np.exp(-0.5 * ((day - fields.flower_day) / FLOWER_DAYS) ** 2)
    surface = green_share[:, None] * fields.canopy + (1.0 - green_share[:, None]) * DRY
    surface += bloom[:, None] * (YELLOW_FLOWERS - surface)
    after = day - fields.harvest
    straw = np.where(after > 0, 0.55 * np.exp(-after / STUBBLE_DAYS), 0.0)
    return State(
        leaves=leaves,
        change=np.asarray(np.clip(0.5 * (later - earlier), -0.4, 0.4), dtype=np.float32),
        surface=surface.astype(np.float32),
        straw=straw.astype(np.float32),
    )
