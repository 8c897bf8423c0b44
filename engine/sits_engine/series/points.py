"""Points of a vector layer, for profiles."""

from __future__ import annotations

import pyogrio

from sits_engine.errors import InputError
from sits_engine.series.vector_source import VectorSource

_NAMES = ("name", "label", "id", "fid")


def read_points(source: str, crs: str) -> list[tuple[str, float, float]]:
    """(name, x, y) of the points (or centroids) of a layer in another CRS.

    Args:
        source: see `VectorSource`.
        crs: of the result.

    Raises:
        InputError: not found, unreadable, without CRS, empty.
    """
    named = VectorSource.parse(source)
    if not named.path.exists():
        raise InputError(f"Layer of points not found: {named.path}.", "Check PROFILE_POINTS.")
    try:
        frame = pyogrio.read_dataframe(named.path, where=named.where, **named.options)
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(
            f"Layer of points can't be read: {source} ({error}).", "Check PROFILE_POINTS."
        ) from error
    if "geometry" not in frame:
        raise InputError(f"The layer of points has no geometries: {source}.", "Check PROFILE_POINTS.")
    frame = frame[frame.geometry.notna() & ~frame.geometry.is_empty]
    if frame.empty:
        raise InputError(f"The layer of points is empty: {source}.", "Check PROFILE_POINTS.")
    if frame.crs is None:
        raise InputError(f"The layer of points has no CRS: {source}.", "Assign one in QGIS first.")
    frame = frame.to_crs(crs)
    field = next((column for column in frame.columns if column.lower() in _NAMES), None)
    places = frame.geometry.representative_point()
    names = [str(value) for value in frame[field]] if field else [str(n) for n in range(1, len(frame) + 1)]
    return [(name, float(p.x), float(p.y)) for name, p in zip(names, places, strict=True)]
