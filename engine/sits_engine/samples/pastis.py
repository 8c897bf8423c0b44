"""PASTIS as it is published: 2433 patches of 128 x 128 pixels, Sentinel-2 L2A, autumn 2018 to autumn 2019.

    metadata.geojson                   ID_PATCH, Fold (1 to 5), dates-S2
    DATA_S2/S2_<id>.npy                (T, 10, 128, 128) int16 reflectance * 10000
    ANNOTATIONS/TARGET_<id>.npy        (>= 1, 128, 128) uint8; channel 0: 0 background, 1 to 18 crops, 19 void
    ANNOTATIONS/ParcelIDs_<id>.npy     (128, 128) parcel ids, where there are any

Dates are in order of time and days count from 1 January 2019 (those of 2018 are negative); the published
loaders sort by day of the year, which interleaves two autumns, and cut to the first 60.

Source: shared/spec/exact.md section 1; pitfalls.md 1.25, 2.6, 2.17 and 2.18.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sits_engine.errors import InputError
from sits_engine.samples.dates import thinned
from sits_engine.samples.published_windows import SCALE, pieces, window_of
from sits_engine.samples.windows import WindowSet

BANDS = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")
VOID = 19
SEASON_YEAR = 2019
#: Side of the windows that TSViT and Exact were trained on.
PUBLISHED_SIZE = 24
CLASSES = (
    *("background", "meadow", "soft winter wheat", "corn", "winter barley", "winter rapeseed"),
    *("spring barley", "sunflower", "grapevine", "beet", "winter triticale", "winter durum wheat"),
    *("fruits, vegetables, flowers", "potatoes", "leguminous fodder", "soybeans", "orchard"),
    *("mixed cereal", "sorghum"),
)


@dataclass(frozen=True)
class Patch:
    """Facts of a patch: id, fold, (T,) positions in the order of the file, centre."""

    id: int
    fold: int
    positions: npt.NDArray[np.int32]
    lon_lat: tuple[float, float]


def read_patches(folder: Path) -> list[Patch]:
    """Facts of all patches, by id.

    Raises:
        InputError: `metadata.geojson` is missing, damaged, or lacks a field.
    """
    import geopandas as gpd
    import shapely

    path = Path(folder) / "metadata.geojson"
    advice = "Give the folder of the published archive, with metadata.geojson, DATA_S2 and ANNOTATIONS."
    if not path.is_file():
        raise InputError(f"{folder} holds no PASTIS data: metadata.geojson is missing.", advice)
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
        features = tree["features"]
        crs = tree.get("crs", {}).get("properties", {}).get("name", "EPSG:4326")
        shapes = [shapely.from_geojson(json.dumps(feature["geometry"])) for feature in features]
        middles = gpd.GeoSeries(shapely.centroid(shapes), crs=crs).to_crs("EPSG:4326")
        patches = [
            Patch(
                int(feature["properties"]["ID_PATCH"]),
                int(feature["properties"]["Fold"]),
                _positions(feature["properties"]["dates-S2"]),
                (float(middle.x), float(middle.y)),
            )
            for feature, middle in zip(features, middles, strict=True)
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        what = f"'{error.args[0]}' is missing" if isinstance(error, KeyError) else str(error)
        raise InputError(f"{path} can't be read: {what}.", advice) from error
    return sorted(patches, key=lambda patch: patch.id)


def read_patch(
    folder: Path,
    patch: Patch,
    *,
    size: int | None = PUBLISHED_SIZE,
    dates: int | None = None,
    void: int = VOID,
    region: int = 0,
) -> WindowSet:
    """The windows of one patch.

    Args:
        folder: of the archive.
        patch: from `read_patches`.
        size: side of a window, cut without overlap from the upper left corner as published: with 24 the last
            8 rows and columns of a patch are not used. None: the patch as it is.
        dates: keep so many, spread evenly; None keeps all.
        void: label that means unknown.
        region: number to write into the result.

    Raises:
        InputError: a file is missing, damaged, or has another shape.
    """
    name = f"patch {patch.id}"
    stored = _load(Path(folder) / "DATA_S2" / f"S2_{patch.id}.npy")
    target = _load(Path(folder) / "ANNOTATIONS" / f"TARGET_{patch.id}.npy")
    raw = (target[0] if target.ndim == 3 else target).astype(np.int64)
    if stored.ndim != 4 or raw.ndim != 2:
        raise InputError(
            f"PASTIS {name} has images of the shape {stored.shape} and labels of the shape {target.shape}.",
            "Get the archive again: it has (dates, bands, rows, columns) and (channels, rows, columns).",
        )
    labels = np.where((raw == void) | (raw >= len(CLASSES)), -1, raw).astype(np.int16)
    parcels = _parcels(Path(folder) / "ANNOTATIONS" / f"ParcelIDs_{patch.id}.npy", labels)
    whole = window_of(
        f"PASTIS {name}",
        stored.astype(np.float32) * np.float32(SCALE),
        patch.positions,
        labels,
        bands=BANDS,
        classes=CLASSES,
        parcels=parcels,
        covered=(raw > 0).astype(np.float32),
        lon_lat=patch.lon_lat,
        region=region,
    )
    if dates is not None:
        whole = thinned(whole, dates)
    return whole if size is None else cut(whole, size)


def read_pastis(
    folder: Path,
    *,
    folds: Collection[int] | None = None,
    size: int | None = PUBLISHED_SIZE,
    dates: int | None = None,
    most: int | None = None,
    progress: Callable[[float], None] = lambda fraction: None,
) -> Iterator[tuple[WindowSet, Patch]]:
    """Patch after patch, so that the archive needn't fit into the memory.

    Args:
        folder: of the archive.
        folds: read these only (TSViT and Exact: 1 to 3 training, 4 evaluation, 5 unused).
        size, dates: see `read_patch`.
        most: so many patches at most.
        progress: gets 0..1; may raise to cancel.

    Yields:
        Windows of a patch, `region` being its place among those read, and its facts.
    """
    patches = [p for p in read_patches(folder) if folds is None or p.fold in folds][:most]
    if not patches:
        raise InputError(f"{folder} has no patch in the folds {folds}.", "Folds are 1 to 5.")
    for number, patch in enumerate(patches):
        yield read_patch(folder, patch, size=size, dates=dates, region=number), patch
        progress((number + 1) / len(patches))


def cut(windows: WindowSet, size: int) -> WindowSet:
    """Each window cut into smaller ones without overlap, from the upper left corner; the rest is left out.

    Raises:
        InputError: the windows are smaller than `size`.
    """
    height, width = windows.size
    if min(height, width) < size:
        raise InputError(
            f"The windows have {height} x {width} pixels; {size} x {size} can't be cut out of them.",
            f"Choose {min(height, width)} or less.",
        )
    down, across, scale = height // size, width // size, windows.scale
    n = len(windows) * down * across

    def tiles(array: npt.NDArray[Any], side: int) -> npt.NDArray[Any]:
        trimmed = array[..., : down * side, : across * side]
        parts = trimmed.reshape(*array.shape[:-2], down, side, across, side)
        # (N, ..., down, side, across, side) -> (N, down, across, ..., side, side)
        parts = np.moveaxis(parts, (-4, -2), (1, 2))
        return np.ascontiguousarray(parts.reshape(n, *array.shape[1:-2], side, side))

    each = np.repeat(np.arange(len(windows)), down * across)
    row = np.tile(np.repeat(np.arange(down), across), len(windows)) * size
    col = np.tile(np.arange(across), len(windows) * down) * size
    fine = size * scale
    return WindowSet(
        bands=windows.bands,
        values=tiles(windows.values, size),
        valid=tiles(windows.valid, size),
        positions=windows.positions[each],
        **{name: tiles(getattr(windows, name), fine) for name in ("labels", "parcels", "mixed", "covered")},
        scale=scale,
        classes=windows.classes,
        xy=windows.xy[each],
        region=windows.region[each],
        rows=(windows.rows[each] + row).astype(np.int32),
        cols=(windows.cols[each] + col).astype(np.int32),
    )


def _positions(dates: Any) -> npt.NDArray[np.int32]:
    """Days since 1 January of the season year, in the order of the file; dates are {"0": 20180924, ...}."""
    if isinstance(dates, str):
        dates = json.loads(dates)
    ordered = [dates[key] for key in sorted(dates, key=int)] if isinstance(dates, dict) else list(dates)
    first = datetime.date(SEASON_YEAR, 1, 1)
    days = [datetime.datetime.strptime(str(int(day)), "%Y%m%d").date() for day in ordered]
    return np.array([(day - first).days for day in days], dtype=np.int32)


def _load(path: Path) -> npt.NDArray[Any]:
    try:
        array: npt.NDArray[Any] = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        reason = "it is missing" if not path.exists() else str(error)
        raise InputError(f"{path} can't be read: {reason}.", "Get the published archive again.") from error
    return array


def _parcels(path: Path, labels: npt.NDArray[np.int16]) -> npt.NDArray[np.int32]:
    """Parcel numbers from 1; connected pieces of a class where the archive has none."""
    if not path.exists():
        return pieces(labels)
    ids = _load(path)
    _, place = np.unique(ids, return_inverse=True)
    return np.where(ids == 0, 0, np.asarray(place).reshape(ids.shape) + 1).astype(np.int32)
