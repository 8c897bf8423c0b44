"""Ground photos with positions: from a point layer, a folder of geotagged photos, LUCAS or another table."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from sits_engine.errors import InputError
from sits_engine.samples import photos_lucas, photos_table
from sits_engine.samples.photos_exif import SUFFIXES, read_exif
from sits_engine.samples.photos_places import Rows, centres, group, label_of_places, on_globe
from sits_engine.samples.vectors import VectorSource

#: Endings of tables.
TABLES = frozenset({".csv", ".tsv", ".txt"})
#: Metres within which photos belong to one place unless the user says otherwise: the error of a phone's GPS.
PLACE_DISTANCE = 10.0
#: Metres from the middle of a place from which on a photo hardly belongs to it.
FAR = 500


@dataclass(frozen=True)
class PhotoReading:
    """How a source of photos is read.

    Attributes:
        path_field: field with the paths of the photos; None finds the usual names ('photo', 'file', ...).
        place_field: photos with the same value belong together; None: those near each other.
        place_distance: metres.
        label_fields: fields to keep as labels of the places; None keeps all that are the same for all
            photos of a place (of a LUCAS table: land cover and land use).
        folder: what relative paths refer to, and where LUCAS photos lie; None: the folder of the source.
        directions: only photos of these directions ('N', 'E', 'S', 'W', 'P', 'C'); empty: all.
    """

    path_field: str | None = None
    place_field: str | None = None
    place_distance: float = PLACE_DISTANCE
    label_fields: tuple[str, ...] | None = None
    folder: Path | None = None
    directions: tuple[str, ...] = ()


@dataclass(frozen=True)
class PhotoSet:
    """P photos at N places.

    Attributes:
        paths: P files.
        place: (P,) place of each photo.
        directions: P: 'N', 'E', 'S', 'W', degrees as text, 'P' and 'C' (LUCAS: the point, the cover), or ''.
        taken: P days, None unknown.
        xy: (N, 2) longitude and latitude, WGS 84: the mean of the place's photos.
        ids: (N,) unique names of the places.
        labels: fields of the places, (N,) each, '' unknown.
        notes: sentences with counts.
        warnings: what the user must know: what was left out.
    """

    paths: tuple[Path, ...]
    place: npt.NDArray[np.int64]
    directions: tuple[str, ...]
    taken: tuple[date | None, ...]
    xy: npt.NDArray[np.float64]
    ids: npt.NDArray[np.str_]
    labels: dict[str, npt.NDArray[np.str_]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Number of places."""
        return len(self.xy)

    def subset(self, places: Sequence[int] | npt.NDArray[np.int64] | npt.NDArray[np.bool_]) -> Self:
        """These places (numbers in any order, or a mask) with their photos, numbered anew."""
        chosen = np.arange(len(self))[np.asarray(places)] if len(places) else np.empty(0, np.int64)
        new = np.full(len(self), -1, np.int64)
        new[chosen] = np.arange(len(chosen))
        there = np.flatnonzero(new[self.place] >= 0)
        there = there[np.argsort(new[self.place][there], kind="stable")]
        return self._photos(there, new[self.place][there], chosen)

    def with_photos(self, kept: npt.NDArray[np.int64]) -> Self:
        """Only these photos (e.g. those that could be read), and the places that still have one."""
        left = np.unique(self.place[kept])
        new = np.full(len(self), -1, np.int64)
        new[left] = np.arange(len(left))
        return self._photos(kept, new[self.place[kept]], left)

    def _photos(
        self, photos: npt.NDArray[np.int64], place: npt.NDArray[np.int64], places: npt.NDArray[np.int64]
    ) -> Self:
        return replace(
            self,
            paths=tuple(self.paths[one] for one in photos),
            place=place,
            directions=tuple(self.directions[one] for one in photos),
            taken=tuple(self.taken[one] for one in photos),
            xy=self.xy[places],
            ids=self.ids[places],
            labels={name: values[places] for name, values in self.labels.items()},
        )


