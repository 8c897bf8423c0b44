"""Reading, computing and storing overlap: reader, worker and writer with short queues between them."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from sits_engine.errors import Cancelled
from sits_engine.mapping.ahead import Ahead
from sits_engine.mapping.classify import PixelPredictor, Starting, TileModel, TileResult, classify, nothing_of
from sits_engine.mapping.finer import finer_region, finer_window
from sits_engine.mapping.timings import Stopwatch, Timings
from sits_engine.samples.region import Region
from sits_engine.series.missing import MissingImages
from sits_engine.series.types import Cube, Window

#: Windows that wait between readers and worker beside those that are being read (one less), and results
#: between worker and writer. With those in work this bounds the memory, whatever the number of processors.
QUEUE = 2
#: Threads that read on many processors, and from servers: while one waits for the last dates of its window,
#: the other begins the next. Few processors are never idle: there a second one only costs memory and time
#: (two processors, reading alone: 0.94 of the speed with two readers, 0.90 with four).
READERS, FEW = 2, 4
#: Threads that compute beside a card: while it works for one, the other cuts, pins and fetches.
CARD_WORKERS = 2
#: Pixels between two looks at the cancel flag, for each processor: below half a second on slow ones.
#: Processors wait for each other there.
CHUNK = 8192


T = TypeVar("T")
Mask = npt.NDArray[np.bool_] | None


class Readable(Protocol):
    """The part of a time series that the pipeline reads."""

    @property
    def positions(self) -> npt.NDArray[np.int32]: ...  # noqa: D102
    @property
    def missing(self) -> MissingImages: ...  # noqa: D102
    def read(self, window: Window, bands: Sequence[str]) -> Cube: ...  # noqa: D102


@dataclass(frozen=True)
class Plan:
    """How the work is spread.

    Attributes:
        threads: threads that the predictor may use; it gives each of them small batches of its own
            (design/performance.md: better than several threads inside one operator).
        chunk: pixels between two looks at the cancel flag.
        readers: threads that read windows (each spreads its dates over `series.pool`).
        workers: threads that hand windows to the predictor.
        card: the predictor runs on a graphics card.
    """

    threads: int
    chunk: int
    readers: int = 1
    workers: int = 1
    card: bool = False


def plan(cpu: bool, processors: int, wanted: int = 0) -> Plan:
    """Spread the work.

    Args:
        cpu: the device is the CPU.
        processors: processors that this process may use.
        wanted: threads that the user asks for, 0 for all processors.
    """
    threads = wanted or processors
    readers = READERS if processors > FEW else 1
    if cpu:
        return Plan(threads, CHUNK * threads, readers)
    return Plan(threads, 2**18, readers, CARD_WORKERS, card=True)


@dataclass(frozen=True)
class TileWork:
    """What is done with each tile, wherever it is done: here, or at a worker of a cluster.

    Attributes:
        series: what to read.
        bands: the series' names of the model's bands, in the model's order.
        region: masks pixels outside.
        predictor: the model, for pixels, or for tiles (whose results may be finer than the tiles).
        n_classes: classes of a model for pixels.
        chunk: see `Plan`.
        want_probabilities: whether results hold them.
    """

    series: Readable
    bands: Sequence[str]
    region: Region
    predictor: PixelPredictor | TileModel
    n_classes: int
    chunk: int
    want_probabilities: bool = False

    def start(self) -> None:
        """What is done once, before the first tile is classified; tiles can be read meanwhile."""
        if isinstance(self.predictor, Starting):
            self.predictor.start()

    def read(self, tile: Window) -> tuple[Cube | None, Mask]:
        """(what the model must see of a tile or None where it needs nothing, mask of wanted pixels)."""
        whole = self.predictor if isinstance(self.predictor, TileModel) else None
        scale = 1 if whole is None else whole.scale
        inside = finer_region(self.region, scale).mask(finer_window(tile, scale))
        if whole is None:
            area, nothing = tile, inside is not None and not inside.any()
        else:
            area, nothing = whole.area(tile), not whole.needed(tile, inside)
        return None if nothing else self.series.read(area, self.bands), inside

    def classify(
        self, tile: Window, cube: Cube | None, inside: Mask, step: Callable[[int], None]
    ) -> TileResult:
        """What the map holds of a tile that was `read`; `step` gets its pixels as they are done."""
        if cube is not None:
            result = self._seen(tile, cube, inside, step)
            return replace(result, missing=cube.missing) if cube.missing else result
        step(tile.height * tile.width)
        if isinstance(self.predictor, TileModel):
            return self.predictor.nothing(tile, self.want_probabilities)
        return nothing_of(tile, self.n_classes if self.want_probabilities else 0)

    def _seen(self, tile: Window, cube: Cube, inside: Mask, step: Callable[[int], None]) -> TileResult:
        predictor = self.predictor
        if isinstance(predictor, TileModel):
            return predictor.classify(
                cube,
                tile,
                inside,
                self.series.positions,
                want_probabilities=self.want_probabilities,
                step=step,
            )
        return classify(
            cube,
            inside,
            predictor,
            self.series.positions,
            self.n_classes,
            want_probabilities=self.want_probabilities,
            chunk=self.chunk,
            step=step,
        )


def run_tiles(
    job: TileWork,
    tiles: Sequence[Window],
    how: Plan,
    keep: Callable[[Window, TileResult], None],
    tick: Callable[[int], None],
) -> Timings:
    """Classify `tiles`; `keep` is called once for each, from a thread of its own.

    Args:
        job: what to do with each.
        tiles: windows of the series' grid.
        how: see `plan`. Results don't depend on the numbers of threads.
        keep: stores the result of a window.
        tick: called from the calling thread at least every 0.2 s with the pixels done since the last call;
            raises to stop everything.

    Returns:
        How long each stage was busy, and how long one waited for another.

    Raises:
        Whatever reader, predictor, `keep` or `tick` raised first; all threads have ended by then.
    """
    stop = threading.Event()
    cubes: Ahead[tuple[Window, Cube | None, Mask]] = Ahead(len(tiles), how.readers + QUEUE - 1, stop)
    results: queue.Queue[tuple[Window, TileResult] | None] = queue.Queue(QUEUE)
    watch = Stopwatch(how.card, how.readers, how.workers)
    failures: list[BaseException] = []
    lock = threading.Lock()
    done_pixels, working = 0, how.workers

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
        while (number := cubes.claim()) is not None:
            with watch.measure("reading"):
                found = job.read(tiles[number])
            cubes.put(number, (tiles[number], *found))
            del found  # not to hold a window while waiting for a turn

    def taken() -> tuple[Window, Cube | None, Mask] | None:
        with watch.measure("starved"):
            return cubes.take()

    def work() -> None:
        nonlocal working
        torch.set_num_threads(how.threads)  # OpenMP counts threads for each calling thread
        with watch.measure("starting"):
            job.start()
        while (item := taken()) is not None:
            tile, cube, inside = item
            with watch.measure("computing"):
                result = job.classify(tile, cube, inside, count)
            with watch.measure("blocked"):
                _put(results, (tile, result), stop)
            del item, cube, result  # not to hold a window while waiting for the next
        with lock:
            working -= 1
            last = working == 0
        if last:
            _put(results, None, stop)

    def write() -> None:
        while (item := _get(results, stop)) is not None:
            with watch.measure("writing"):
                keep(*item)

    before = torch.get_num_threads()
    stages = [read] * how.readers + [work] * how.workers + [write]
    threads = [
        threading.Thread(target=guarded(stage), name=f"map-{stage.__name__}", daemon=True) for stage in stages
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
    return watch.timings()


def _put(waiting: queue.Queue[T], item: T, stop: threading.Event) -> None:
    """Put an item unless everything stops."""
    while not stop.is_set():
        try:
            waiting.put(item, timeout=0.1)
            return
        except queue.Full:
            continue


def _get(waiting: queue.Queue[T], stop: threading.Event) -> T | None:
    """The next item; None at the end, or if everything stops."""
    while not stop.is_set():
        try:
            return waiting.get(timeout=0.1)
        except queue.Empty:
            continue
    return None
