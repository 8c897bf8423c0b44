"""Small images for tests: written the way that users and providers write them."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.transform import from_origin

UTM31, UTM32 = "EPSG:32631", "EPSG:32632"
DATES = tuple(datetime.date(2019, month, 5) for month in (3, 4, 5, 6, 7))
BANDS = ("B02", "B04", "B08")


def write_image(
    path: Path,
    values: Any,
    names: Sequence[str] | None = BANDS,
    *,
    corner: tuple[float, float] = (600000.0, 5600000.0),
    size: float = 10.0,
    crs: str | None = UTM31,
    nodata: float | None = 0,
    driver: str = "GTiff",
    tags: dict[str, str] | None = None,
    scale: float = 1.0,
    offset: float = 0.0,
    **profile: Any,
) -> Path:
    """Write (C, H, W) as a raster; `corner` is its upper left corner."""
    values = np.asarray(values)
    path.parent.mkdir(parents=True, exist_ok=True)
    options = {
        "driver": driver,
        "count": values.shape[0],
        "height": values.shape[1],
        "width": values.shape[2],
        "dtype": values.dtype.name,
        "crs": crs,
        "transform": from_origin(*corner, size, size),
        "nodata": nodata,
        **profile,
    }
    with rasterio.open(path, "w", **options) as out:
        out.write(values)
        if names is not None:
            out.descriptions = list(names)
        if (scale, offset) != (1.0, 0.0):
            out.scales = [scale] * values.shape[0]
            out.offsets = [offset] * values.shape[0]
        if tags:
            out.update_tags(**tags)
    return path


def ramp(bands: int, height: int, width: int, start: int = 1000, dtype: str = "uint16") -> np.ndarray:
    """(bands, height, width): every pixel of every band has its own number."""
    count = bands * height * width
    return (start + np.arange(count)).reshape(bands, height, width).astype(dtype)


def write_folder(
    folder: Path, dates: Sequence[datetime.date] = DATES, *, height: int = 12, width: int = 16, **options: Any
) -> dict[datetime.date, np.ndarray]:
    """One image a date, named S2_YYYYMMDD.tif; returns what was written."""
    written = {}
    for number, date in enumerate(dates):
        values = ramp(len(BANDS), height, width, start=1000 + 10 * number)
        write_image(folder / f"S2_{date:%Y%m%d}.tif", values, **options)
        written[date] = values
    return written
