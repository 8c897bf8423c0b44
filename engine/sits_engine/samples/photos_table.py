"""Photos listed in a point layer or a CSV table: paths, positions, days, directions."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlparse

import numpy as np

from sits_engine.errors import InputError
from sits_engine.samples.photos_exif import read_exif
from sits_engine.samples.photos_places import Rows
from sits_engine.samples.vectors import SHOWN, VectorSource, codes_of, lon_lat, read_vector

if TYPE_CHECKING:
    import pandas as pd

#: Usual names of fields, the first that is there is taken. 'photo', 'timestamp' and 'direction' are those of
#: QGIS's "Import geotagged photos".
PATHS = ("photo", "photo_path", "image_path", "file_path", "path", "file", "image", "picture", "filename")
DAYS = ("timestamp", "survey_date", "date", "taken", "datetime", "date_taken")
DIRECTIONS = ("direction", "view", "azimuth", "heading")
LONGITUDES = ("lon", "longitude", "long", "lng", "x")
LATITUDES = ("lat", "latitude", "y")
#: Words of a field of directions, as LUCAS writes them.
WORDS = {"north": "N", "east": "E", "south": "S", "west": "W", "point": "P", "cover": "C", "crop": "C"}
_DAY_FORMATS = ("%d/%m/%Y", "%d/%m/%y", "%Y:%m:%d", "%d.%m.%Y", "%Y/%m/%d", "%Y%m%d")


def read_layer(
    source: str,
    base: Path,
    *,
    path_field: str | None,
    place_field: str | None,
    labels: Sequence[str] | None,
) -> Rows:
    """Photos of a point layer, in any CRS; see `photos.read_photos`."""
    import shapely

    name = VectorSource.parse(source).name
    frame = read_vector(source)
    table = frame.drop(columns="geometry")
    chosen = path_column(table, path_field, name)
    geometries = frame.geometry.to_numpy()
    empty = shapely.is_missing(geometries) | shapely.is_empty(geometries)
    if empty.all():
        raise InputError(
            f"No photo of {name} has a position: all {len(frame)} geometries are empty.",
            "Choose another layer.",
        )
    if (shapely.get_dimensions(geometries[~empty]) > 0).any():
        raise InputError(f"The layer {name} holds other things than points.", "Choose a layer of points.")
    positions: list[tuple[float, float] | None] = [None] * len(frame)
    for row, (x, y) in zip(np.flatnonzero(~empty), lon_lat(frame[~empty]), strict=True):
        positions[row] = (float(x), float(y)) if math.isfinite(x) and math.isfinite(y) else None
    return _rows(table, positions, base, chosen, place_field, labels, name)


def read_csv(
    path: Path,
    base: Path,
    *,
    path_field: str | None,
    place_field: str | None,
    labels: Sequence[str] | None,
) -> Rows:
    """Photos of a table with columns of paths, longitude and latitude (WGS 84)."""
    table = csv_table(path)
    chosen = path_column(table, path_field, path.name)
    lon, lat = one_of(table.columns, LONGITUDES), one_of(table.columns, LATITUDES)
    if lon is None or lat is None:
        raise InputError(
            f"The table {path.name} has no columns of longitude and latitude ('lon' and 'lat'). "
            f"Its columns: {', '.join(map(str, table.columns[:SHOWN]))}.",
            "Name them so, or load the table in QGIS as points and give that layer.",
        )
    positions = [position(x, y) for x, y in zip(table[lon], table[lat], strict=True)]
    return _rows(table, positions, base, chosen, place_field, labels, path.name)


def csv_table(path: Path, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """A table with all values as text; of `columns` those that are there (lower case), else all.

    Raises:
        InputError: it can't be read, or has no rows.
    """
    import pandas as pd

    header, delimiter, encoding = csv_header(path)
    wanted = None if columns is None else [name for name in header if name.lower() in columns]
    try:
        table = pd.read_csv(
            path, sep=delimiter, encoding=encoding, dtype=str, keep_default_na=False, usecols=wanted
        )
    except (ValueError, OSError, pd.errors.ParserError) as error:
        raise InputError(
            f"The table {path} can't be read: {error}.", "Check that it is a CSV table with a line of names."
        ) from error
    if table.empty:
        raise InputError(f"The table {path.name} has no rows.", "Choose another table.")
    return table


def csv_header(path: Path) -> tuple[list[str], str, str]:
    """Names of the columns, delimiter and encoding of a CSV table."""
    with path.open("rb") as file:
        start = file.read(2**16)
    encoding = "utf-8-sig"
    try:
        text = start.decode(encoding)
    except UnicodeDecodeError as error:
        # the last letter may have been cut in the middle
        if error.start < len(start) - 4:
            encoding = "latin-1"
        text = start.decode(encoding, "ignore")
    line = text.splitlines()[0] if text.strip() else ""
    delimiter = max(",;\t|", key=line.count)
    return next(csv.reader(io.StringIO(line), delimiter=delimiter), []), delimiter, encoding


def one_of(columns: Any, names: Sequence[str]) -> str | None:
    """The first of the names that is a column, whatever its case."""
    there = {str(column).lower(): str(column) for column in columns}
    return next((there[name] for name in names if name in there), None)


def path_column(table: pd.DataFrame, named: str | None, name: str) -> str:
    """The column with the paths.

    Raises:
        InputError: it isn't there; lists those that are.
    """
    fields = ", ".join(str(column) for column in table.columns[:SHOWN]) or "none"
    if named is not None:
        if named not in table.columns:
            raise InputError(f"{name} has no field '{named}'. Its fields: {fields}.", "Choose one of these.")
        return named
    found = one_of(table.columns, PATHS)
    if found is None:
        raise InputError(
            f"{name} has no field with the paths of photos under a usual name ('photo', 'file', ...). "
            f"Its fields: {fields}.",
            "Choose the field with the paths.",
        )
    return found


def position(lon: Any, lat: Any) -> tuple[float, float] | None:
    """Longitude and latitude from text; None where they are no place on earth."""
    try:
        x, y = float(lon), float(lat)
    except (TypeError, ValueError):
        return None
    return (x, y) if abs(x) <= 180 and abs(y) <= 90 and not (x == 0 and y == 0) else None


def day_of(value: Any) -> date | None:
    """A day from a time stamp or a text (day before month, as in Europe); None where it is none."""
    if value is None or value != value:  # NaN and NaT differ from themselves
        return None
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date):
        return value
    text = str(value).strip()
    try:
        return datetime.fromisoformat(text).date() if "-" in text else _by_format(text)
    except ValueError:
        return None


def _by_format(text: str) -> date | None:
    for form in _DAY_FORMATS:
        for piece in (text, text.split(" ")[0]):
            try:
                return datetime.strptime(piece, form).date()
            except ValueError:
                continue
    return None


def direction_of(value: Any) -> str:
    """'N', 'E', 'S', 'W', 'P', 'C', whole degrees, or '' from a field."""
    if value is None or value != value:
        return ""
    text = str(value).strip()
    if text.lower() in WORDS:
        return WORDS[text.lower()]
    if len(text) == 1 and text.upper() in WORDS.values():
        return text.upper()
    try:
        degrees = float(text)
    except ValueError:
        return ""
    return str(round(degrees) % 360) if math.isfinite(degrees) else ""


def find_photo(text: str, base: Path) -> Path | None:
    """The file that a path means: as it stands, from `base`, or its last parts in `base` (moved folders).

    As many of the last parts as possible: cameras give photos of different days the same name.
    """
    found = _match(text, base)
    return None if found is None else found[0]


def _match(text: str, base: Path) -> tuple[Path, bool] | None:
    """The file that a path means, and whether of a path with folders nothing but the name agrees."""
    text = text.strip()
    if text.startswith("file:"):
        text = unquote(urlparse(text).path)
    pure = PureWindowsPath(text) if "\\" in text else PurePosixPath(text)
    parts = [part for part in pure.parts if part not in (pure.anchor, "..")]
    plain = Path(text) if isinstance(pure, PurePosixPath) else Path(*pure.parts)
    if _is_file(base / plain):
        return base / plain, False
    for n in range(len(parts), 0, -1):
        path = base.joinpath(*parts[-n:])
        if _is_file(path):
            # photos/a.jpg in a folder 'photos' that the user names agrees in two parts
            return path, n == 1 < len(parts) and path.parent.resolve().name != parts[-2]
    return None


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name too long for the system
        return False


def _rows(
    table: pd.DataFrame,
    positions: Sequence[tuple[float, float] | None],
    base: Path,
    path_field: str,
    place_field: str | None,
    labels: Sequence[str] | None,
    name: str,
) -> Rows:
    for one in (*([place_field] if place_field else []), *(labels or ())):
        if one not in table.columns:
            fields = ", ".join(str(column) for column in table.columns[:SHOWN])
            raise InputError(f"{name} has no field '{one}'. Its fields: {fields}.", "Choose one of these.")
    texts = codes_of(table[path_field].to_numpy())
    day_field, direction_field = one_of(table.columns, DAYS), one_of(table.columns, DIRECTIONS)
    kept, paths, gone, by_name, nowhere, empty = [], [], [], [], 0, 0
    for row, (text, where) in enumerate(zip(texts, positions, strict=True)):
        if text is None:
            empty += 1
        elif where is None:
            nowhere += 1
        elif (found := _match(text, base)) is None:
            gone.append(text)
        else:
            kept.append(row)
            paths.append(found[0])
            if found[1]:
                by_name.append(text)
    if not kept:
        raise _nothing(name, len(table), path_field, gone, nowhere, base)
    rows = Rows(paths)
    rows.lon_lat = [where for row in kept if (where := positions[row]) is not None]
    if day_field is None:
        facts = [read_exif(path) for path in paths]
        rows.days = [None if fact is None else fact.day for fact in facts]
    else:
        rows.days = [day_of(value) for value in table[day_field].iloc[kept]]
    rows.directions = (
        [""] * len(kept)
        if direction_field is None
        else [direction_of(value) for value in table[direction_field].iloc[kept]]
    )
    places = codes_of(table[place_field].to_numpy()) if place_field else np.full(len(table), None)
    rows.places = [places[row] for row in kept]
    used = {path_field, place_field, day_field, direction_field}
    used |= {one_of(table.columns, LONGITUDES), one_of(table.columns, LATITUDES)}
    for one in labels if labels is not None else [c for c in table.columns if c not in used]:
        rows.labels[str(one)] = [code or "" for code in codes_of(table[one].iloc[kept].to_numpy())]
    total = len(table)
    if empty:
        rows.notes.append(
            f"{name}: {empty} of {total} rows have no path in '{path_field}' and were left out."
        )
    if nowhere:
        rows.warnings.append(f"{name}: {nowhere} of {total} photos have no position and were left out.")
    if by_name:
        rows.warnings.append(
            f"{name}: {len(by_name)} of {total} photos were found in {base} by their name alone, without the "
            f"folder that was recorded, e.g. {by_name[0]}: check that these are the same photos."
        )
    if gone:
        rows.warnings.append(
            f"{name}: {len(gone)} of {total} photos were not found and left out, e.g. {gone[0]}."
        )
    return rows


def _nothing(name: str, total: int, path_field: str, gone: list[str], nowhere: int, base: Path) -> InputError:
    if gone:
        return InputError(
            f"No photo of {name} was found: of {total} paths in the field '{path_field}' none is a file "
            f"(e.g. {gone[0]}; looked in {base}).",
            "Choose the field with the paths, or the folder in which the photos lie now.",
        )
    if nowhere:
        return InputError(
            f"No photo of {name} has a position ({nowhere} of {total} without).",
            "Photos need a place: give them one in QGIS, or choose another layer.",
        )
    return InputError(f"The field '{path_field}' of {name} is empty in every row.", "Choose another field.")
