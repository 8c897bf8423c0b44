"""What the readers of published windows have in common: resampling, checks, one window at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from sits_engine.errors import InputError
from sits_engine.samples.windows import WindowSet

#: Reflectance = stored number * SCALE.
SCALE = 1e-4
#: Bands of T31TFM-1618 and MTLCC in the published order, by their resolution in metres.
BANDS_10 = ("B04", "B03", "B02", "B08")
BANDS_20 = ("B05", "B06", "B07", "B8A", "B11", "B12")
BANDS_60 = ("B01", "B09", "B10")
BANDS = (*BANDS_10, *BANDS_20, *BANDS_60)


def array_of(sample: Mapping[str, Any], key: str, name: str) -> npt.NDArray[Any]:
    """An entry of a sample as an array of numbers.

    Raises:
        InputError: it is missing or holds something else.
    """
    if key not in sample:
        raise InputError(
            f"{name} has no '{key}'. It has: {', '.join(map(str, sample)) or 'nothing'}.",
            "Give files of the published layout.",
        )
    try:
        array = np.asarray(sample[key])
    except ValueError as error:  # lists of unequal length
        raise InputError(f"'{key}' of {name} is no array: {error}.", "Get the file again.") from error
    if array.dtype.kind not in "biuf":
        raise InputError(f"'{key}' of {name} holds no numbers.", "Get the file again.")
    return array


def enlarged(images: npt.NDArray[np.float32], height: int, width: int) -> npt.NDArray[np.float32]:
    """(..., h, w) -> (..., height, width), bilinear between the centres of the pixels.

    Pixels keep their place: the corner of the image stays the corner (half-pixel rule), and outside the
    outermost centres the outermost value counts.
    """
    if images.shape[-2:] == (height, width):
        return images
    across = _weights(images.shape[-1], width)
    down = _weights(images.shape[-2], height)
    return np.asarray(down @ images @ across.T, dtype=np.float32)


def _weights(own: int, wanted: int) -> npt.NDArray[np.float32]:
    """(wanted, own) shares of the old pixels in the new ones."""
    at = np.clip((np.arange(wanted) + 0.5) * own / wanted - 0.5, 0, own - 1)
    first = np.minimum(np.floor(at).astype(np.int64), max(0, own - 2))
    weights = np.zeros((wanted, own), dtype=np.float32)
    rest = at - first
    weights[np.arange(wanted), first] = 1 - rest
    if own > 1:
        weights[np.arange(wanted), first + 1] = rest
    return weights


def days_of_year(numbers: npt.NDArray[Any], name: str) -> npt.NDArray[np.int32]:
    """Days of the year as published (1 to 366) as days since 1 January, 0-based.

    Raises:
        InputError: other numbers.
    """
    days = np.asarray(numbers).reshape(-1)
    whole = np.rint(days.astype(np.float64))
    if not len(days) or (np.abs(whole - days) > 1e-3).any() or whole.min() < 1 or whole.max() > 366:
        raise InputError(
            f"The dates of {name} are no days of the year (1 to 366).", "Give files of the published layout."
        )
    return whole.astype(np.int32) - 1


def window_of(
    name: str,
    images: npt.NDArray[np.float32],
    positions: npt.NDArray[np.int32],
    labels: npt.NDArray[np.int16],
    *,
    bands: tuple[str, ...],
    classes: tuple[str, ...],
    scale: int = 1,
    parcels: npt.NDArray[np.int32] | None = None,
    mixed: npt.NDArray[np.uint8] | None = None,
    covered: npt.NDArray[np.float32] | None = None,
    lon_lat: tuple[float, float] | None = None,
    region: int = 0,
    row: int = 0,
    col: int = 0,
) -> WindowSet:
    """A set of one window, its dates in order of time; every date counts, clouded or not, as published.

    Args:
        name: for messages.
        images: (T, C, H, W) reflectance.
        positions: (T,) days since 1 January.
        labels: (H * scale, W * scale), -1 unknown.
        bands, classes, scale, covered: of the set.
        parcels: numbers; None: connected pieces of a class.
        mixed: None: 0.
        lon_lat: centre.
        region, row, col: place.

    Raises:
        InputError: dates, images or labels don't fit together.
    """
    dates, channels, height, width = images.shape
    fine = (height * scale, width * scale)
    if len(positions) != dates or channels != len(bands) or labels.shape != fine:
        raise InputError(
            f"{name} doesn't fit together: {len(positions)} dates, images {images.shape} (dates, bands, "
            f"rows, columns), labels {labels.shape}.",
            "Get the file again.",
        )
    order = np.argsort(positions, kind="stable")
    numbers = pieces(labels) if parcels is None else parcels.astype(np.int32)
    return WindowSet(
        bands=bands,
        values=images[order][None].astype(np.float32),
        valid=np.ones((1, dates, height, width), dtype=bool),
        positions=positions[order][None].astype(np.int32),
        labels=labels[None].astype(np.int16),
        parcels=np.where(labels >= 0, numbers, 0)[None].astype(np.int32),
        mixed=(np.zeros(fine, np.uint8) if mixed is None else mixed)[None],
        covered=None if covered is None else covered[None].astype(np.float32),  # type: ignore[arg-type]
        scale=scale,
        classes=classes,
        xy=np.array([lon_lat or (np.nan, np.nan)], dtype=np.float64),
        region=np.array([region], dtype=np.int16),
        rows=np.array([row], dtype=np.int32),
        cols=np.array([col], dtype=np.int32),
    )


def pieces(labels: npt.NDArray[np.int16]) -> npt.NDArray[np.int32]:
    """(H, W) numbers from 1 of the connected pieces of each class, 0 where unknown."""
    from scipy import ndimage

    numbers = np.zeros(labels.shape, dtype=np.int32)
    last = 0
    for label in np.unique(labels[labels >= 0]):
        found, count = ndimage.label(labels == label)
        numbers += np.where(found > 0, found + last, 0).astype(np.int32)
        last += count
    return numbers
