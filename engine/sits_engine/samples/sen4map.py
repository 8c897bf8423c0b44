"""Sen4Map: Sentinel-2 patches around LUCAS 2018 points in HDF5, as monthly composites of their middles.

Layouts that public readers of the data set use (docs/photo-retrieval.md says what could be confirmed):

- as released: a group for each point ('Lucas_Point_<id>') with data sets B2 ... B12 and SCL, (D, 64, 64) for
  D dates, 'Image_ID' naming the scenes (with their dates YYYYMMDD), and codes as attributes ('lc1', ...);
- as TimeSenCLIP cuts it: a group with one data set 'image' (12, 10, H, W): monthly medians plus one, bands in
  the order B2 B3 B4 B5 B6 B7 B8 B8A B11 B12.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from sits_engine.errors import InputError
from sits_engine.samples.composites import MONTHS, Composites, filled, monthly
from sits_engine.series.bands import canonical, match
from sits_engine.series.clouds import SCL_NOT_CLEAR

BANDS = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")
#: Physical value of one stored unit; the scenes of 2018 have no offset.
SCALE = 1e-4
#: What the published composites are too high by.
ADDED = 1
_DAY = re.compile(r"(?<!\d)(20\d{2})(0[1-9]|1[0-2])([0-2]\d|3[01])")
#: Attributes that are no labels.
_NOT_LABELS = {"image_id", "coordinates"}
#: Groups named in a message at most.
SHOWN = 5


@dataclass
class Sen4Map:
    """N points.

    Attributes:
        composites: of the middles, `rows` count the points of the file.
        ids: (N,) LUCAS point ids.
        labels: attributes of the points, (N,) each, '' unknown.
        notes, warnings: sentences with counts.
    """

    composites: Composites
    ids: npt.NDArray[np.str_]
    labels: dict[str, npt.NDArray[np.str_]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.ids)


def read_sen4map(
    path: Path,
    bands: Sequence[str] = BANDS,
    size: int = 1,
    progress: Callable[[float], None] = lambda share: None,
) -> Sen4Map:
    """Composites of `size` x `size` pixels in the middle of every patch.

    Points that can't be read are left out and counted: public copies differ. A point that was never clear is
    left out as well.

    Args:
        path: HDF5 file.
        bands: wanted ones, in any usual spelling.
        size: pixels along the side, odd.
        progress: gets 0..1; may raise to cancel.

    Raises:
        InputError: no HDF5 file, no points, a band that the layout doesn't have, or no point can be read.
    """
    wanted, missing = match(BANDS, bands)
    if missing:
        raise InputError(
            f"Sen4Map has no band {', '.join(missing)}. Wanted: {', '.join(bands)}; there are: "
            f"{', '.join(BANDS)}.",
            "Use a model of these bands.",
        )
    try:
        file = h5py.File(path, "r")
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path} can't be read as HDF5: {error}.", "Choose a file of Sen4Map (.h5, .hdf5)."
        ) from error
    with file:
        names = [name for name in file if isinstance(file.get(name), h5py.Group)]
        if not names:
            raise InputError(
                f"{path.name} holds no points: Sen4Map has a group for each, with data sets B2 ... B12 or "
                "image.",
                f"Found at its top: {', '.join(list(file)[:SHOWN]) or 'nothing'}.",
            )
        cut, seen, xy, rows = [], [], [], []
        labels: list[dict[str, str]] = []
        bad: list[str] = []
        unclear = 0
        for number, name in enumerate(names):
            if number % 64 == 0:
                progress(number / len(names))
            try:
                values, valid = _point(file[name], wanted, size)
            except (KeyError, ValueError, OSError, TypeError) as error:
                bad.append(f"{name} ({str(error).strip(chr(39))})")
                continue
            if not valid.any():
                unclear += 1
                continue
            cut.append(values)
            seen.append(valid)
            xy.append(_coordinates(file[name].attrs))
            rows.append(number)
            labels.append(_labels(file[name].attrs))
    progress(1.0)
    if not cut:
        reason = f"the first is {bad[0]}" if bad else "none was ever clear"
        raise InputError(
            f"No point of {path.name} can be read: {reason}.",
            "Expected are groups with data sets B2 ... B12 and SCL (D, H, W) and the attribute Image_ID, or "
            "with one data set 'image' (12, 10, H, W).",
        )
    notes, warnings = [f"{path.name}: {len(cut)} of {len(names)} points."], []
    if unclear:
        notes.append(f"{path.name}: {unclear} points were never clear and were left out.")
    if bad:
        more = " …" if len(bad) > SHOWN else ""
        warnings.append(
            f"{path.name}: {len(bad)} points can't be read and were left out: {', '.join(bad[:SHOWN])}{more}."
        )
    keys = sorted({key for one in labels for key in one})
    composites = Composites(
        tuple(bands), np.stack(cut), np.stack(seen), np.array(xy), np.array(rows, np.int64), list(notes)
    )
    return Sen4Map(
        composites,
        np.array([_id(names[row]) for row in rows], np.str_),
        {key: np.array([one.get(key, "") for one in labels], np.str_) for key in keys},
        notes,
        warnings,
    )


def _point(
    group: Any, bands: Sequence[str], size: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """(12, C, S, S) physical and (12,) clear in the middle."""
    if "image" in group:
        return _composed(group["image"], bands, size)
    own = {canonical(name): name for name in group}
    lacking = [name for name in bands if name not in own]
    if lacking:
        raise KeyError(f"no band {', '.join(lacking)}")
    stacks = [_middle(group[own[name]], size) for name in bands]
    if len({stack.shape for stack in stacks}) > 1:
        raise ValueError("bands of different sizes")
    values = np.stack(stacks, axis=1).astype(np.float32)  # (D, C, S, S)
    months = _months(group, len(values))
    clear = np.asarray((values > 0).any(axis=1))
    if "SCL" in own:
        clear &= ~np.isin(_middle(group[own["SCL"]], size), SCL_NOT_CLEAR)
    found, shown = monthly(values * np.float32(SCALE), clear, months)
    return _finished(np.asarray(found, np.float32), shown)


def _composed(image: Any, bands: Sequence[str], size: int) -> tuple[Any, npt.NDArray[np.bool_]]:
    """Published composites: a month whose bands are all at most `ADDED` was clouded, or had no image."""
    if image.ndim != 4 or image.shape[:2] != (MONTHS, len(BANDS)):
        raise ValueError(f"image has the shape {image.shape}, not (12, 10, H, W)")
    chosen = [BANDS.index(name) for name in bands]
    values = _middle(image, size).astype(np.float32)[:, chosen] - ADDED
    shown = np.asarray((values > 0).any(axis=1))
    return _finished(np.maximum(values, 0) * np.float32(SCALE), shown)


def _finished(
    values: npt.NDArray[np.float32], shown: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Pixels of the context that a month doesn't show take the middle one; months without it are zero."""
    middle = values.shape[-1] // 2
    valid = shown[:, middle, middle]
    filled(values[None], shown[None])
    return values * valid[:, None, None, None], valid


