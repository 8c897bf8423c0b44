"""Open raster files, shared between threads, bounded in number and memory."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import rasterio
from rasterio.errors import RasterioError

from sits_engine.device import threads
from sits_engine.series.probe import unreadable
from sits_engine.series.scenes import gdal_path, is_remote

# GDAL reads these once, at first use, from the environment; a user's own setting wins. Without a limit its
# block cache takes 5 % of the memory; windows in line with the blocks hardly need one (MB).
os.environ.setdefault("GDAL_CACHEMAX", "192")
# Opening a remote file holds Python's lock: a silent server must not block a cancelled job for long.
os.environ.setdefault("GDAL_HTTP_MAX_RETRY", "3")
os.environ.setdefault("GDAL_HTTP_RETRY_DELAY", "1")
os.environ.setdefault("GDAL_HTTP_CONNECTTIMEOUT", "10")
os.environ.setdefault("GDAL_HTTP_LOW_SPEED_TIME", "10")
os.environ.setdefault("GDAL_HTTP_LOW_SPEED_LIMIT", "1000")
os.environ.setdefault("GDAL_HTTP_TIMEOUT", "120")

#: Looking for side-car files of a remote file costs requests and finds nothing in a cloud store.
_REMOTE = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR", "VSI_CACHE": True}


class DatasetPool:
    """Handles of open rasters: each is used by one thread at a time, idle ones are kept for the next.

    Args:
        limit: idle handles kept; the least recently used are closed first.
    """

    def __init__(self, limit: int = 192) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._idle: OrderedDict[str, list[Any]] = OrderedDict()
        self._count = 0

    def __reduce__(self) -> tuple[type[DatasetPool], tuple[int]]:
        """A series travels to another process without its open files."""
        return DatasetPool, (self._limit,)

    @contextmanager
    def use(self, href: str) -> Iterator[Any]:
        """An open dataset of `href` for this thread alone.

        Raises:
            InputError: the file is missing or damaged, also when that shows only while reading.
        """
        with self._lock:
            kept = self._idle.get(href)
            source = kept.pop() if kept else None
            if source is not None:
                self._count -= 1
                if not kept:
                    del self._idle[href]
        try:
            if source is None:
                if is_remote(href):
                    with rasterio.Env(**_REMOTE):
                        source = rasterio.open(gdal_path(href))
                else:
                    source = rasterio.open(href)
            yield source
        except RasterioError as error:
            if source is not None:
                source.close()
            raise unreadable(href, error) from error
        except BaseException:
            if source is not None:
                source.close()
            raise
        self._keep(href, source)

    def _keep(self, href: str, source: Any) -> None:
        surplus: list[Any] = []
        with self._lock:
            self._idle.setdefault(href, []).append(source)
            self._idle.move_to_end(href)
            self._count += 1
            while self._count > self._limit:
                oldest, handles = next(iter(self._idle.items()))
                surplus.append(handles.pop())
                self._count -= 1
                if not handles:
                    del self._idle[oldest]
        for handle in surplus:
            handle.close()

    def close(self) -> None:
        """Close every idle handle."""
        with self._lock:
            handles = [handle for kept in self._idle.values() for handle in kept]
            self._idle.clear()
            self._count = 0
        for handle in handles:
            handle.close()


_workers: ThreadPoolExecutor | None = None
_workers_lock = threading.Lock()
_workers_pid = 0


def workers() -> ThreadPoolExecutor:
    """Threads that read: as many as processors, shared by all series of the process."""
    global _workers, _workers_pid
    with _workers_lock:
        if _workers is None or _workers_pid != os.getpid():  # threads don't survive a fork
            _workers = ThreadPoolExecutor(threads(), thread_name_prefix="read")
            _workers_pid = os.getpid()
        return _workers
