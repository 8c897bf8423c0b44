"""Small folders in the layout of the published TimeMatch data."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import zarr

DATES = [20170105, 20170301, 20170620, 20171231]


def facts(
    codes: list[object], sizes: list[int], *, dates: list[int] = DATES, blocks: int = 9
) -> dict[str, object]:
    """What `metadata.pkl` holds, as plain Python."""
    return {
        "start_date": "20170101",
        "end_date": "20171231",
        "dates": list(dates),
        "cloudy_pct": [10.5] * len(dates),
        "parcels": [
            {
                "id": 1000 + i,
                "label": code,
                "n_pixels": size,
                "block": i % blocks,
                "geometric_features": [400.0, 1e4, 0.04, 0.5],
            }
            for i, (code, size) in enumerate(zip(codes, sizes, strict=True))
        ],
    }


def pixels(index: int, size: int, *, dates: int = len(DATES), bands: int = 10) -> npt.NDArray[np.uint16]:
    """(T, C, S) numbers that tell parcel, date, band and pixel."""
    t, c, s = np.meshgrid(np.arange(dates), np.arange(bands), np.arange(size), indexing="ij")
    return (1000 * t + 100 * c + 10 * (index % 10) + s % 10).astype(np.uint16)


def write_array(path: Path, values: npt.NDArray[np.uint16], **options: object) -> None:
    made = {"chunks": values.shape, **options}
    array = zarr.create_array(
        path, shape=values.shape, dtype=values.dtype, zarr_format=2, overwrite=True, **made
    )
    array[:] = values


def write_tile(
    root: Path,
    name: str,
    codes: list[object],
    sizes: list[int] | None = None,
    *,
    dates: list[int] = DATES,
    blocks: int = 9,
) -> Path:
    """A tile with converted facts; `name` is country/tile/year."""
    sizes = sizes or [1 + i % 3 for i in range(len(codes))]
    folder = root / name
    (folder / "meta").mkdir(parents=True)
    (folder / "data").mkdir()
    plain = facts(codes, sizes, dates=dates, blocks=blocks)
    (folder / "meta" / "metadata.json").write_text(json.dumps(plain))
    for index, size in enumerate(sizes):
        write_array(folder / "data" / f"{index}.zarr", pixels(index, size, dates=len(dates)))
    return folder
