"""Windows of T31TFM-1618 (France): Sentinel-2 L1C of tile T31TFM, 2016 to 2018, 48 x 48 pixels.

A published window is one dictionary: an array (T, h, w) of stored numbers for each band B01 .. B12, B8A in
its own resolution (48, 24 or 8 pixels a side), `doy` (T) days of the year, `labels`, `ids`, the masks
`full_ass` and `part_ass`, and `ratios`; labels of a finer grid have names that end with `_x2` or `_x4`. It
comes as a pickle, which the engine never reads: `tools/convert_windows.py` (not part of the plugin) hands
plain arrays to this module.

Unlike the published loader all dates are kept (`dates.thinned` chooses evenly over the year), and nothing is
flipped.

Source: shared/spec/cscl.md sections 6, 8.1 and 10; pitfalls.md 3.4 and 3.17.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from sits_engine.errors import InputError
from sits_engine.samples.published_windows import (
    BANDS,
    SCALE,
    array_of,
    days_of_year,
    enlarged,
    window_of,
)
from sits_engine.samples.windows import WindowSet

#: Raw codes of the 20 classes that are kept, in the published order; all others are unknown.
CODES = (1, 2, 3, 6, 7, 8, 9, 10, 11, 12, 13, 14, 20, 25, 33, 34, 35, 36, 48, 73)
#: Entries that a sample may lack.
OPTIONAL = ("ids", "ratios")
CLASSES = tuple(str(code) for code in CODES)


def read_window(
    sample: Mapping[str, Any],
    name: str,
    *,
    scale: int = 1,
    lon_lat: tuple[float, float] | None = None,
    region: int = 0,
) -> WindowSet:
    """One published window as a set of one.

    Pixels that belong to several parcels, fully or partly, are unknown, as published.

    Args:
        sample: see above.
        name: for messages.
        scale: 2 or 4 take the finer labels.
        lon_lat: centre, where it is known.
        region: number to write into the result.

    Raises:
        InputError: something is missing or doesn't fit together.
    """
    ending = "" if scale == 1 else f"_x{scale}"
    numbers = [array_of(sample, band, name) for band in BANDS]
    if any(n.ndim != 3 or len(n) != len(numbers[0]) for n in numbers):
        raise InputError(
            f"The bands of {name} have the shapes {sorted({n.shape for n in numbers})}; (dates, rows, "
            "columns) with as many dates in all are expected.",
            "Get the file again.",
        )
    height, width = numbers[0].shape[-2:]
    images = np.stack(
        [enlarged(n.astype(np.float32) * np.float32(SCALE), height, width) for n in numbers], axis=1
    )
    truth = {
        key: array_of(sample, f"{key}{ending}", name)
        for key in ("labels", "full_ass", "part_ass", "ids", "ratios")
        if key not in OPTIONAL or f"{key}{ending}" in sample
    }
    wrong = {
        key: array.shape for key, array in truth.items() if array.shape != (height * scale, width * scale)
    }
    if wrong:
        raise InputError(
            f"{name} doesn't fit together: images of {height} x {width} pixels, scale {scale}, and {wrong}.",
            "Get the file again.",
        )
    labels = _places(truth["labels"])
    full, part = truth["full_ass"] != 0, truth["part_ass"] != 0
    labels[full | part] = -1
    return window_of(
        name,
        images,
        days_of_year(array_of(sample, "doy", name), name),
        labels,
        bands=BANDS,
        classes=CLASSES,
        scale=scale,
        parcels=_small(truth["ids"]) if "ids" in truth else None,
        mixed=np.where(full, 2, np.where(part, 1, 0)).astype(np.uint8),
        covered=truth["ratios"].astype(np.float32) if "ratios" in truth else None,
        lon_lat=lon_lat,
        region=region,
    )


def _places(raw: npt.NDArray[Any]) -> npt.NDArray[np.int16]:
    """Places of raw codes in `CODES`, -1 for all others."""
    codes = np.asarray(raw).astype(np.int64)
    place = np.searchsorted(CODES, codes).clip(0, len(CODES) - 1)
    return np.where(np.asarray(CODES)[place] == codes, place, -1).astype(np.int16)


def _small(ids: npt.NDArray[Any]) -> npt.NDArray[np.int32]:
    """Parcel ids as numbers from 1: national ids don't fit into 32 bits."""
    _, place = np.unique(ids, return_inverse=True)
    return np.asarray(place, dtype=np.int32).reshape(ids.shape) + 1
