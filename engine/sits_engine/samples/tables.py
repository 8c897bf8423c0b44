"""Labelled series in tables: one row for each place and date, one column for each band."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sits_engine.errors import InputError
from sits_engine.samples.pixel_sets import PixelSets, offsets_of
from sits_engine.samples.vectors import VectorSource, codes_of, lon_lat, read_vector
from sits_engine.series.bands import INDICES, canonical, is_spectral, match
from sits_engine.series.dates import MIN_DATES

if TYPE_CHECKING:
    import pandas as pd

ID_NAMES = ("id", "sample_id", "parcel_id", "point_id", "fid", "field_id", "uid", "series_id")
DATE_NAMES = ("date", "time", "datetime", "timestamp", "day", "acquisition_date", "index")
LON_NAMES, LAT_NAMES = ("longitude", "lon", "lng", "x"), ("latitude", "lat", "y")
#: Larger values than this in a reflectance or index column mean that it is multiplied by 10,000.
UNIT_LIMIT = 2.0
#: … if they are at least so large; between the two limits nobody can tell.
SCALED_LIMIT = 200.0


@dataclass(frozen=True)
class TableOptions:
    """How to read a table of labelled series.

    Attributes:
        field: column with the label; '' where there is none (with `keep_unlabelled`).
        labels_table: table or vector layer that holds the label, joined by the id; '' if the series
            table has it itself.
        id_field: column that names the place, in both tables; None looks for the usual names.
        bands: columns to use, in any usual spelling; None takes all numeric spectral columns.
        scale: physical value = column * scale; None detects it (0..1, or times 10,000) and says so.
        keep_unlabelled: series without a label are kept with the label -1 instead of dropped.
    """

    field: str
    labels_table: str = ""
    id_field: str | None = None
    bands: Sequence[str] | None = None
    scale: float | None = None
    keep_unlabelled: bool = False


def read_labelled_series(
    path: Path, options: TableOptions, *, region: int = 0
) -> tuple[PixelSets, list[str]]:
    """Read series from CSV, CSV.gz or Parquet; each place becomes a set of one pixel.

    The season year of each series is the year of its own median date, so that series of different
    years lie on top of each other.

    Returns:
        The sets (`classes` = sorted label codes) and sentences on what was done, with counts.

    Raises:
        InputError: names the file, the column and what to do.
    """
    frame = read_table(path)
    notes: list[str] = []
    id_name = _column(frame, options.id_field, ID_NAMES, "id", path.name)
    date_name = _column(frame, None, DATE_NAMES, "date", path.name)
    bands = band_columns(frame, options, path.name)
    ids = codes_of(frame[id_name].to_numpy())
    days = _days(frame[date_name], path.name, date_name)
    usable = np.array([i is not None for i in ids]) & ~np.isnat(days)
    if not usable.all():
        notes.append(f"{path.name}: {int((~usable).sum())} rows without id or date were dropped.")
    labels_of, places = _labels(frame, ids, options, id_name, path)
    labelled = np.array([options.keep_unlabelled or i in labels_of for i in ids]) & usable
    without = len(set(ids[usable])) - len(set(ids[labelled]))
    if without:
        notes.append(f"{path.name}: {without} series without a label were dropped.")
    if not usable.any():
        raise InputError(
            f"No row of {path.name} has both an id and a date.", "Give one row for each place and date."
        )
    if not labelled.any():
        where = VectorSource.parse(options.labels_table).name if options.labels_table else path.name
        raise InputError(
            f"No series of {path.name} has a label in '{options.field}' of {where}; ids look like "
            f"'{ids[0]}' and '{next(iter(labels_of), 'nothing')}'.",
            "Choose the column that joins the two tables (ID_FIELD).",
        )
    frame, ids, days = frame[labelled], ids[labelled], days[labelled]
    values = frame[bands].to_numpy(dtype=np.float64)
    scales = _scales(values, bands, options.scale, path.name, notes)
    sets = _assemble(values * scales, ids, days, labels_of, places, bands, region, path.name)
    short = sets.valid.sum(axis=1) < MIN_DATES
    if short.all():
        raise InputError(
            f"No series of {path.name} has {MIN_DATES} dates with values.",
            "Give one row for each place and date.",
        )
    if short.any():
        notes.append(
            f"{path.name}: {int(short.sum())} series with fewer than {MIN_DATES} dates were dropped."
        )
        sets = sets.subset(~short)
    return sets, notes


def season_year_of(path: Path) -> int:
    """Year of the median date of a table: the season year that a model made from it alone is given."""
    frame = read_table(path)
    date_name = _column(frame, None, DATE_NAMES, "date", path.name)
    days = _days(frame[date_name], path.name, date_name)
    middle = np.sort(days[~np.isnat(days)])
    return int(str(middle[len(middle) // 2])[:4]) if len(middle) else 1970


def read_table(path: Path) -> pd.DataFrame:
    """A table from CSV (plain or gzip; `,` or `;`) or Parquet.

    Raises:
        InputError: not there, unreadable, or empty.
    """
    import pandas as pd

    if not path.exists():
        raise InputError(f"Table not found: {path}.", "Check the path.")
    try:
        if path.suffix.lower() in (".parquet", ".pq", ".geoparquet"):
            frame = pd.read_parquet(path)
        else:
            with_semicolon = pd.read_csv(path, nrows=0, sep=";").shape[1] > 1
            frame = pd.read_csv(path, sep=";" if with_semicolon else ",", low_memory=False)
    except (ValueError, OSError, EOFError, pd.errors.ParserError) as error:
        raise InputError(
            f"The table {path.name} can't be read: {error}.",
            "Give a CSV file in UTF-8, plain or .gz, or Parquet.",
        ) from error
    frame.columns = [str(name).strip() for name in frame.columns]
    if frame.empty:
        raise InputError(f"The table {path.name} has no rows.", "Choose another file.")
    return frame


def band_columns(frame: pd.DataFrame, options: TableOptions, name: str) -> list[str]:
    """Columns of a long table that are bands: the wanted ones, else all numeric spectral ones."""
    taken = {
        _column(frame, options.id_field, ID_NAMES, "id", name),
        _column(frame, None, DATE_NAMES, "date", name),
        options.field,
    }
    return _band_columns(frame, taken, options.bands, name)


def _column(frame: pd.DataFrame, wanted: str | None, usual: Sequence[str], what: str, name: str) -> str:
    by_lower = {column.lower(): column for column in frame.columns}
    candidates = [wanted] if wanted else list(usual)
    for candidate in candidates:
        if candidate.lower() in by_lower:
            return str(by_lower[candidate.lower()])
    shown = ", ".join(list(frame.columns)[:12]) + (" …" if frame.shape[1] > 12 else "")
    if what == "date":
        raise InputError(
            f"The table {name} has no column with dates ({', '.join(usual[:3])}); it has: {shown}.",
            "It must be long: one row for each place and date. A wide table (one column a date) has to be "
            "melted first.",
        )
    raise InputError(
        f"The table {name} has no {what} column '{wanted or usual[0]}'; it has: {shown}.",
        "Name the column in ID_FIELD.",
    )


def _band_columns(frame: pd.DataFrame, taken: set[str], wanted: Sequence[str] | None, name: str) -> list[str]:
    import pandas as pd

    numeric = [c for c in frame.columns if c not in taken and pd.api.types.is_numeric_dtype(frame[c])]
    if wanted:
        found, missing = match(numeric, wanted)
        if missing:
            raise InputError(
                f"The table {name} has no band {', '.join(missing)}; its numeric columns: "
                f"{', '.join(numeric)}.",
                "Correct BANDS, or choose another table.",
            )
        return found
    place = {*LON_NAMES, *LAT_NAMES, "doy", "year", "month", "day"}
    bands = [c for c in numeric if is_spectral(c) and c.lower() not in place]
    if not bands:
        raise InputError(
            f"The table {name} has no numeric column for a band; it has: {', '.join(frame.columns)}.",
            "It needs one column for each band, e.g. B04, B08 or ndvi.",
        )
    return bands


def _days(column: pd.Series[Any], name: str, date_name: str) -> npt.NDArray[np.datetime64]:
    import pandas as pd

    try:
        text = column.astype(str) if pd.api.types.is_integer_dtype(column) else column
        return np.asarray(pd.to_datetime(text, format="ISO8601"), dtype="datetime64[D]")
    except (ValueError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"The column '{date_name}' of {name} holds values that are no dates: {reason}.",
            "Write dates as 2019-04-01.",
        ) from error


def _labels(
    frame: pd.DataFrame, ids: npt.NDArray[np.object_], options: TableOptions, id_name: str, path: Path
) -> tuple[dict[str, str], dict[str, tuple[float, float]]]:
    """Label and place (longitude, latitude) of each id."""
    name, own = path.name, ids
    if options.labels_table:
        source = VectorSource.parse(options.labels_table)
        name = source.name
        tabular = source.path.name.lower().endswith((".csv", ".csv.gz", ".txt", ".parquet", ".pq"))
        frame = read_table(source.path) if tabular else read_vector(options.labels_table)
        key = _column(frame, options.id_field or id_name, ID_NAMES, "id", name)
        own = codes_of(frame[key].to_numpy())
    if not options.field:
        return {}, _places(frame, own)
    if options.field not in frame.columns:
        raise InputError(
            f"The table {name} has no column '{options.field}' with the label; it has: "
            f"{', '.join(str(c) for c in frame.columns[:30])}.",
            "Name the column in FIELD, or give the table that holds the labels (LABELS_TABLE).",
        )
    labels: dict[str, str] = {}
    for i, code in zip(own, codes_of(frame[options.field].to_numpy()), strict=True):
        if i is None or code is None:
            continue
        if labels.setdefault(i, code) != code:
            raise InputError(
                f"{name} gives id '{i}' the labels '{labels[i]}' and '{code}'.", "Keep one label for each id."
            )
    return labels, _places(frame, own)


def _places(frame: Any, ids: npt.NDArray[np.object_]) -> dict[str, tuple[float, float]]:
    if hasattr(frame, "crs") and "geometry" in frame:
        xy = lon_lat(frame)
    else:
        by_lower = {str(c).lower(): c for c in frame.columns}
        lon = next((by_lower[n] for n in LON_NAMES if n in by_lower), None)
        lat = next((by_lower[n] for n in LAT_NAMES if n in by_lower), None)
        if lon is None or lat is None:
            return {}
        xy = frame[[lon, lat]].to_numpy(dtype=np.float64)
        if np.nanmax(np.abs(xy), initial=0) > 360:
            return {}  # projected coordinates of an unknown system
    return {i: (float(x), float(y)) for i, (x, y) in zip(ids, xy, strict=True) if i is not None}


def _scales(
    values: npt.NDArray[np.float64], bands: list[str], given: float | None, name: str, notes: list[str]
) -> npt.NDArray[np.float64]:
    """(C,) factor to physical units; reflectances are judged together, as are indices."""
    if given is not None:
        return np.full(len(bands), given)
    scales = np.ones(len(bands))
    index = np.array([canonical(b) in INDICES for b in bands])
    for group, what in ((~index, "reflectance"), (index, "index")):
        if not group.any():
            continue
        # cirrus and other dark bands are small in any scale: the brightest band decides
        high = float(np.nanmax(np.nanpercentile(np.abs(values[:, group]), 99, axis=0)))
        listed = ", ".join(np.array(bands)[group])
        if high > SCALED_LIMIT:
            scales[group] = 1e-4
            notes.append(f"{name}: {what} values ({listed}) reach {high:.0f}: taken as times 10,000.")
        elif high > UNIT_LIMIT:
            raise InputError(
                f"The scale of {listed} in {name} isn't clear: values reach {high:.3g}, neither 0 to 1 nor "
                "0 to 10,000.",
                "State it in SERIES_SCALE (physical value = number * scale), e.g. 0.01.",
            )
    return scales


def _assemble(
    values: npt.NDArray[np.float64],
    ids: npt.NDArray[np.object_],
    days: npt.NDArray[np.datetime64],
    labels_of: dict[str, str],
    places: dict[str, tuple[float, float]],
    bands: list[str],
    region: int,
    name: str,
) -> PixelSets:
    """Rows sorted into (N, T) and padded at the end."""
    unique, first, number = np.unique(ids.astype(str), return_index=True, return_inverse=True)
    # places keep the order of the file, so that a split doesn't depend on how ids sort as text
    order_of = np.empty(len(unique), dtype=np.int64)
    order_of[np.argsort(first)] = np.arange(len(unique))
    number = order_of[number]
    unique = unique[np.argsort(first)]
    order = np.lexsort((days, number))
    number, days, values = number[order], days[order], values[order]
    again = np.asarray((number[1:] == number[:-1]) & (days[1:] == days[:-1]))
    twice = np.flatnonzero(again)
    if len(twice):
        raise InputError(
            f"{name} has two rows for id '{unique[number[twice[0]]]}' and date {days[twice[0]]} "
            f"({len(twice)} such pairs).",
            "Keep one row for each place and date (several pixels of a place need ids of their own).",
        )
    counts = np.bincount(number)
    start = np.concatenate([[0], np.cumsum(counts)[:-1]])
    place_in_row = np.arange(len(number)) - start[number]
    n, dates = len(unique), int(counts.max())
    cube = np.zeros((n, dates, len(bands)), dtype=np.float32)
    valid = np.zeros((n, dates), dtype=bool)
    finite = np.asarray(np.isfinite(values).all(axis=1))
    cube[number, place_in_row] = np.where(finite[:, None], values, 0)
    valid[number, place_in_row] = finite
    year = days[start + counts // 2].astype("datetime64[Y]").astype("datetime64[D]")
    positions = np.zeros((n, dates), dtype=np.int32)
    positions[number, place_in_row] = (days - year[number]).astype(np.int32)
    last = positions[np.arange(n), counts - 1]
    positions = np.where(np.arange(dates) < counts[:, None], positions, last[:, None]).astype(np.int32)
    classes = sorted({labels_of[i] for i in unique if i in labels_of})
    number_of = {code: k for k, code in enumerate(classes)}
    labels = np.array([number_of[labels_of[i]] if i in labels_of else -1 for i in unique])
    xy = np.array([places.get(i, (np.nan, np.nan)) for i in unique], dtype=np.float64)
    return PixelSets(
        bands=tuple(canonical(b) for b in bands),
        values=cube,
        valid=valid,
        offsets=offsets_of(np.ones(n, dtype=np.int64)),
        positions=positions,
        labels=labels.astype(np.int64),
        classes=tuple(classes),
        ids=unique.astype(np.str_),
        xy=xy.reshape(n, 2),
        region=np.full(n, region, dtype=np.int16),
        blocks=np.full(n, -1, dtype=np.int64),
    )