def _middle(data: Any, size: int) -> npt.NDArray[Any]:
    """The square in the middle; of an even side, the pixel right below the middle is the centre."""
    height, width = data.shape[-2:]
    top, left = height // 2 - size // 2, width // 2 - size // 2
    if min(top, left) < 0 or top + size > height or left + size > width:
        raise ValueError(f"a patch of {height} x {width} pixels has no {size} x {size} in its middle")
    return np.asarray(data[..., top : top + size, left : left + size])


def _months(group: Any, dates: int) -> npt.NDArray[np.int64]:
    """(D,) calendar month of each date, 0..11, from the names of the scenes."""
    source = group.attrs.get("Image_ID")
    if source is None and "Image_ID" in group:
        source = group["Image_ID"][()]
    if source is None:
        if dates == MONTHS:
            return np.arange(MONTHS)
        raise KeyError("no Image_ID, so the dates are unknown")
    days = [_DAY.search(_text(name)) for name in np.asarray(source).ravel()]
    if len(days) != dates or not all(days):
        raise ValueError(f"Image_ID names {sum(map(bool, days))} dates for {dates} images")
    return np.array(
        [datetime.date(*map(int, day.groups())).month - 1 for day in days if day is not None], np.int64
    )


def _coordinates(attrs: Any) -> tuple[float, float]:
    """Longitude and latitude; NaN without. In the LUCAS countries the latitude is the larger of the two."""
    found = next((attrs[name] for name in attrs if name.casefold() == "coordinates"), None)
    try:
        numbers = [float(one) for one in np.asarray(found).ravel()] if found is not None else []
    except ValueError:
        numbers = [float(one) for one in re.findall(r"-?\d+\.?\d*", _text(found))]
    if len(numbers) != 2 or not all(abs(one) <= 180 for one in numbers):
        return float("nan"), float("nan")
    return min(numbers), max(numbers)


def _labels(attrs: Any) -> dict[str, str]:
    out = {}
    for name in attrs:
        value = np.asarray(attrs[name])
        if name.casefold() not in _NOT_LABELS and value.size == 1:
            out[str(name)] = _text(value.ravel()[0])
    return out


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _id(name: str) -> str:
    digits = re.search(r"\d{6,}", name)
    return digits[0] if digits else name
