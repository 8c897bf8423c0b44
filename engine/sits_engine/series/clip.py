"""A clipped, tiled copy of a series: one GeoTIFF a date on the common grid, fast to read."""

from __future__ import annotations

import datetime
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import rasterio
from rasterio.errors import RasterioError
from rasterio.io import MemoryFile
from rasterio.windows import Window as RasterWindow

from sits_engine.context import counted
from sits_engine.errors import EngineError, InputError
from sits_engine.outputs import SCRAPS, atomic, check_writable
from sits_engine.series.probe import first_line, probe
from sits_engine.series.scenes import Band, Scene
from sits_engine.series.time_series import TimeSeries
from sits_engine.series.types import Grid, Window

BLOCK = 256
#: How a copy is compressed. Both give files of about the same size; ZSTD is decoded four times as fast, but
#: the GDAL of some QGIS can't read it. Higher levels take longer and gain nothing (benchmarks/RESULTS.md).
Compression = Literal["DEFLATE", "ZSTD"]
LEVELS: dict[Compression, dict[str, int]] = {"DEFLATE": {"zlevel": 1}, "ZSTD": {"zstd_level": 1}}
#: Rows and columns read at a time: whole blocks, and large enough to keep the threads busy.
CHUNK = 1024


def clip(
    series: TimeSeries,
    folder: Path,
    tick: Callable[[float], None],
    compression: Compression = "DEFLATE",
    notice: Callable[[str], None] = lambda sentence: None,
) -> list[Scene]:
    """Write the copy and return its scenes.

    Each date is written to a temporary file and renamed when complete; a date that is there already, made
    from the same files on the same grid and compressed like this, is not written again. So an interrupted
    copy goes on where it was. `notice` hears beforehand how many dates are written again only because they
    are compressed otherwise.

    Raises:
        EngineError: OUTPUT_NOT_WRITABLE, DISK_FULL; InputError: an image is missing or damaged.
    """
    sources = {href for scenes in series.scenes for scene in scenes for href in scene.hrefs()}
    targets = [folder.absolute() / f"{day.isoformat()}.tif" for day in series.dates]
    for day, target in zip(series.dates, targets, strict=True):
        if str(target) in sources:
            raise EngineError(
                "OUTPUT_NOT_WRITABLE",
                f"The copy of {day} would overwrite an image of the series: {target}.",
                "Choose another CLIP_FOLDER.",
            )
    stamps = [series.fingerprint_of(t) for t in range(len(series.dates))]
    found = [_compression(target, stamp) for target, stamp in zip(targets, stamps, strict=True)]
    for other in (one for one in LEVELS if one != compression and one in found):
        notice(
            f"{folder} holds {found.count(other)} of {counted(len(found), 'date')} in {other}; "
            f"CLIP_COMPRESSION is {compression}, so this part of the copy is written again. To keep it, "
            f"cancel this run and start it with CLIP_COMPRESSION {other}."
        )
    copied = []
    for t, (target, stamp) in enumerate(zip(targets, stamps, strict=True)):
        if found[t] != compression:
            check_writable(target)
            _copy(series, t, target, stamp, compression, partial(_part, tick, t, len(series.dates)))
        copied.append(_scene(series, t, target))
        tick((t + 1) / len(series.dates))
    return copied


def _part(tick: Callable[[float], None], t: int, count: int, share: float) -> None:
    tick((t + share) / count)


def _compression(target: Path, stamp: str) -> str | None:
    """Of the copy that is there already, made from these files; None without one."""
    if not target.is_file():
        return None
    try:
        with rasterio.open(target) as found:
            stored = str(found.profile.get("compress", "none"))
            return stored.upper() if found.tags().get("SITS_SOURCE") == stamp else None
    except RasterioError:
        return None


def _layout(series: TimeSeries, t: int) -> tuple[list[str], np.dtype[Any], Any]:
    """(bands and mask, number type, value of missing pixels) of the copy of a date."""
    names = list(series.bands)
    dtype = series.number_type(names)
    if series.mask is not None:
        names.append(series.mask.band)
        dtype = np.result_type(dtype, np.uint8)
    own = {band.nodata for scene in series.scenes[t] for band in scene.bands if band.name in series.bands}
    nodata = own.pop() if len(own) == 1 else None
    if nodata is None or not (dtype.kind == "f" or np.iinfo(dtype).min <= nodata <= np.iinfo(dtype).max):
        nodata = {"f": np.nan, "i": np.iinfo(dtype).min if dtype.kind == "i" else 0, "u": 0}[dtype.kind]
    return names, dtype, nodata


