"""A look at a raster file: grid, number types, band names, nodata; and whether it is whole."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import rasterio
from rasterio.errors import RasterioError
from rasterio.windows import Window as RasterWindow

from sits_engine.device import threads
from sits_engine.errors import EngineError, InputError
from sits_engine.series.scenes import gdal_path, is_remote
from sits_engine.series.types import Grid

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class RasterInfo:
    """Facts of a raster file, one entry a band where there are several."""

    href: str
    driver: str
    grid: Grid
    descriptions: tuple[str | None, ...]
    dtypes: tuple[str, ...]
    nodata: tuple[float | None, ...]
    scales: tuple[float, ...]
    offsets: tuple[float, ...]
    tags: dict[str, str]

    @property
    def count(self) -> int:
        """Number of bands."""
        return len(self.dtypes)


def unreadable(href: str, error: BaseException | str) -> EngineError:
    """The error for a raster file that can't be opened or read; network failures have their own code."""
    reason = first_line(error)
    if is_remote(href) or href.startswith("/vsicurl"):
        return EngineError(
            "NETWORK",
            f"Can't read {href}: {reason}.",
            "Check the connection and that the address is valid without signing in; signed addresses expire, "
            "so search again, or make a clipped copy when building the series.",
            file=href,
        )
    if not os.path.exists(href) and not href.startswith("/vsi"):
        return InputError(
            f"Image not found: {href}.",
            "Put it back where it was when the time series was built, or build the series again.",
            file=href,
        )
    return InputError(
        f"Image can't be read: {href} ({reason}).",
        "The file is damaged, incomplete or no raster: copy or download it again, or leave it out.",
        file=href,
    )


def first_line(error: BaseException | str) -> str:
    """The useful line of an error of GDAL or rasterio, without a full stop."""
    cause: BaseException | str = error
    while isinstance(cause, BaseException) and cause.__cause__ is not None:
        cause = cause.__cause__
    text = str(cause).strip() or str(error).strip() or type(error).__name__
    return text.splitlines()[0].rstrip(". ")


def probe(href: str, *, check_data: bool = False) -> RasterInfo:
    """Open a raster and describe it.

    Args:
        href: path or URL.
        check_data: also decode the last block, which a truncated file doesn't have.

    Raises:
        InputError: missing, no raster, without CRS, or damaged; EngineError NETWORK for URLs.
    """
    try:
        with rasterio.open(gdal_path(href)) as source:
            if source.crs is None or source.count == 0:
                what = "coordinate reference system" if source.crs is None else "band"
                raise InputError(
                    f"Image {href} has no {what}.",
                    "Assign one, for example with GDAL's 'Assign projection', or leave the file out.",
                    file=href,
                )
            if source.transform.b or source.transform.d:
                raise InputError(
                    f"Image {href} is rotated against its coordinate axes.",
                    "Warp it to a north-up grid first (GDAL's 'Warp').",
                    file=href,
                )
            if check_data:
                rows, cols = source.block_shapes[0]
                row = (source.height - 1) // rows * rows
                col = (source.width - 1) // cols * cols
                window = RasterWindow(col, row, source.width - col, source.height - row)
                source.read(window=window)
            return RasterInfo(
                href=href,
                driver=source.driver,
                grid=Grid(source.crs.to_wkt(), source.transform, source.height, source.width),
                descriptions=source.descriptions,
                dtypes=source.dtypes,
                nodata=source.nodatavals,
                scales=source.scales,
                offsets=source.offsets,
                tags={**source.tags(), **source.tags(1)},
            )
    except RasterioError as error:
        raise unreadable(href, error) from error


def sample_peak(href: str, index: int, nodata: float | None) -> float:
    """Largest absolute value (99th percentile) of a block in the middle of the band; 0 if all is missing."""
    try:
        with rasterio.open(gdal_path(href)) as source:
            height, width = min(256, source.height), min(256, source.width)
            window = RasterWindow((source.width - width) // 2, (source.height - height) // 2, width, height)
            values: Any = source.read(index, window=window).astype(np.float64)
    except RasterioError as error:
        raise unreadable(href, error) from error
    values = values[np.isfinite(values) & (values != nodata)]
    return float(np.percentile(np.abs(values), 99)) if values.size else 0.0


def in_threads(
    work: Callable[[T], R], items: Iterable[T], done: Callable[[float], None] | None = None
) -> list[R]:
    """`work` of every item, several at a time, in order; `done` gets the finished share (and may raise)."""
    todo = list(items)
    results: list[R] = []
    with ThreadPoolExecutor(min(8, 2 * threads())) as pool:
        futures = [pool.submit(work, item) for item in todo]
        try:
            for number, future in enumerate(futures, 1):
                results.append(future.result())
                if done is not None:
                    done(number / len(todo))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return results
