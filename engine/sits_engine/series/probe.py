"""A look at a raster file: grid, number types, band names, nodata; and whether it is whole."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from rasterio.errors import RasterioError
from rasterio.windows import Window as RasterWindow

from sits_engine.device import threads
from sits_engine.errors import EngineError, InputError
from sits_engine.series.remote import failure, open_raster, tried, unreachable
from sits_engine.series.scenes import over_network
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
    if over_network(href):
        cause = error if isinstance(error, BaseException) else EngineError("NETWORK", error)
        return unreachable(href, failure(cause))
    reason = first_line(error)
    if not os.path.exists(href) and not href.startswith("/vsi"):
        return InputError(
            f"Image not found: {href}.",
            "Put it back where it was when the time series was built, or build the series again.",
            file=href,
            reason="not found",
        )
    return InputError(
        f"Image can't be read: {href} ({reason}).",
        "The file is damaged, incomplete or no raster: copy or download it again, or leave it out.",
        file=href,
        reason=reason,
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

    def describe(source: Any) -> RasterInfo:
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

    return look(href, describe)


def look(href: str, work: Callable[[Any], R]) -> R:
    """Result of `work` on a raster that is opened for it alone; remote ones are tried again.

    Raises:
        InputError: missing or damaged; EngineError NETWORK for URLs; and whatever `work` raises.
    """

    def attempt(fresh: bool) -> R:
        with open_raster(href, fresh=fresh) as source:
            return work(source)

    if over_network(href):
        return tried(href, attempt)
    try:
        return attempt(False)
    except RasterioError as error:
        raise unreadable(href, error) from error


def sample_peak(href: str, index: int, nodata: float | None) -> float:
    """Largest absolute value (99th percentile) of a block in the middle of the band; 0 if all is missing."""
    values = look(href, lambda source: middle(source, index, 256)).astype(np.float64)
    values = values[np.isfinite(values) & (values != nodata)]
    return float(np.percentile(np.abs(values), 99)) if values.size else 0.0


def middle(source: Any, index: int, size: int) -> Any:
    """A block of at most `size` pixels a side in the middle of a band."""
    height, width = min(size, source.height), min(size, source.width)
    window = RasterWindow((source.width - width) // 2, (source.height - height) // 2, width, height)
    return source.read(index, window=window)


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
