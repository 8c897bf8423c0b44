"""Scenes from raster files with dates in their names: one file a date, or one file a band and date."""

from __future__ import annotations

import datetime
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sits_engine.errors import InputError
from sits_engine.series import dates as dating
from sits_engine.series.bands import (
    canonical,
    default_scale,
    from_file_name,
    is_reflectance,
    is_spectral,
    needs_sample,
)
from sits_engine.series.probe import RasterInfo, in_threads, probe, sample_peak
from sits_engine.series.scenes import Band, Scene

SUFFIXES = (".tif", ".tiff", ".vrt", ".img", ".jp2")
Tick = Callable[[float], None]


@dataclass(frozen=True)
class NumberRules:
    """A user's own names and numbers; None where the files and the defaults decide."""

    bands: Sequence[str] | None = None
    scale: float | None = None
    offset: float | None = None
    mask_band: str | None = None


def find(folder: Path) -> list[Path]:
    """Raster files of a folder, sorted; of its subfolders too if the folder itself has none.

    Raises:
        InputError: no folder, or no raster in it.
    """
    if not folder.is_dir():
        state = "is a file, not a folder" if folder.exists() else "not found"
        raise InputError(f"Input folder {state}: {folder}.", "Choose the folder that holds the images.")
    found = _rasters(folder.iterdir())
    if not found:
        found = _rasters(folder.rglob("*"))
    if not found:
        raise InputError(
            f"No images in {folder} (looked for {', '.join(SUFFIXES)}).",
            "Choose the folder that holds the images.",
        )
    return found


def _rasters(paths: object) -> list[Path]:
    return sorted(
        path
        for path in paths  # type: ignore[attr-defined]
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
    )


def scenes_of_files(
    paths: Sequence[Path],
    rules: NumberRules,
    *,
    date_pattern: str | None = None,
    tick: Tick | None = None,
) -> list[Scene]:
    """Scenes of raster files.

    The date is read from the file's name, then from its folder's name, then from TIFFTAG_DATETIME or
    ACQUISITION_DATE. Band names are those given, else the band descriptions, else (files of one band) a
    token of the file's name such as B02 or NDVI.

    Raises:
        InputError: a file without date, damaged, without CRS; names that don't fit the number of bands.
    """
    pattern = dating.compile_pattern(date_pattern) if date_pattern else None
    infos = in_threads(lambda p: probe(str(p.absolute()), check_data=True), paths, tick)
    groups: dict[tuple[datetime.date, str], list[tuple[RasterInfo, list[str]]]] = {}
    for path, info in zip(paths, infos, strict=True):
        date = _date(path, info, pattern)
        names, stem = _band_names(path, info, rules.bands)
        groups.setdefault((date, stem), []).append((info, names))
    scales = _scales([part for group in groups.values() for part in group], rules)
    scenes = []
    used: set[str] = set()
    for (date, stem), parts in sorted(groups.items(), key=lambda entry: (entry[0][0], entry[0][1])):
        bands: dict[str, Band] = {}
        for info, names in parts:
            for index, name in enumerate(names, 1):
                if name in bands:
                    raise InputError(
                        f"The band {name} of {date} is there twice: {bands[name].href} and {info.href}.",
                        "Leave one of the files out, or give each band of a file its own name (BANDS).",
                    )
                bands[name] = _band(info, index, name, scales, rules)
        identity = _unique(stem or date.isoformat(), used)
        newest = max(os.stat(info.href).st_mtime_ns for info, _ in parts)
        scenes.append(
            Scene(
                id=identity,
                when=datetime.datetime.combine(date, datetime.time(), datetime.UTC),
                bands=tuple(bands.values()),
                processed=f"{newest:020d} {identity}",
            )
        )
    return scenes


def _date(path: Path, info: RasterInfo, pattern: re.Pattern[str] | None) -> datetime.date:
    found = dating.from_name(path.stem, pattern) or dating.from_name(path.parent.name, pattern)
    if found is None:
        for tag in ("TIFFTAG_DATETIME", "ACQUISITION_DATE", "ACQUISITIONDATETIME", "DATE_ACQUIRED"):
            found = found or dating.from_tag(info.tags.get(tag, ""))
    if found is None:
        raise dating.unreadable(str(path))
    return found


def _band_names(path: Path, info: RasterInfo, given: Sequence[str] | None) -> tuple[list[str], str]:
    """(canonical names of a file's bands, name of the scene it belongs to)."""
    stem = path.stem
    if given and info.count == len(given) and (info.count > 1 or len(given) == 1):
        return [canonical(name) for name in given], stem
    token = from_file_name(stem) if info.count == 1 else None
    if token is not None and not (info.descriptions[0] and given):
        return [token[0]], token[1]
    if all(info.descriptions):
        return [canonical(str(name)) for name in info.descriptions], stem
    if given:
        raise InputError(
            f"{path} has {info.count} bands, but BANDS lists {len(given)}: {', '.join(given)}.",
            "List one name for each band of a file.",
        )
    return [canonical(name) if name else f"band{n}" for n, name in enumerate(info.descriptions, 1)], stem


def _unique(name: str, used: set[str]) -> str:
    candidate, number = name, 2
    while candidate in used:
        candidate, number = f"{name}-{number}", number + 1
    used.add(candidate)
    return candidate


def _scales(
    parts: Sequence[tuple[RasterInfo, list[str]]], rules: NumberRules
) -> dict[tuple[str, str], float]:
    """Scale of each (band, number type): one for the whole series, so that a dull date can't change it."""
    peaks: dict[tuple[str, str], float | None] = {}
    todo: list[tuple[tuple[str, str], str, int, float | None]] = []
    for info, names in parts:
        for at, name in enumerate(names):
            key = (name, info.dtypes[at])
            peaks.setdefault(key, None)
            if (
                rules.scale is None
                and needs_sample(*key)
                and (info.scales[at], info.offsets[at]) == (1.0, 0.0)
            ):
                todo.append((key, info.href, at + 1, info.nodata[at]))
    found = in_threads(lambda task: sample_peak(task[1], task[2], task[3]), todo)
    for (key, *_), peak in zip(todo, found, strict=True):
        peaks[key] = max(peak, peaks[key] or 0.0)
    return {(name, dtype): default_scale(name, dtype, peak) for (name, dtype), peak in peaks.items()}


def _band(
    info: RasterInfo, index: int, name: str, scales: dict[tuple[str, str], float], rules: NumberRules
) -> Band:
    at = index - 1
    dtype, nodata = info.dtypes[at], info.nodata[at]
    if nodata is None and is_reflectance(name) and dtype.startswith("uint"):
        nodata = 0.0  # no surface reflects nothing in any band; 0 is what every provider fills with
    scale, offset = info.scales[at], info.offsets[at]
    if (scale, offset) == (1.0, 0.0):
        scale = scales[(name, dtype)]
    if is_spectral(name) and name != rules.mask_band:
        scale = scale if rules.scale is None else rules.scale
        offset = offset if rules.offset is None else rules.offset
    return Band(name, info.href, index, dtype, nodata, scale, offset, info.grid)
