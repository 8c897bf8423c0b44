"""Reading vector layers: labelled parcels and points, repaired, in any CRS."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sits_engine.errors import InputError
from sits_engine.series.types import Grid
from sits_engine.series.vector_source import VectorSource as VectorSource

if TYPE_CHECKING:
    import geopandas as gpd

#: Fields named in an error message at most.
SHOWN = 30


@dataclass
class Labelled:
    """Geometries with a label each, as read; `notes` says what was dropped or repaired, with counts.

    Attributes:
        frame: columns `id` (str), `code` (str), `geometry`; all rows have all three.
        name: file and layer, for messages.
        notes: sentences with counts.
    """

    frame: gpd.GeoDataFrame
    name: str
    notes: list[str] = field(default_factory=list)


def field_names(text: str) -> list[str]:
    """Names of the fields of a vector layer that can be read."""
    import pyogrio

    source = VectorSource.parse(text)
    return [str(name) for name in pyogrio.read_info(source.path, **source.options)["fields"]]


def read_vector(text: str, *, columns: Sequence[str] | None = None) -> gpd.GeoDataFrame:
    """Read a vector layer with at least one feature and a CRS.

    Args:
        text: see `VectorSource`.
        columns: fields that must be there (only these are read); None reads all.

    Raises:
        InputError: file or layer missing, unreadable, empty, without CRS, or without one of the fields.
    """
    import pyogrio

    source = VectorSource.parse(text)
    if not source.path.exists():
        raise InputError(f"Vector layer not found: {source.path}.", "Check the path.")
    options = source.options
    try:
        present = [str(name) for name in pyogrio.read_info(source.path, **options)["fields"]]
        for name in columns or ():
            if name not in present:
                shown = ", ".join(present[:SHOWN]) or "none"
                raise InputError(
                    f"The layer {source.name} has no field '{name}'. Its fields: {shown}.",
                    "Choose one of these.",
                )
        frame = pyogrio.read_dataframe(
            source.path,
            columns=None if columns is None else list(columns),
            where=source.where,
            **options,
        )
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError, ValueError) as error:
        raise InputError(
            f"The vector layer {source.name} can't be read: {error}.",
            "Open it in QGIS to see whether it is intact, and export it as GeoPackage if need be.",
        ) from error
    if len(frame) == 0:
        reason = "its filter leaves no feature" if source.where else "it has no features"
        raise InputError(
            f"The layer {source.name} is empty: {reason}.",
            "Choose another layer, or change the selection or the filter.",
        )
    if not hasattr(frame, "crs") or "geometry" not in frame:
        raise InputError(
            f"The layer {source.name} is a table without geometries.", "Choose a layer of polygons or points."
        )
    if frame.crs is None:
        raise InputError(
            f"The layer {source.name} has no coordinate reference system.",
            "Set it in QGIS (Layer properties, Source) and export the layer.",
        )
    return frame


def repaired(frame: gpd.GeoDataFrame) -> tuple[gpd.GeoDataFrame, int]:
    """The features with valid geometries of the same kind, and how many had to be repaired."""
    import shapely

    bad = ~frame.geometry.is_valid
    if not bad.any():
        return frame, 0
    frame = frame.copy()
    fixed = shapely.make_valid(frame.geometry[bad].to_numpy())
    # a repaired polygon may come with the line where it touched itself: only its area is meant
    polygons = shapely.get_dimensions(frame.geometry[bad].to_numpy()) == 2
    fixed = np.array(
        [_areas(g) if polygon else g for g, polygon in zip(fixed, polygons, strict=True)], dtype=object
    )
    frame.loc[bad, "geometry"] = fixed
    return frame, int(bad.sum())


def _areas(geometry: Any) -> Any:
    import shapely

    if geometry.geom_type != "GeometryCollection":
        return geometry
    return shapely.union_all([g for g in geometry.geoms if shapely.get_dimensions(g) == 2])


def codes_of(values: Sequence[Any] | npt.NDArray[Any]) -> npt.NDArray[np.object_]:
    """Field values as text: 3.0 and 3 are '3', spaces around are cut, null and '' are None."""
    import pandas as pd

    out: list[str | None] = []
    for value in values:
        if (
            value is None
            or value is pd.NA
            or value is pd.NaT
            or (isinstance(value, float) and value != value)
        ):
            out.append(None)
            continue
        if isinstance(value, (float, np.floating)) and float(value).is_integer():
            value = int(value)
        out.append(str(value).strip() or None)
    return np.array(out, dtype=object)


def read_labelled(text: str, label_field: str, id_field: str | None = None) -> Labelled:
    """Read polygons or points with a class field.

    Multi-part features stay one parcel. Features without geometry or label are dropped, invalid
    polygons are repaired; both are counted in the notes.

    Raises:
        InputError: as `read_vector`; a line layer; or no feature has both a label and a geometry.
    """
    return _read(text, label_field, id_field, keep_unlabelled=False)


def read_features(text: str, label_field: str | None = None, id_field: str | None = None) -> Labelled:
    """Read polygons or points whose label needn't be known: `code` is null where it isn't.

    As `read_labelled` otherwise.
    """
    return _read(text, label_field, id_field, keep_unlabelled=True)


def _read(text: str, label_field: str | None, id_field: str | None, *, keep_unlabelled: bool) -> Labelled:
    import geopandas as gpd
    import shapely

    name = VectorSource.parse(text).name
    frame = read_vector(text, columns=list(dict.fromkeys(c for c in (label_field, id_field) if c)))
    notes = []
    geometries = frame.geometry.to_numpy()
    empty = shapely.is_missing(geometries) | shapely.is_empty(geometries)
    if empty.all():
        raise InputError(f"No feature of {name} has a geometry.", "Choose another layer.")
    codes = (
        codes_of(frame[label_field].to_numpy()) if label_field else np.full(len(frame), None, dtype=object)
    )
    null = np.array([code is None for code in codes]) & ~empty
    if label_field and (null | empty).all():
        raise InputError(
            f"The field '{label_field}' of {name} is empty for every feature.",
            "Fill it in (the crop that is really there, in the attribute table of QGIS), or choose another "
            "field.",
        )
    if empty.any():
        notes.append(f"{name}: {int(empty.sum())} features without geometry were dropped.")
    if keep_unlabelled:
        null[:] = False
    if null.any():
        notes.append(
            f"{name}: {int(null.sum())} of {len(frame)} features have no value in '{label_field}' "
            "and were dropped."
        )
    keep = ~(empty | null)
    lines = shapely.get_dimensions(geometries[keep]) == 1
    if lines.any():
        raise InputError(
            f"The layer {name} holds lines ({int(lines.sum())} features).", "Choose polygons or points."
        )
    ids = codes_of(frame[id_field].to_numpy()) if id_field else np.arange(1, len(frame) + 1).astype(str)
    ids = np.array([i if i is not None else f"row {n + 1}" for n, i in enumerate(ids)], dtype=object)
    chosen = gpd.GeoDataFrame(
        {"id": ids[keep], "code": codes[keep]}, geometry=geometries[keep], crs=frame.crs
    )
    chosen, fixed = repaired(chosen)
    if fixed:
        notes.append(f"{name}: {fixed} invalid polygons were repaired.")
    gone = shapely.is_empty(chosen.geometry.to_numpy())
    if gone.any():
        notes.append(f"{name}: {int(gone.sum())} polygons without area were dropped.")
        chosen = chosen[~gone]
    return Labelled(chosen.reset_index(drop=True), name, notes)


def on_grid(labelled: Labelled, grid: Grid, series_name: str, *, kind: str = "parcels") -> Labelled:
    """The features in the grid's CRS, without those that lie outside of it (counted).

    Args:
        labelled: in any CRS.
        grid: of the images.
        series_name: for messages, and
        kind: what the features are.

    Raises:
        InputError: nothing overlaps; names both extents and CRS.
    """
    import pyproj
    import shapely

    frame = labelled.frame
    own, crs = frame.crs, pyproj.CRS.from_user_input(grid.crs)
    bounds = tuple(float(v) for v in frame.total_bounds)
    moved = frame if own == crs else frame.to_crs(crs)
    geometries = moved.geometry.to_numpy()
    inside = shapely.intersects(geometries, shapely.box(*grid.bounds))
    if not inside.any():
        there = moved.total_bounds
        also = "" if own == crs else f", that is {_extent(there)} in the CRS of the images"
        raise InputError(
            f"The {kind} of {labelled.name} don't overlap the images of {series_name}. {kind.capitalize()}: "
            f"{_extent(bounds)} ({_crs_name(own)}){also}; images: {_extent(grid.bounds)} ({_crs_name(crs)}).",
            "Choose layers of the same place, or correct the CRS of the one that is wrong.",
        )
    notes = list(labelled.notes)
    if not inside.all():
        notes.append(
            f"{labelled.name}: {int((~inside).sum())} of {len(frame)} features lie outside the images "
            f"of {series_name} and were dropped."
        )
    return Labelled(moved[inside].reset_index(drop=True), labelled.name, notes)


def lon_lat(frame: gpd.GeoDataFrame) -> npt.NDArray[np.float64]:
    """(N, 2) longitude and latitude of the centroids."""
    import shapely

    if len(frame) == 0:
        return np.empty((0, 2))
    centres = shapely.centroid(frame.geometry.to_numpy())
    moved = type(frame.geometry)(centres, crs=frame.crs).to_crs("EPSG:4326").to_numpy()
    return np.column_stack([shapely.get_x(moved), shapely.get_y(moved)])


def _extent(bounds: Sequence[float] | npt.NDArray[np.float64]) -> str:
    west, south, east, north = (f"{value:.6g}" if abs(value) < 1000 else f"{value:.0f}" for value in bounds)
    return f"x {west} to {east}, y {south} to {north}"


def _crs_name(crs: Any) -> str:
    authority = crs.to_authority()
    return f"{authority[0]}:{authority[1]}" if authority else str(crs.name)
