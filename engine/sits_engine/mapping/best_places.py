"""The highest places of a raster, at least some distance apart, in bounded memory."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from affine import Affine
from pyproj import CRS, Transformer
from rasterio.windows import Window as RioWindow

from sits_engine.mapping.space import layer_bytes
from sits_engine.outputs import atomic

#: Side of the blocks that are looked at.
BLOCK = 256
#: Metres of a degree of latitude.
DEGREE = 111_195.0
LAYER = "places"
#: Bytes of a place in its file.
PLACE = 300


@dataclass(frozen=True)
class Place:
    """A pixel and its value."""

    row: int
    col: int
    value: float


def best_places(
    path: Path, k: int, distance: float, tick: Callable[[float], None] = lambda share: None
) -> list[Place]:
    """Up to `k` pixels of band 1: the highest one, the highest one `distance` away from it, and so on.

    Each block waits with its highest value. The highest block is looked at again with the places chosen so
    far left out: if it still has that value, it is the next place. So few blocks are read more than once, and
    the answer is that of a search over all pixels. Of equal values the first one counts, row by row.

    Args:
        path: raster of float32; NaN is nothing.
        k: places wanted.
        distance: metres between any two of them, centre to centre.
        tick: gets 0..1; may raise to stop.
    """
    places: list[Place] = []
    with rasterio.open(path) as image:
        metres = _metres(image.crs, image.transform, image.height)
        corners = [(r, c) for r in range(0, image.height, BLOCK) for c in range(0, image.width, BLOCK)]

        def highest(row: int, col: int) -> Place | None:
            height, width = min(BLOCK, image.height - row), min(BLOCK, image.width - col)
            values = image.read(1, window=RioWindow(col, row, width, height))
            for place in places:
                values[_near(place, row, col, height, width, metres, distance)] = np.nan
            if np.isnan(values).all():
                return None
            at = np.unravel_index(np.nanargmax(values), values.shape)
            return Place(row + int(at[0]), col + int(at[1]), float(values[at]))

        waiting: list[tuple[float, int, int, int, int, int]] = []

        def wait(row: int, col: int) -> None:
            best = highest(row, col)
            if best is not None:
                heapq.heappush(waiting, (-best.value, best.row, best.col, row, col, len(places)))

        for number, (row, col) in enumerate(corners):
            wait(row, col)
            tick(0.8 * (number + 1) / len(corners))
        while waiting and len(places) < k:
            value, row, col, block_row, block_col, known = heapq.heappop(waiting)
            if known < len(places):
                wait(block_row, block_col)
                continue
            places.append(Place(row, col, -value))
            wait(block_row, block_col)
            tick(0.8 + 0.2 * len(places) / k)
    tick(1.0)
    return places


def places_bytes(count: int, query: str) -> float:
    """Bytes that a file of so many places takes, at most; each says what was looked for."""
    return layer_bytes((PLACE + len(query.encode())) * count, 1)


def write_places(
    path: Path, raster: Path, places: list[Place], name: str, facts: dict[str, str] | None = None
) -> None:
    """Write places as points of a GeoPackage: rank (1 is best), their value, longitude and latitude.

    Args:
        path: .gpkg, complete or not at all.
        raster: where they were found: its CRS and pixels.
        places: best first.
        name: of the field with the values.
        facts: further fields that are the same for all places.
    """
    import geopandas as gpd
    import pandas as pd
    import pyogrio
    import shapely

    with rasterio.open(raster) as image:
        transform, crs = image.transform, image.crs
    x, y = transform * _centres(places)
    lon, lat = Transformer.from_crs(crs, "EPSG:4326", always_xy=True).transform(x, y)
    columns: dict[str, Any] = {
        "rank": np.arange(1, len(places) + 1, dtype=np.int32),
        name: np.array([round(place.value, 5) for place in places], float),
        "lon": np.round(lon, 6),
        "lat": np.round(lat, 6),
    }
    for key, value in (facts or {}).items():
        columns[key] = pd.Series([value] * len(places), dtype=object)
    frame = gpd.GeoDataFrame(columns, geometry=shapely.points(x, y), crs=crs)
    with atomic(path) as temporary:
        pyogrio.write_dataframe(
            frame,
            temporary,
            layer=LAYER,
            driver="GPKG",
            geometry_type="Point",
            dataset_options={"VERSION": "1.2"},
        )


def _centres(places: list[Place]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Columns and rows of the middles of pixels."""
    return np.array([p.col + 0.5 for p in places], float), np.array([p.row + 0.5 for p in places], float)


def _metres(crs: Any, transform: Affine, height: int) -> Callable[[float], tuple[float, float]]:
    """Row -> metres of a step down and of a step to the right."""
    system = CRS.from_user_input(crs.to_wkt())
    down, right = np.hypot(transform.b, transform.e), np.hypot(transform.a, transform.d)
    if not system.is_geographic:
        factor = system.axis_info[0].unit_conversion_factor if system.axis_info else 1.0
        return lambda row: (float(down * factor), float(right * factor))
    return lambda row: (
        float(down * DEGREE),
        float(right * DEGREE * np.cos(np.radians(transform.f + (row + 0.5) * transform.e))),
    )


def _near(
    place: Place,
    row: int,
    col: int,
    height: int,
    width: int,
    metres: Callable[[float], tuple[float, float]],
    distance: float,
) -> npt.NDArray[np.bool_]:
    """(H, W) pixels of a block that lie nearer to a place than `distance`, itself included."""
    down, right = metres(place.row)
    y = (np.arange(row, row + height) - place.row) * down
    x = (np.arange(col, col + width) - place.col) * right
    near: npt.NDArray[np.bool_] = np.hypot(y[:, None], x) < max(distance, 1e-9)
    return near