def read_photos(source: str, options: PhotoReading = PhotoReading()) -> PhotoSet:
    """Photos, where they were taken, and which belong together.

    Args:
        source: a point layer with a field of file paths (QGIS's "Import geotagged photos" writes one), a
            folder of geotagged photos, a LUCAS table, or any CSV table with paths, longitude and latitude.
        options: see there.

    Raises:
        InputError: nothing there, no CRS, no points, a field is missing (lists those there are), no photo has
            a position, or no photo was found.
    """
    path = VectorSource.parse(source).path
    if path.is_dir() and path.suffix.lower() not in (".gdb", ".zarr"):
        rows, name = _folder(path), str(path)
    elif not path.exists():
        raise InputError(f"Photos not found: {path}.", "Check the path of the layer, table or folder.")
    elif path.suffix.lower() in TABLES:
        wanted = {"path_field": options.path_field, "place_field": options.place_field}
        base = options.folder or path.parent
        if photos_lucas.is_lucas(path) and options.path_field is None:
            rows = photos_lucas.read(path, base, options.label_fields, options.directions)
        else:
            rows = photos_table.read_csv(path, base, labels=options.label_fields, **wanted)
        name = path.name
    else:
        rows = photos_table.read_layer(
            source,
            options.folder or path.parent,
            path_field=options.path_field,
            place_field=options.place_field,
            labels=options.label_fields,
        )
        name = VectorSource.parse(source).name
    if options.directions:
        rows = _of_directions(rows, options.directions, name)
    return _assembled(rows, options, name)


def _of_directions(rows: Rows, directions: Sequence[str], name: str) -> Rows:
    kept = [row for row, direction in enumerate(rows.directions) if direction in directions]
    if not kept:
        found = ", ".join(sorted(set(rows.directions) - {""})) or "none"
        raise InputError(
            f"No photo of {name} looks {' or '.join(directions)}; its directions: {found}.",
            "Choose others, or none to take all.",
        )
    return rows.take(kept)


def _assembled(rows: Rows, options: PhotoReading, name: str) -> PhotoSet:
    place = group(rows, options.place_distance)
    lon_lat = np.array(rows.lon_lat, dtype=np.float64)
    xy = centres(lon_lat, place)
    notes = [*rows.notes, f"{name}: {len(rows.paths)} photos at {len(xy)} places."]
    labels = {}
    for label, values in rows.labels.items():
        chosen, different = label_of_places(values, place)
        if different and options.label_fields is None:
            continue  # a field of the photos, not of the places
        if different:
            notes.append(
                f"{name}: at {different} places the photos differ in '{label}'; the most frequent is used."
            )
        labels[label] = chosen
    first = np.unique(place, return_index=True)[1]
    named = [rows.places[row] for row in first]
    unnamed = "unnamed " if any(named) else ""
    ids = [f"{unnamed}{number + 1}" if one is None else one for number, one in enumerate(named)]
    warnings = [*rows.warnings, *_wide(lon_lat, xy, place, ids, name)]
    return PhotoSet(
        tuple(rows.paths),
        place,
        tuple(rows.directions),
        tuple(rows.days),
        xy,
        np.array(ids, dtype=np.str_),
        labels,
        tuple(notes),
        tuple(warnings),
    )


def _wide(
    lon_lat: npt.NDArray[np.float64],
    xy: npt.NDArray[np.float64],
    place: npt.NDArray[np.int64],
    ids: Sequence[str],
    name: str,
) -> list[str]:
    """A warning where the photos of a place lie far from each other: the wrong field names the places."""
    away = np.linalg.norm(on_globe(lon_lat) - on_globe(xy)[place], axis=1)
    far = np.unique(place[away > FAR])
    if not len(far):
        return []
    return [
        f"{name}: at {len(far)} of {len(xy)} places photos lie more than {FAR} m from the middle, e.g. at "
        f"'{ids[far[0]]}': check the field that names the places."
    ]


def _folder(folder: Path) -> Rows:
    """Geotagged photos of a folder and the folders in it."""
    paths = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.is_file()
    )
    if not paths:
        endings = ", ".join(sorted(SUFFIXES))
        raise InputError(f"The folder {folder} holds no photos ({endings}).", "Choose another folder.")
    with ThreadPoolExecutor(4) as pool:
        facts = list(pool.map(read_exif, paths))
    rows, without = Rows(), []
    for path, fact in zip(paths, facts, strict=True):
        if fact is None or fact.lon_lat is None:
            without.append(path)
            continue
        rows.paths.append(path)
        rows.lon_lat.append(fact.lon_lat)
        rows.days.append(fact.day)
        rows.directions.append(fact.direction)
        rows.places.append(None)
    if not rows.paths:
        raise InputError(
            f"None of the {len(paths)} photos in {folder} has a position in its EXIF data "
            f"(e.g. {without[0].name}).",
            "Give a point layer with a field of file paths, or photos of a camera that writes positions.",
        )
    if without:
        rows.warnings.append(
            f"{len(without)} of {len(paths)} photos in {folder} have no position in their EXIF data and were "
            f"left out, e.g. {without[0].name}."
        )
    return rows
