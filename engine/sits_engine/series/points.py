"""Points of a vector layer, for profiles."""

from __future__ import annotations

from pathlib import Path

import geopandas

from sits_engine.errors import InputError

_NAMES = ("name", "label", "id", "fid")


def read_points(source: str, crs: str) -> list[tuple[str, float, float]]:
    """(name, x, y) of the points (or centroids) of a layer in another CRS.

    Args:
        source: path, or 'path|layername=NAME'.
        crs: of the result.

    Raises:
        InputError: not found, unreadable, without CRS, empty.
    """
    path, _, rest = source.partition("|layername=")
    layer = rest.split("|")[0] or None
    if not Path(path).exists():
        raise InputError(f"Layer of points not found: {path}.", "Check PROFILE_POINTS.")
    try:
        frame = geopandas.read_file(path, layer=layer) if layer else geopandas.read_file(path)
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(
            f"Layer of points can't be read: {source} ({error}).", "Check PROFILE_POINTS."
        ) from error
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
