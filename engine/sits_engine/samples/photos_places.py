"""Photos that belong together: by a field, or by distance and year."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import numpy as np
import numpy.typing as npt

#: Mean radius of the earth in metres (IUGG).
RADIUS = 6371008.8


@dataclass
class Rows:
    """Photos as a source lists them; all lists have one entry a photo.

    Attributes:
        paths: of files that are there.
        lon_lat: degrees, WGS 84.
        days: when taken.
        directions: 'N', 'E', 'S', 'W', degrees, 'P' (of the point), 'C' (of the cover), or ''.
        places: what names the place, or None: then distance decides.
        labels: fields as text, '' unknown.
    """

    paths: list[Path] = field(default_factory=list)
    lon_lat: list[tuple[float, float]] = field(default_factory=list)
    days: list[date | None] = field(default_factory=list)
    directions: list[str] = field(default_factory=list)
    places: list[str | None] = field(default_factory=list)
    labels: dict[str, list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def take(self, chosen: Sequence[int]) -> Rows:
        """The rows of these places in the lists, with all notes."""
        return Rows(
            [self.paths[one] for one in chosen],
            [self.lon_lat[one] for one in chosen],
            [self.days[one] for one in chosen],
            [self.directions[one] for one in chosen],
            [self.places[one] for one in chosen],
            {name: [values[one] for one in chosen] for name, values in self.labels.items()},
            self.notes,
            self.warnings,
        )


def group(rows: Rows, distance: float) -> npt.NDArray[np.int64]:
    """(P,) place of each photo, numbered as they first appear.

    A named place is one place. Photos without one belong together where they lie within `distance` metres of
    the first of them and were taken in the same year (fields change); so a track of photos doesn't become
    one long place.
    """
    found = np.full(len(rows.paths), -1, np.int64)
    names: dict[str, int] = {}
    free = [row for row, name in enumerate(rows.places) if name is None]
    leaders = _leaders(rows, free, distance)
    first: dict[int, int] = {}
    count = 0
    for row, name in enumerate(rows.places):
        table, key = (names, name) if name is not None else (first, leaders[row])
        if key not in table:
            table[key] = count  # type: ignore[index]
            count += 1
        found[row] = table[key]  # type: ignore[index]
    return found


def _leaders(rows: Rows, free: list[int], distance: float) -> dict[int, int]:
    """For each row the first row of its place."""
    from scipy.spatial import cKDTree

    if not free:
        return {}
    years = [day.year if (day := rows.days[row]) is not None else 0 for row in free]
    tree = cKDTree(on_globe(np.array([rows.lon_lat[row] for row in free])))
    leader: dict[int, int] = {}
    for place, row in enumerate(free):
        if row in leader:
            continue
        for other in sorted(tree.query_ball_point(tree.data[place], max(distance, 1e-6))):
            if years[other] == years[place]:
                leader.setdefault(free[other], row)
    return leader


def on_globe(lon_lat: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(N, 3) metres on a sphere: short distances hold anywhere, also across the date line."""
    lon, lat = np.radians(lon_lat[:, 0]), np.radians(lon_lat[:, 1])
    return RADIUS * np.column_stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])


def centres(lon_lat: npt.NDArray[np.float64], place: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """(N, 2) mean position of the photos of each place."""
    n = int(place.max()) + 1
    sums = np.zeros((n, 3))
    np.add.at(sums, place, on_globe(lon_lat))
    found = np.column_stack(
        [
            np.degrees(np.arctan2(sums[:, 1], sums[:, 0])),
            np.degrees(np.arctan2(sums[:, 2], np.hypot(sums[:, 0], sums[:, 1]))),
        ]
    )
    # photos at one point keep its exact coordinates
    first = np.unique(place, return_index=True)[1]
    same = np.ones(n, bool)
    np.logical_and.at(same, place, (lon_lat == lon_lat[first][place]).all(axis=1))
    found[same] = lon_lat[first][same]
    return found


def label_of_places(values: Sequence[str], place: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.str_], int]:
    """(N,) the most frequent known value of each place ('' where none), and how many places disagree."""
    counts: list[Counter[str]] = [Counter() for _ in range(int(place.max()) + 1)]
    for value, one in zip(values, place, strict=True):
        if value:
            counts[one][value] += 1
    # of equally frequent ones the first
    chosen = [count.most_common(1)[0][0] if count else "" for count in counts]
    return np.array(chosen, dtype=np.str_), sum(len(count) > 1 for count in counts)
