"""Open raster files, shared between threads, bounded in number and memory."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from rasterio.errors import RasterioError

from sits_engine.addresses import public
from sits_engine.device import threads
from sits_engine.errors import InputError
from sits_engine.series.probe import first_line, unreadable
from sits_engine.series.remote import open_raster, tried
from sits_engine.series.scenes import over_network

R = TypeVar("R")

#: Files that are named when they are tried again; of more of them there is one sentence.
SAID = 20

#: Threads that wait for servers, of all series of the process.
REMOTE_THREADS = 16

# GDAL reads these once, at first use, from the environment; a user's own setting wins. Without a limit its
# block cache takes 5 % of the memory; windows in line with the blocks hardly need one (MB).
os.environ.setdefault("GDAL_CACHEMAX", "192")


class DatasetPool:
    """Handles of open rasters: each is used by one thread at a time, idle ones are kept for the next.

    Args:
        limit: idle handles kept; the least recently used are closed first.
        halted: whether somebody asked to stop; ends the waiting for servers.
        notice: gets a sentence when a remote file is tried again for the first time.
    """

    def __init__(
        self,
        limit: int = 192,
        halted: Callable[[], bool] | None = None,
        notice: Callable[[str], None] | None = None,
    ) -> None:
        self._limit = limit
        self._halted = halted
        self._notice = notice
        self._again: set[str] = set()
        self._lock = threading.Lock()
        self._idle: OrderedDict[str, list[Any]] = OrderedDict()
        self._count = 0

    def __reduce__(self) -> tuple[type[DatasetPool], tuple[int]]:
        """A series travels to another process without its open files."""
        return DatasetPool, (self._limit,)

    def read(self, href: str, work: Callable[[Any], R]) -> R:
        """Result of `work` on an open dataset of `href`, which this thread has for itself.

        Remote files are tried again (`series.remote`), from the opening on: `work` may run several times.

        Raises:
            InputError: the file is missing, damaged or another one, also when that shows only while reading.
            EngineError: NETWORK, a remote file can't be read. Cancelled.
        """

        def attempt(fresh: bool) -> R:
            source = None if fresh else self._taken(href)
            if source is None:
                source = open_raster(href, fresh=fresh)
            try:
                result = work(source)
            except IndexError as error:
                source.close()
                raise InputError(
                    f"{public(href)} has fewer bands than when the series was built ({first_line(error)}).",
                    "It is another file now, or a server sent something else: build the series again.",
                    file=public(href),
                ) from error
            except BaseException:
                source.close()
                raise
            self._keep(href, source)
            return result

        if over_network(href):
            return tried(href, attempt, halted=self._halted, again=self._say_again)
        try:
            return attempt(False)
        except RasterioError as error:
            raise unreadable(href, error) from error

    def _say_again(self, file: str, reason: str) -> None:
        """Name a file that is tried again, once, and not too many of them."""
        if self._notice is None:
            return
        with self._lock:
            known = file in self._again or len(self._again) > SAID
            self._again.add(file)
            more = len(self._again) > SAID
        if not known:
            what = "More images" if more else file
            self._notice(f"{what} can't be read at once ({reason}): trying again.")

    def _taken(self, href: str) -> Any:
        """An idle handle, None if there is none."""
        with self._lock:
            kept = self._idle.get(href)
            source = kept.pop() if kept else None
            if source is not None:
                self._count -= 1
                if not kept:
                    del self._idle[href]
        return source

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


_workers: dict[bool, ThreadPoolExecutor] = {}
_workers_lock = threading.Lock()
_workers_pid = 0


def workers(remote: bool = False) -> ThreadPoolExecutor:
    """Threads that read, shared by all series of the process: as many as processors, more where they wait."""
    global _workers_pid
    with _workers_lock:
        if _workers_pid != os.getpid():  # threads don't survive a fork
            _workers.clear()
            _workers_pid = os.getpid()
        if remote not in _workers:
            count = max(REMOTE_THREADS, threads()) if remote else threads()
            _workers[remote] = ThreadPoolExecutor(count, thread_name_prefix="read")
        return _workers[remote]