def _copy(
    series: TimeSeries,
    t: int,
    target: Path,
    stamp: str,
    compression: Compression,
    tick: Callable[[float], None],
) -> None:
    names, dtype, nodata = _layout(series, t)
    grid = series.grid
    scale, offset = series.numbers(t, series.bands)
    extra = len(names) - len(series.bands)
    profile = _profile(grid, len(names), dtype, nodata, compression)
    chunks = [(r, c) for r in range(0, grid.height, CHUNK) for c in range(0, grid.width, CHUNK)]
    with atomic(target) as temporary:
        try:
            with rasterio.open(temporary, "w", **profile) as out:
                out.descriptions = names
                out.scales = [*scale, *[1.0] * extra]
                out.offsets = [*offset, *[0.0] * extra]
                out.update_tags(ACQUISITION_DATE=series.dates[t].isoformat(), SITS_SOURCE=stamp)
                for number, (row, col) in enumerate(chunks, 1):
                    height, width = min(CHUNK, grid.height - row), min(CHUNK, grid.width - col)
                    values = _window(series, t, Window(row, col, height, width), len(names), dtype, nodata)
                    out.write(values, window=RasterWindow(col, row, width, height))
                    tick(number / len(chunks))
            # A full disk may show only now: GDAL doesn't check what it writes when it closes a file.
            probe(str(temporary))
        except (RasterioError, InputError) as error:
            if shutil.disk_usage(target.parent).free < SCRAPS:
                raise  # `atomic` names it
            if isinstance(error, InputError) and error.details.get("file") != str(temporary):
                raise  # an image of the series, not the copy
            raise EngineError(
                "OUTPUT_NOT_WRITABLE",
                f"The copy {target} can't be written: {first_line(error)}.",
                "Choose another CLIP_FOLDER or CLIP_COMPRESSION, then run it again.",
            ) from error


def _profile(
    grid: Grid, count: int, dtype: np.dtype[Any], nodata: Any, compression: Compression = "DEFLATE"
) -> dict[str, Any]:
    """How the copy of a date is stored."""
    return {
        "driver": "GTiff",
        "width": grid.width,
        "height": grid.height,
        "count": count,
        "dtype": dtype.name,
        "crs": grid.crs,
        "transform": grid.transform,
        "nodata": nodata,
        "tiled": True,
        "blockxsize": BLOCK,
        "blockysize": BLOCK,
        "compress": compression,
        **LEVELS[compression],
        "predictor": 3 if dtype.kind == "f" else 2,
        "interleave": "pixel",
        "BIGTIFF": "IF_SAFER",
        "NUM_THREADS": "ALL_CPUS",
    }


@dataclass(frozen=True)
class CopySample:
    """What a copy costs, measured on a part of one date; figures for one pixel of one date.

    Attributes:
        bytes: all bands.
        making: seconds to read the images and to compress.
        reading: seconds to read the copy, on one thread.
    """

    bytes: float
    making: float
    reading: float


def sample(series: TimeSeries, t: int, window: Window) -> CopySample:
    """Copy a window of date `t` in memory, and read it again."""
    names, dtype, nodata = _layout(series, t)
    grid = Grid(series.grid.crs, series.grid.window_transform(window), window.height, window.width)
    pixels = window.height * window.width
    began = time.perf_counter()
    values = _window(series, t, window, len(names), dtype, nodata)
    with MemoryFile() as file:
        with file.open(**_profile(grid, len(names), dtype, nodata)) as out:
            out.write(values)
        made = time.perf_counter()
        size = len(file.getbuffer())
        opened = time.perf_counter()
        with file.open() as copy:
            copy.read()
        read = time.perf_counter() - opened
    return CopySample(size / pixels, (made - began) / pixels, read / pixels)


def _window(
    series: TimeSeries, t: int, window: Window, count: int, dtype: np.dtype[Any], nodata: Any
) -> np.ndarray[Any, Any]:
    """(count, H, W): bands with clouds kept, then the mask; `nodata` where nothing was observed."""
    shape = (window.height, window.width)
    values = np.zeros((count, *shape), dtype=dtype)
    valid, observed = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool)
    bands = len(series.bands)
    mask = values[bands] if count > bands else None
    series.read_date(t, window, series.bands, values[:bands], valid, observed, keep_clouds=True, mask=mask)
    np.copyto(values, dtype.type(nodata), where=~observed)
    return values


def _scene(series: TimeSeries, t: int, target: Path) -> Scene:
    """The scene of a copied date."""
    info = probe(str(target))
    scenes = series.scenes[t]
    names, _, _ = _layout(series, t)
    bands = tuple(
        Band(
            name,
            info.href,
            index,
            info.dtypes[index - 1],
            info.nodata[index - 1],
            info.scales[index - 1],
            info.offsets[index - 1],
            info.grid,
        )
        for index, name in enumerate(names, 1)
    )
    covers = [scene.cloud_cover for scene in scenes if scene.cloud_cover is not None]
    return Scene(
        id=series.dates[t].isoformat(),
        when=datetime.datetime.combine(series.dates[t], datetime.time(), datetime.UTC),
        bands=bands,
        cloud_cover=sum(covers) / len(covers) if covers else None,
        properties={"sits:copied_from": [scene.id for scene in scenes]},
    )
