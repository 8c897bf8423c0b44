"""The LUCAS survey's tables (harmonised: d'Andrimont et al. 2020, or Eurostat's) with photos in a folder.

A photo is found by its name: point number and direction (2018/BE/380/231/38023110N.jpg, as Eurostat's GISCO
service calls it), with the year in the name or a folder where a point was visited in several years.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sits_engine.errors import InputError
from sits_engine.samples.photos_exif import SUFFIXES
from sits_engine.samples.photos_places import Rows
from sits_engine.samples.photos_table import csv_header, csv_table, day_of, position
from sits_engine.samples.vectors import SHOWN

if TYPE_CHECKING:
    import pandas as pd

#: Letters in the photos' names: to the north, east, south, west, of the point, of the crop.
VIEWS = "NESWPC"
LABELS = ("lc1", "lc1_label", "lu1", "lu1_label", "nuts0", "year")
_POSITION = ("th_lat", "th_long", "th_lon", "gps_lat", "gps_long", "gps_lon", "gps_ew")
_NAME = re.compile(r"(?<!\d)(\d{8})[ _-]?([NESWPC])$", re.IGNORECASE)
_YEAR = re.compile(r"(?<!\d)(20\d\d)(?!\d)")
#: What LUCAS writes for "not relevant" in place of a coordinate.
_NOT_RELEVANT = 88.88


def is_lucas(path: Path) -> bool:
    """True for a table with point numbers and the survey's columns of positions."""
    there = {name.lower() for name in csv_header(path)[0]}
    return "point_id" in there and ("th_lat" in there or "gps_lat" in there)


def read(path: Path, folder: Path, labels: Sequence[str] | None, directions: Sequence[str] = ()) -> Rows:
    """The photos of a table's points that lie in `folder` (or below); a place is a point in a year.

    The position is the theoretical one (the point that was to be visited), else the GPS position; the sign of
    a western GPS longitude is taken from `gps_ew` where the table has it. In some rows the theoretical
    coordinates are metres of EPSG:3035: converted.

    Raises:
        InputError: a field is missing, no position, or no photo of any point is in the folder.
    """
    header = {name.lower(): name for name in csv_header(path)[0]}
    for one in labels or ():
        if one.lower() not in header:
            shown = ", ".join(list(header)[:SHOWN])
            raise InputError(
                f"{path.name} has no field '{one}'. Its fields: {shown}.", "Choose one of these."
            )
    kept = [one for one in (labels if labels is not None else LABELS) if one.lower() in header]
    wanted = {
        "point_id",
        "year",
        "survey_date",
        *_POSITION,
        *(one.lower() for one in kept),
    }
    table = csv_table(path, sorted(wanted))
    table.columns = [str(name).lower() for name in table.columns]
    shelf = _shelf(folder)
    if not shelf:
        raise InputError(
            f"No LUCAS photos in {folder}: no file is named by point and direction (as 38023110N.jpg).",
            "Choose the folder with the photos of the survey; Eurostat's GISCO service has them.",
        )
    points = {point for point, _ in shelf}
    table = table[table["point_id"].str.strip().isin(points)].reset_index(drop=True)
    if table.empty:
        raise InputError(
            f"No photo in {folder} belongs to a point of {path.name} ({len(points)} points have photos).",
            "Choose the table or the folder that fits.",
        )
    rows, nowhere, bare = Rows(labels={one: [] for one in kept}), 0, 0
    letters = [letter for letter in VIEWS if not directions or letter in directions]
    positions = _positions(table)
    for where, record in zip(positions, table.to_dict("records"), strict=True):
        point, year = str(record["point_id"]).strip(), _year(record)
        found = [(letter, file) for letter in letters if (file := _photo(shelf, point, letter, year))]
        bare += not found
        nowhere += bool(found) and where is None
        if where is None:
            continue
        for letter, file in found:
            rows.paths.append(file)
            rows.lon_lat.append(where)
            rows.days.append(day_of(record.get("survey_date")))
            rows.directions.append(letter)
            rows.places.append(f"{point}_{year}" if year else point)
            for one in kept:
                rows.labels[one].append(str(record.get(one.lower(), "")).strip())
    if not rows.paths:
        reason = (
            f"{nowhere} points have photos but no position" if nowhere else "no photo of any point and year"
        )
        raise InputError(
            f"{path.name} and the photos in {folder} don't fit: {reason}.",
            "Choose the table of the survey of that year, or another folder.",
        )
    if nowhere:
        rows.warnings.append(f"{path.name}: {nowhere} points have photos but no position and were left out.")
    if bare:
        rows.notes.append(
            f"{path.name}: {bare} rows of points that have photos in other years were left out."
        )
    return rows


def _shelf(folder: Path) -> dict[tuple[str, str], list[tuple[str, Path]]]:
    """Photos in a folder by (point, direction): (year or '', file) each."""
    found: dict[tuple[str, str], list[tuple[str, Path]]] = defaultdict(list)
    for path in sorted(folder.rglob("*")):
        match = _NAME.search(path.stem) if path.suffix.lower() in SUFFIXES else None
        if match is None:
            continue
        # a year stands before the point in the name, or in the name of a folder
        years = [*_YEAR.findall(path.stem[: match.start()])]
        years += [part for part in path.relative_to(folder).parts[:-1] if _YEAR.fullmatch(part)]
        found[match[1], match[2].upper()].append((years[0] if years else "", path))
    return found


def _photo(
    shelf: dict[tuple[str, str], list[tuple[str, Path]]], point: str, letter: str, year: str
) -> Path | None:
    there = shelf.get((point, letter), [])
    fitting = [path for found, path in there if found == year or not found or not year]
    return fitting[0] if fitting else None


def _year(record: dict[Any, Any]) -> str:
    year = str(record.get("year", "")).strip()[:4]
    if year.isdigit():
        return year
    day = day_of(record.get("survey_date"))
    return str(day.year) if day else ""


def _positions(table: pd.DataFrame) -> list[tuple[float, float] | None]:
    th = "th_long" if "th_long" in table else "th_lon"
    gps = "gps_long" if "gps_long" in table else "gps_lon"
    found = []
    for record in table.to_dict("records"):
        where = _theoretical(record.get(th), record.get("th_lat"))
        found.append(where or _gps(record.get(gps), record.get("gps_lat"), record.get("gps_ew")))
    return found


def _theoretical(lon: Any, lat: Any) -> tuple[float, float] | None:
    try:
        x, y = float(lon), float(lat)
    except (TypeError, ValueError):
        return None
    if abs(x) > 10_000 and abs(y) > 10_000:
        import pyproj

        x, y = pyproj.Transformer.from_crs(3035, 4326, always_xy=True).transform(x, y)
    return position(x, y)


def _gps(lon: Any, lat: Any, hemisphere: Any) -> tuple[float, float] | None:
    where = position(lon, lat)
    if where is None or abs(where[1] - _NOT_RELEVANT) < 0.02:
        return None
    west = str(hemisphere or "").strip().upper() in ("W", "2", "2.0")
    return (-abs(where[0]), where[1]) if west else where
