"""Windows of MTLCC (Germany): Sentinel-2 L1C, 2016 and 2017, 24 x 24 pixels, 17 crops.

A published window is one dictionary: `x10` (T, 24, 24, 4), `x20` (T, 12, 12, 6), `x60` (T, 4, 4, 3) stored
numbers, bands last; `day` (T) days of the year, `year` (T), and `labels`, once or repeated for every date. It
comes as a pickle, which the engine never reads: `tools/convert_windows.py` (not part of the plugin) hands
plain arrays to this module.

Unlike the published loader all dates are kept (it draws random ones, even in tests), and nothing is flipped:
there images and labels are flipped along different axes, so that three of four training windows have wrong
labels.

Source: shared/spec/cscl.md section 8.2; pitfalls.md 3.2 and 3.3.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from sits_engine.errors import InputError
from sits_engine.samples.published_windows import (
    BANDS,
    BANDS_10,
    BANDS_20,
    BANDS_60,
    SCALE,
    array_of,
    days_of_year,
    enlarged,
    window_of,
)
from sits_engine.samples.windows import WindowSet

#: Original ids of the 17 crops in the published order; 0 and all others are unknown.
CODES = (1, 2, 3, 5, 8, 9, 12, 13, 15, 16, 17, 19, 22, 23, 24, 25, 26)
CLASSES = tuple(str(code) for code in CODES)


def read_window(
    sample: Mapping[str, Any], name: str, *, lon_lat: tuple[float, float] | None = None, region: int = 0
) -> WindowSet:
    """One published window as a set of one; positions count from 1 January of the first date's year.

    Args:
        sample: see above.
        name: for messages.
        lon_lat: centre, where it is known.
        region: number to write into the result.

    Raises:
        InputError: something is missing or doesn't fit together.
    """
    groups = []
    height = width = 0
    for key, bands in (("x10", BANDS_10), ("x20", BANDS_20), ("x60", BANDS_60)):
        numbers = array_of(sample, key, name)
        if numbers.ndim != 4 or numbers.shape[-1] != len(bands):
            raise InputError(
                f"'{key}' of {name} has the shape {numbers.shape}; dates, rows, columns and {len(bands)} "
                "bands are expected.",
                "Give files of the published layout.",
            )
        images = numbers.astype(np.float32).transpose(0, 3, 1, 2) * np.float32(SCALE)
        height, width = (height, width) if height else images.shape[-2:]
        groups.append(enlarged(images, height, width))
    positions = days_of_year(array_of(sample, "day", name), name)
    if len({len(group) for group in groups} | {len(positions)}) > 1:
        raise InputError(
            f"{name} has {len(positions)} days and images of {[len(g) for g in groups]} dates.",
            "Get the file again.",
        )
    years = np.broadcast_to(array_of(sample, "year", name).reshape(-1).astype(np.int64), positions.shape)
    first = int(years.min())
    if not 1 <= first <= int(years.max()) <= 9999:
        raise InputError(f"The years of {name} are {sorted(set(years.tolist()))}.", "Get the file again.")
    # a winter's window may reach into the next year
    starts = np.array([_days_between(first, int(year)) for year in years], dtype=np.int32)
    return window_of(
        name,
        np.concatenate(groups, axis=1),
        positions + starts,
        _places(array_of(sample, "labels", name), name, height, width),
        bands=BANDS,
        classes=CLASSES,
        lon_lat=lon_lat,
        region=region,
    )


def _places(raw: npt.NDArray[Any], name: str, height: int, width: int) -> npt.NDArray[np.int16]:
    """(H, W) places in `CODES`; labels come as (H, W), (H, W, 1) or repeated (T, H, W)."""
    labels = raw[..., 0] if raw.shape == (height, width, 1) else raw
    if labels.ndim == 3 and labels.shape[1:] == (height, width):
        if (labels != labels[:1]).any():
            raise InputError(f"The labels of {name} differ between dates.", "Get the file again.")
        labels = labels[0]
    codes = labels.astype(np.int64)
    place = np.searchsorted(CODES, codes).clip(0, len(CODES) - 1)
    return np.where(np.asarray(CODES)[place] == codes, place, -1).astype(np.int16)


def _days_between(first: int, year: int) -> int:
    import datetime

    return (datetime.date(year, 1, 1) - datetime.date(first, 1, 1)).days
