"""Where and when a simulated region is visited for photos, and which visits are kept for tests."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import shapely

from sits_engine.series.simulate.crops import CROPS
from sits_engine.series.simulate.landscape import BUILT, FOREST, OTHER, WATER_BODY
from sits_engine.series.simulate.region import Region, make_region
from sits_engine.series.simulate.settings import FINE, YEAR

#: Share of the places that show land without fields, each kind.
OTHER_SHARES = {FOREST: 0.07, BUILT: 0.06, WATER_BODY: 0.04}
FIRST_DAY, LAST_DAY = 98, 283
BLOCK = 640.0  # metres a side; whole blocks are for training or for tests
TEST_SHARE = 0.3
EDGE = 12.0  # metres a place keeps from the border of its field, so that its pixel shows the field
SIZE_ELSEWHERE = 256  # pixels a side of the land that lends what a region lacks
PLACES = 20  # key of random numbers (see `settings.generator`)


@dataclass(frozen=True)
class Place:
    """One visit.

    Attributes:
        number: from 1.
        row: of the looks: parcel, or parcels + kind.
        x, y: CRS coordinates.
        date: of the visit.
        split: 'train' or 'test'.
    """

    number: int
    row: int
    x: float
    y: float
    date: datetime.date
    split: str

    @property
    def name(self) -> str:
        """Identifier in file names and layers."""
        return f"P{self.number:04d}"

    @property
    def day(self) -> int:
        """Days since 1 January."""
        return (self.date - datetime.date(YEAR, 1, 1)).days


def place_class(region: Region, row: int) -> str:
    """Class name of a row of the looks."""
    count = len(region.fields)
    return CROPS[region.fields.crop[row]].name if row < count else OTHER[row - count]


def choose_places(region: Region, count: int) -> list[Place]:
    """`count` places (fewer if the region is small): every crop, forest, built-up land and water.

    Crops that are rare get more than their share: the chance is the square root of it.
    """
    rng = region.rng(PLACES)
    fields = region.fields
    rows: list[int] = []
    points: list[tuple[float, float]] = []
    for kind, share in OTHER_SHARES.items():
        found = _points_of_surface(region, rng, kind, round(share * count))
        rows += [len(fields) + kind] * len(found)
        points += found
    inner = [parcel.buffer(-EDGE) for parcel in region.landscape.parcels]
    large = np.array([not polygon.is_empty for polygon in inner])
    grown = np.bincount(fields.crop, minlength=len(CROPS))
    weight = np.where(large, 1 / np.sqrt(np.maximum(grown, 1))[fields.crop], 0.0)
    wanted = min(count - len(rows), int(large.sum()))
    for parcel in rng.choice(len(fields), wanted, replace=False, p=weight / weight.sum()):
        rows.append(int(parcel))
        points.append(_point_inside(rng, inner[parcel]))
    order = rng.permutation(len(rows))
    blocks = _blocks(np.array(points)[order])
    tests = _test_blocks(rng, blocks, np.array([place_class(region, rows[i]) for i in order]))
    return [
        Place(
            number,
            rows[i],
            points[i][0],
            points[i][1],
            datetime.date(YEAR, 1, 1) + datetime.timedelta(days=_visit(region, rng, rows[i])),
            "test" if block in tests else "train",
        )
        for number, (i, block) in enumerate(zip(order, blocks.tolist(), strict=True), start=1)
    ]


def _points_of_surface(
    region: Region, rng: np.random.Generator, kind: int, count: int
) -> list[tuple[float, float]]:
    """Random places whose surroundings (25 m) are this surface; none where the region has none."""
    is_kind = region.rows == len(region.fields) + kind
    for step in (1, 2):
        is_kind[step:-step, step:-step] &= (
            is_kind[: -2 * step, step:-step]
            & is_kind[2 * step :, step:-step]
            & is_kind[step:-step, : -2 * step]
            & is_kind[step:-step, 2 * step :]
        )
    is_kind[:6], is_kind[-6:], is_kind[:, :6], is_kind[:, -6:] = False, False, False, False
    found = np.argwhere(is_kind)
    if not len(found):
        return []
    chosen = found[rng.choice(len(found), min(count, len(found)), replace=False)] + 0.5
    x, y = region.setting.origin
    return [(x + FINE * float(column), y - FINE * float(row)) for row, column in chosen]


def _point_inside(rng: np.random.Generator, polygon: shapely.Polygon) -> tuple[float, float]:
    west, south, east, north = polygon.bounds
    for _ in range(50):
        x, y = float(rng.uniform(west, east)), float(rng.uniform(south, north))
        if polygon.contains(shapely.Point(x, y)):
            return x, y
    middle = polygon.representative_point()
    return float(middle.x), float(middle.y)


def _visit(region: Region, rng: np.random.Generator, row: int) -> int:
    """Day of the visit: from a week before the crop shows until shortly after harvest."""
    fields = region.fields
    if row >= len(fields) or fields.harvest[row] > LAST_DAY:
        return int(rng.integers(FIRST_DAY, LAST_DAY))
    first = max(FIRST_DAY, float(fields.start[row]) - 8)
    last = min(LAST_DAY, float(fields.harvest[row]) + 8)
    return int(rng.uniform(min(first, last - 30), last))


def _blocks(points: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    cells = np.floor(points / BLOCK).astype(np.int64)
    return np.unique(cells, axis=0, return_inverse=True)[1].reshape(-1)


def _test_blocks(
    rng: np.random.Generator, blocks: npt.NDArray[np.int64], kinds: npt.NDArray[np.str_]
) -> set[int]:
    """Blocks of the test: of 60 random choices the one whose classes are shared out most evenly."""
    every = np.unique(blocks)
    best: tuple[float, set[int]] = (np.inf, set())
    for _ in range(60):
        chosen = set(rng.permutation(every)[: max(1, round(TEST_SHARE * len(every)))].tolist())
        test = np.isin(blocks, list(chosen))
        shares = np.array([test[kinds == kind].mean() for kind in np.unique(kinds)])
        uneven = float(np.abs(shares - TEST_SHARE).sum() + 3 * ((shares == 0) | (shares == 1)).sum())
        if uneven < best[0]:
            best = (uneven, chosen)
    return best[1]


def places_elsewhere(region: Region, kinds: list[int], count: int) -> tuple[Region, list[Place]]:
    """Another land that has surfaces which this region lacks, and places on them, for captions only.

    A model that learns words from the photos of a region without ponds wouldn't know what 'water' means.

    Args:
        region: lacks something.
        kinds: surfaces (indices of `OTHER`) that are wanted.
        count: places of the region; the share of `OTHER_SHARES` of them is visited.
    """
    wanted = [len(region.fields) + kind for kind in kinds]
    for attempt in range(1, 31 if kinds else 1):
        seed = region.seed + 7919 * attempt
        strange = make_region(region.setting, region.difficulty, seed, SIZE_ELSEWHERE, 3, 0.0)
        wanted = [len(strange.fields) + kind for kind in kinds]
        visits = [place for place in choose_places(strange, 4 * count) if place.row in wanted]
        if {place.row for place in visits} == set(wanted):
            shares = {row: round(OTHER_SHARES[kind] * count) for row, kind in zip(wanted, kinds, strict=True)}
            kept = []
            for place in visits:
                if shares[place.row] > 0:
                    shares[place.row] -= 1
                    kept.append(place)
            return strange, kept
    return region, []
