"""Reading and computing overlap: a reader fills a short queue, workers classify and keep the results."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from sits_engine.errors import Cancelled
from sits_engine.mapping.classify import PixelPredictor, TileResult, classify
from sits_engine.mapping.region import Region
from sits_engine.series.types import Cube, Window

#: Windows that wait between reader and workers; with those in work this bounds the memory.
QUEUE = 2
#: More workers than this on one CPU only cost memory: the interpreter's lock becomes the limit.
MAX_WORKERS = 8


class Readable(Protocol):
    """The part of a time series that the pipeline reads."""

    @property
    def positions(self) -> npt.NDArray[np.int32]: ...  # noqa: D102
    def read(self, window: Window, bands: Sequence[str]) -> Cube: ...  # noqa: D102


@dataclass(frozen=True)
class Plan:
    """How the work is spread.

    Attributes:
        workers: threads that classify.
        threads: torch threads of each of them.
        chunk: pixels between two looks at the cancel flag.
    """

    workers: int
    threads: int
    chunk: int


def plan(cpu: bool, processors: int, wanted: int = 0) -> Plan:
    """Several workers with one thread each on a CPU (design/performance.md), one worker for a card.

    Args:
        cpu: the device is the CPU.
        processors: processors that this process may use.
        wanted: workers that the user asks for, 0 for the default.
    """
    if not cpu:
        return Plan(max(1, wanted), max(1, processors), 65536)
    workers = wanted or min(processors, MAX_WORKERS)
    return Plan(workers, max(1, processors // workers), 8192)


def run_tiles(
    series: Readable,
    bands: Sequence[str],
    region: Region,
    tiles: Sequence[Window],
    predictor: PixelPredictor,
    n_classes: int,
    how: Plan,
    keep: Callable[[Window, TileResult], None],
    tick: Callable[[int], None],
    *,
    want_probabilities: bool = False,
) -> None:
    """Classify `tiles`; `keep` is called once for each, from the workers.

    Args:
        series: what to read.
        bands: the series' names of the model's bands, in the model's order.
        region: masks pixels outside.
        tiles: windows of the series' grid.
        predictor: safe from several threads.
        n_classes: classes of the model.
        how: see `plan`.
        keep: stores the result of a window; safe from several threads.
        tick: called from the calling thread at least every 0.2 s with the pixels done since the last call;
            raises to stop everything.
        want_probabilities: pass them on to `keep`.

    Raises:
        Whatever reader, predictor, `keep` or `tick` raised first; all threads have ended by then.
    """
    waiting: queue.Queue[tuple[Window, Cube, npt.NDArray[np.bool_] | None] | None] = queue.Queue(QUEUE)
    stop = threading.Event()
    failures: list[BaseException] = []
    lock = threading.Lock()
    done_pixels = 0

    def put(item: tuple[Window, Cube, npt.NDArray[np.bool_] | None] | None) -> None:
        while not stop.is_set():
            try:
                waiting.put(item, timeout=0.1)
                return
            except queue.Full:
                continue

    def count(pixels: int) -> None:
        nonlocal done_pixels
        if stop.is_set():
            raise Cancelled
        with lock:
            done_pixels += pixels

    def guarded(work: Callable[[], None]) -> Callable[[], None]:
        def run() -> None:
            try:
                work()
            except BaseException as error:  # handed to the calling thread
                failures.append(error)
                stop.set()

        return run

    def read() -> None:
        for tile in tiles:
            if stop.is_set():
                return
            inside = region.mask(tile)
            if inside is not None and not inside.any():
                empty = np.zeros((tile.height, tile.width), np.uint8)
                shares = np.full((n_classes, *empty.shape), 255, np.uint8) if want_probabilities else None
                keep(tile, TileResult(empty, empty, shares))
                count(empty.size)
                continue
            put((tile, series.read(tile, bands), inside))
        for _ in range(how.workers):
            put(None)

    def work() -> None:
        torch.set_num_threads(how.threads)  # OpenMP counts threads for each calling thread
        while not stop.is_set():
            try:
                item = waiting.get(timeout=0.1)
            except queue.Empty:
                continue
            if item is None:
                return
            tile, cube, inside = item
            result = classify(
                cube,
                inside,
                predictor,
                series.positions,
                n_classes,
                want_probabilities=want_probabilities,
                chunk=how.chunk,
                step=count,
            )
            keep(tile, result)
            del item, cube, result

    before = torch.get_num_threads()
    jobs = [read, *[work] * how.workers]
    threads = [
        threading.Thread(target=guarded(job), name=f"map-{i}", daemon=True) for i, job in enumerate(jobs)
    ]
    try:
        for thread in threads:
            thread.start()
        seen = 0
        while alive := [thread for thread in threads if thread.is_alive()]:
            alive[0].join(0.2)
            with lock:
                new, seen = done_pixels - seen, done_pixels
            tick(new)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        torch.set_num_threads(before)
    if failures:
        raise failures[0]
    tick(done_pixels - seen)
