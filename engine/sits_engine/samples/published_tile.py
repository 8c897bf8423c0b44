"""One tile and year of the published TimeMatch data as it lies on the disk: facts and pixels of its parcels.

`<country>/<tile>/<year>/meta/metadata.json` and `<country>/<tile>/<year>/data/<index>.zarr`. The published
facts are a pickle, which the engine never reads: `tools/convert_timematch.py metadata` (not part of the
plugin) makes the JSON of it.

Source: shared/spec/timematch.md sections 1.1 and 1.3; pitfalls.md 1.20, 1.21, 1.25.
"""

from __future__ import annotations

import datetime
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sits_engine.errors import InputError

#: Bands as stored: those of 10 m first, then those of 20 m.
BANDS = ("B02", "B03", "B04", "B08", "B05", "B06", "B07", "B8A", "B11", "B12")
#: Reflectance = stored number * SCALE.
SCALE = 1e-4
METADATA = "metadata.json"
FORMAT = "timematch-metadata/1"
CONVERT = "Run `python tools/convert_timematch.py metadata FOLDER` of the project's repository"
#: What may stand between the pixels and the disk. Zarr 2 also knows filters that unpickle.
COMPRESSORS = {"blosc", "zstd", "zlib", "gzip", "lz4", "bz2"}


@dataclass(frozen=True)
class PublishedTile:
    """Facts of a tile.

    Attributes:
        folder: `<country>/<tile>/<year>`.
        name: the last three parts of the folder.
        season_year: year of the median date.
        positions: (T,) int32 days since 1 January of it, ascending.
        order: (T,) place of each date in the files.
        codes: (N,) national crop codes as text.
        ids: (N,) national parcel ids as text.
        n_pixels: (N,) int64.
        blocks: (N,) int64 number of the block of 1098 x 1098 pixels.
    """

    folder: Path
    name: str
    season_year: int
    positions: npt.NDArray[np.int32]
    order: npt.NDArray[np.int64]
    codes: list[str]
    ids: list[str]
    n_pixels: npt.NDArray[np.int64]
    blocks: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.codes)


def read_tile(folder: Path) -> PublishedTile:
    """Read the facts of a tile.

    Raises:
        InputError: no such folder, the facts are missing, not converted yet, or incomplete.
    """
    folder = Path(folder).resolve()
    path = folder / "meta" / METADATA
    if not path.is_file():
        if (folder / "meta" / "metadata.pkl").is_file():
            raise InputError(
                f"The facts of {folder.name} are still a pickle (meta/metadata.pkl), which could run code.",
                f"{CONVERT}; it accepts plain data only and writes meta/{METADATA}.",
            )
        raise InputError(
            f"{folder} holds no published data: meta/{METADATA} is missing.",
            "Give a folder <country>/<tile>/<year> of the TimeMatch data.",
        )
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        days = [_date(value) for value in raw["dates"]]
        parcels = raw["parcels"]
        codes = [_text(parcel["label"]) for parcel in parcels]
        ids = [_text(parcel["id"]) for parcel in parcels]
        n_pixels = np.array([int(parcel["n_pixels"]) for parcel in parcels], dtype=np.int64)
        blocks = np.array([int(parcel["block"]) for parcel in parcels], dtype=np.int64)
    except (OSError, ValueError, KeyError, TypeError) as error:
        what = f"'{error.args[0]}' is missing" if isinstance(error, KeyError) else str(error)
        raise InputError(f"The facts in {path} can't be read: {what}.", f"{CONVERT} again.") from error
    if not days or not codes or (n_pixels < 1).any():
        what = "date" if not days else "parcel" if not codes else "pixel in some parcel"
        raise InputError(f"{path} names no {what}.", f"{CONVERT} again.")
    order = np.array(sorted(range(len(days)), key=days.__getitem__), dtype=np.int64)
    ordered = [days[i] for i in order]
    year = ordered[len(ordered) // 2].year
    first = datetime.date(year, 1, 1)
    return PublishedTile(
        folder=folder,
        name="/".join(folder.parts[-3:]),
        season_year=year,
        positions=np.array([(day - first).days for day in ordered], dtype=np.int32),
        order=order,
        codes=codes,
        ids=ids,
        n_pixels=n_pixels,
        blocks=blocks,
    )


def read_parcel(tile: PublishedTile, index: int) -> npt.NDArray[np.uint16]:
    """Stored numbers of one parcel.

    Returns:
        (T, C, S), dates in ascending order, bands as `BANDS`.

    Raises:
        InputError: missing, damaged or incomplete, not in the published layout, or other dates, bands or
            pixels than the facts say.
    """
    import zarr

    path = tile.folder / "data" / f"{index}.zarr"
    _check_layout(path, (len(tile.positions), len(BANDS), int(tile.n_pixels[index])))
    try:
        values = np.asarray(zarr.open_array(path, mode="r", zarr_format=2)[:], dtype=np.uint16)
    except Exception as error:  # whatever the decompressor says of a damaged file
        raise InputError(f"{path} is damaged: {error}.", "Extract it from the archive again.") from error
    if (np.diff(tile.order) == 1).all():
        return values
    return values[tile.order]


def _check_layout(path: Path, expected: tuple[int, int, int]) -> None:
    """Refuse what is not exactly the published form before anything is decoded."""
    advice = "Extract the tile from the archive again."
    try:
        header = json.loads((path / ".zarray").read_text(encoding="utf-8"))
        shape, chunks = tuple(header["shape"]), tuple(header["chunks"])
        compressor = (header["compressor"] or {"id": None})["id"]
        plain = header["zarr_format"] == 2 and not header["filters"] and len(chunks) == len(shape)
        kind, separator = header["dtype"], header.get("dimension_separator", ".")
        wanted = math.prod(-(-s // c) for s, c in zip(shape, chunks, strict=True)) if plain else 0
    except FileNotFoundError as error:
        raise InputError(f"The pixels {path} are missing.", advice) from error
    except (OSError, ValueError, KeyError, TypeError, ZeroDivisionError) as error:
        raise InputError(f"{path} is no array in the published layout: {error}.", advice) from error
    if not plain or kind not in ("<u2", ">u2", "|u2") or compressor not in {None, *COMPRESSORS}:
        raise InputError(
            f"{path} is no array in the published layout (Zarr 2 of unsigned 16-bit numbers, no filters): it "
            f"has {kind}, compressor {compressor}, filters {header['filters']}.",
            advice,
        )
    if shape != expected:
        raise InputError(
            f"{path} has the shape {shape}, {expected} is expected: dates, the bands {', '.join(BANDS)}, "
            "pixels."
            + (" An eleventh band is the cloud mask of another product." if shape[1:2] == (11,) else ""),
            "Give the published Sentinel-2 L1C data with the facts that belong to it.",
        )
    # Zarr takes missing chunks for zeros: half an archive would become dark fields
    if separator == "." and (found := sum(not f.name.startswith(".") for f in path.iterdir())) < wanted:
        raise InputError(f"{path} is incomplete: {found} of {wanted} pieces are there.", advice)


def _date(value: Any) -> datetime.date:
    text = str(value)
    if len(text) != 8 or not text.isdecimal():
        raise ValueError(f"the date {value!r} is not yyyymmdd")
    return datetime.date(int(text[:4]), int(text[4:6]), int(text[6:]))


def _text(value: Any) -> str:
    """Code or id as text: 3 and 3.0 are '3'."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, (str, int, float)) or isinstance(value, bool):
        raise ValueError(f"{value!r} is no crop code or parcel id")
    return str(value).strip()
