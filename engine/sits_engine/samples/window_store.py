"""The Zarr store of windows: arrays that describe themselves, written whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sits_engine.outputs import discard, naming_full_disk, partial, publish
from sits_engine.samples.stores import StoreKind

STORE = StoreKind(
    format="sits-windows/1",
    refusal="holds no training windows",
    occupied="holds something else than training windows",
    folder="the folder",
    advice="Give a folder that 'Export training windows' wrote.",
)
#: Bytes of one chunk before compression, about: small enough to read single windows.
CHUNK_BYTES = 4 * 2**20
#: Bytes that are written between two looks at cancellation, about.
SLAB_BYTES = 32 * 2**20
#: What each array holds: (names of its axes, what it is).
ARRAYS: dict[str, tuple[tuple[str, ...], str]] = {
    "values": (
        ("window", "date", "band", "row", "column"),
        "float32, physical units (reflectance 0..1, indices -1..1); 0 where not valid",
    ),
    "valid": (
        ("window", "date", "row", "column"),
        "bool, the pixel was seen and clear on that date; padded dates are false everywhere",
    ),
    "positions": (
        ("window", "date"),
        "int32, days since 1 January of the season year (may be negative); padding repeats the last one",
    ),
    "labels": (("window", "fine_row", "fine_column"), "int16, place in the attribute 'classes', -1 unknown"),
    "parcels": (
        ("window", "fine_row", "fine_column"),
        "int32, number of the parcel within its region, 0 where the class is unknown",
    ),
    "mixed": (
        ("window", "fine_row", "fine_column"),
        "uint8, 0 at most one parcel claims the pixel, 1 several claim a part of it, 2 several all of it",
    ),
    "covered": (("window", "fine_row", "fine_column"), "float32, share of the pixel's area inside parcels"),
    "xy": (("window", "coordinate"), "float64, longitude and latitude of the centre, NaN without a place"),
    "region": (("window",), "int16, number of the region (image series)"),
    "rows": (("window",), "int32, uppermost row in the grid of the images"),
    "cols": (("window",), "int32, leftmost column in the grid of the images"),
}
DESCRIPTION = (
    "Training windows of satellite image time series, written by SITS for QGIS. One entry of the first axis "
    "of every array is one window. Labels lie on a grid 'scale' times finer than the images, with the same "
    "upper left corner: pixel (r, c) of the images covers rows r * scale to (r + 1) * scale - 1 of them. "
    "Shares of area are exact: no parcel is shifted to fit the pixels, holes and parts count. The attribute "
    "'arrays' says what each array holds."
)


def write(
    path: Path,
    arrays: Mapping[str, npt.NDArray[Any]],
    facts: Mapping[str, Any],
    *,
    fingerprint: str = "",
    extra: Mapping[str, Any] | None = None,
    progress: Callable[[float], None] = lambda fraction: None,
) -> None:
    """Write a store; it appears complete or not at all, an old one is replaced.

    Args:
        path: folder of the store.
        arrays: all of `ARRAYS`.
        facts: bands, classes, scale.
        fingerprint: of the inputs.
        extra: further JSON-serialisable facts.
        progress: gets 0..1; may raise to cancel.

    Raises:
        EngineError: OUTPUT_NOT_WRITABLE (also where something else is there), DISK_FULL.
    """
    import zarr

    STORE.check_target(path)
    temporary = partial(path)
    try:
        with naming_full_disk(path.parent):
            group = zarr.open_group(temporary, mode="w", zarr_format=3)
            whole, done = sum(arrays[name].nbytes for name in ARRAYS), 0
            for name, (axes, _) in ARRAYS.items():
                array, chunks = arrays[name], _chunks(arrays[name])
                stored = group.create_array(
                    name, shape=array.shape, dtype=array.dtype, chunks=chunks, dimension_names=axes
                )
                # whole chunks at a time
                step = chunks[0] * max(1, SLAB_BYTES // max(1, array[: chunks[0]].nbytes))
                for start in range(0, len(array), step):
                    part = array[start : start + step]
                    stored[start : start + step] = part
                    done += part.nbytes
                    progress(done / max(1, whole))
            group.attrs.update(
                {
                    "format": STORE.format,
                    "description": DESCRIPTION,
                    "arrays": {
                        name: f"({', '.join(axes)}) {words}" for name, (axes, words) in ARRAYS.items()
                    },
                    **facts,
                    "fingerprint": fingerprint,
                    "extra": dict(extra or {}),
                }
            )
            if path.exists():
                discard(path)
            publish({temporary: path})
    except BaseException:
        discard(temporary)
        raise


def extend(path: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Append windows with as many dates to a store (one that is not published yet: this is not atomic)."""
    import zarr

    group: Any = zarr.open_group(path, mode="r+")
    for name in ARRAYS:
        group[name].append(arrays[name], axis=0)


def tell(path: Path, extra: Mapping[str, Any]) -> None:
    """Replace the extra facts of a store (one that is not published yet)."""
    import zarr

    zarr.open_group(path, mode="r+").attrs["extra"] = dict(extra)


def _chunks(array: npt.NDArray[Any]) -> tuple[int, ...]:
    """Whole windows, as many as make a chunk of `CHUNK_BYTES`."""
    one = max(1, int(np.prod(array.shape[1:], dtype=np.int64)) * array.dtype.itemsize)
    return max(1, min(len(array), CHUNK_BYTES // one)), *(max(1, side) for side in array.shape[1:])
