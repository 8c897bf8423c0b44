"""The tiles of one map as tasks of a Dask cluster: few at a time, and each result is kept as it comes.

Dask computes the tiles of a lost worker elsewhere, and gives up on a tile that takes several workers with
it. What a worker refuses is tried again, perhaps elsewhere, before the map fails.
"""

from __future__ import annotations

import contextlib
import math
import queue
import threading
import time
import uuid
from collections import Counter, deque
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from typing import Any

import dask
from distributed import KilledWorker

from sits_engine.context import JobContext
from sits_engine.errors import Cancelled, EngineError, InputError
from sits_engine.mapping import cluster_ask, cluster_worker
from sits_engine.mapping.cluster_worker import Answer, Refusal, TileJob
from sits_engine.mapping.produce import Keep, MapRequest, Tick
from sits_engine.mapping.segment_tiles import SegmentTiles
from sits_engine.series.time_series import TimeSeries
from sits_engine.series.types import Window

#: Seconds to wait for workers, at the start and when all are gone; Dask's configuration may say another
#: number under this name (`DASK_SITS__WAIT_FOR_WORKERS=3600` in the environment).
WAIT_KEY, WAIT_SECONDS = "sits.wait-for-workers", 120
#: Times that a tile is given to a worker before its refusal counts.
TRIES = 3
#: Seconds between two looks at who works.
WATCH_SECONDS = 1.0
#: Seconds without a word after which the log says who is silent.
QUIET_SECONDS = 10
#: Seconds after that until a silent worker that holds up a map is given up; Dask itself takes five minutes.
GIVE_UP_SECONDS = 50
#: Results that are kept at the same time.
KEEPERS = 2
#: Seconds to wait at the end for what may hang; a run that was asked to stop has about one in all.
END_SECONDS, STOP_SECONDS = 5.0, 0.25
SAME_ENGINE = (
    "Start scheduler and workers with this engine's Python, or one of the same version (docs/cluster.md)."
)


class TileRun:
    """The tiles of one map on their way.

    Args:
        client, address: connection and scheduler.
        kinds: kinds of devices that the workers had when they were asked.
        ctx: is told what happens.
        job, request: what to do.
        keep, tick: see `produce.Runner`.
    """

    def __init__(
        self,
        client: Any,
        address: str,
        kinds: Collection[str],
        ctx: JobContext,
        job: TileJob,
        request: MapRequest,
        keep: Keep,
        tick: Tick,
    ) -> None:
        self.client, self.address, self.kinds, self.ctx = client, address, kinds, ctx
        self.job, self.request, self.keep, self.tick = job, request, keep, tick
        self.name = f"sits-{job.key[:8]}-{uuid.uuid4().hex[:8]}"
        self.flying: dict[Window, Any] = {}
        #: Tiles that came back: None where the result is kept, else what hinders it.
        self.landed: queue.Queue[tuple[Window, Answer | None, BaseException | None]] = queue.Queue()
        self.tries: Counter[Window] = Counter()
        self.said: set[str] = set()
        self.over = threading.Event()
        self.fetchers = ThreadPoolExecutor(KEEPERS, "map-fetch")
        self.threads: dict[str, int] = {}
        #: Seconds that workers read and computed.
        self.seconds = [0.0, 0.0]
        #: When a worker was last seen, when the scheduler last answered, and when the last tile came.
        self.seen = self.heard = self.came = time.monotonic()
        self.keeping = threading.BoundedSemaphore(KEEPERS)

    def all(self, tiles: Sequence[Window]) -> None:
        """Compute them; returns when all are kept."""
        threading.Thread(target=self._watch, name="map-watch", daemon=True).start()
        todo = deque(tiles)
        topic = cluster_worker.topic(self.job)
        try:
            # (time, sentence); at once, since a tile comes back only when all its tries are over
            self.client.subscribe_topic(topic, lambda event: self._tell(event[1]))
            payload = self._payload()
            while todo or self.flying:
                while todo and len(self.flying) < self._most():
                    tile = todo.popleft()
                    try:
                        self._launch(payload, tile)
                    except Exception as problem:
                        raise self._explained(tile, problem) from problem
                try:
                    tile, answer, error = self.landed.get(timeout=0.2)
                except queue.Empty:
                    self.tick(0)
                    self._check()
                    continue
                del self.flying[tile]
                self.came = time.monotonic()
                if error is not None:
                    raise error
                if self._accepted(tile, answer):
                    self.tick(tile.height * tile.width)
                else:
                    todo.appendleft(tile)
            self._tell(self._shares())
        except BaseException as error:
            self._end(topic, STOP_SECONDS if isinstance(error, Cancelled) else END_SECONDS)
            raise
        self._end(topic, END_SECONDS)

    def _payload(self) -> Any:
        """The job as a task of its own: the scheduler keeps it, so that it outlives all workers."""
        with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1 GiB"}):
            return self.client.submit(cluster_worker.held, self.job, key=f"{self.name}-job")

    def _most(self) -> int:
        """Tiles on their way: at each worker one that is computed, one that is read, one that waits."""
        return max(2, sum(min(n, 2) + 1 for n in self.threads.values()))

    def _launch(self, payload: Any, tile: Window) -> None:
        self.tries[tile] += 1
        predictor = self.request.predictor
        parcels = None
        if isinstance(predictor, SegmentTiles) and predictor.parcels is not None:
            parcels = predictor.parcels.within(tile)  # those of a country would not fit
        key = f"{self.name}-{tile.row}-{tile.col}-{self.tries[tile]}"
        future = self.client.submit(
            cluster_worker.classify_tile, payload, tile, parcels, key=key, retries=TRIES - 1
        )
        self.flying[tile] = future
        future.add_done_callback(lambda done: self._landing(tile, done))

    def _landing(self, tile: Window, future: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the run is over
            self.fetchers.submit(self._fetch, tile, future)

    def _fetch(self, tile: Window, future: Any) -> None:
        """Bring an answer here and keep its result; the worker then forgets it."""
        if self.over.is_set():
            return
        answer: Answer | None = None
        error: BaseException | None = None
        try:
            answer = future.result()
        except BaseException as problem:
            error = self._explained(tile, problem)
        else:
            if answer is not None and answer.result is not None:
                with self.keeping:
                    if self.over.is_set():
                        return
                    try:
                        self.keep(tile, answer.result)
                    except BaseException as problem:  # handed to the calling thread
                        error = problem
        future.release()
        self.landed.put((tile, answer, error))

    def _accepted(self, tile: Window, answer: Answer | None) -> bool:
        """Say what is to be said of an answer; False where the tile must be tried again."""
        if answer is None:
            return True
        for sentence in answer.notices:
            self._say(f"Worker {answer.worker}: {sentence}")
        self.seconds = [one + more for one, more in zip(self.seconds, answer.seconds, strict=True)]
        if answer.refusal is not None:
            return self._tried(tile, answer.worker, answer.refusal)
        if answer.missing and isinstance(self.request.series, TimeSeries):
            self.request.series.missing.add(*answer.missing)
        if answer.device not in self.kinds:
            self._say(
                f"Worker {answer.worker} came later and computes on another kind of device ({answer.device}) "
                f"than the others ({', '.join(sorted(self.kinds))}): pixels may differ by rounding."
            )
        return True

    def _tried(self, tile: Window, worker: str, refusal: Refusal) -> bool:
        """Raise for a refusal that counts; False for one that doesn't yet."""
        if not refusal.final and self.tries[tile] < TRIES:
            self._tell(
                f"The {_named(tile)} failed at the worker {worker}: {refusal.message} Trying it again."
            )
            return False
        if refusal.final:
            text = f"The worker {worker} can't serve this map: {refusal.message}"
        else:
            text = (
                f"The {_named(tile)} failed {TRIES} times, at last at the worker {worker}: {refusal.message}"
            )
        raise EngineError(refusal.code, text, refusal.advice, worker=worker)

    def _explained(self, tile: Window, problem: BaseException) -> BaseException:
        """The error for a task without answer."""
        address = self.address
        if isinstance(problem, KilledWorker):
            return EngineError(
                "HOST_OOM",
                f"The {_named(tile)} ended {problem.allowed_failures + 1} workers of {address} one after the "
                "other.",
                "Mostly they had too little memory (logs of the workers say): give them more, or lower "
                "TILE_SIZE. Finished tiles are kept; the same run goes on.",
                tile=[tile.row, tile.col],
            )
        # what a broken connection is called depends on what was going on at that moment
        if isinstance(problem, (CancelledError, OSError)) or self.client.status != "running":
            return lost(address)
        return EngineError(
            "INTERNAL",
            f"A worker of {address} could not take up the {_named(tile)}: "
            f"{type(problem).__name__}: {problem}.",
            SAME_ENGINE,
        )

    def _check(self) -> None:
        """Raise where nothing can come any more."""
        if self.client.status not in ("running", "connecting"):
            raise lost(self.address)
        if time.monotonic() - self.seen > wait_seconds():
            raise no_workers(self.address, "All workers are gone")
        if time.monotonic() - self.heard > QUIET_SECONDS:
            self._tell(f"The Dask scheduler {self.address} hasn't answered for {QUIET_SECONDS} s.")

    def _watch(self) -> None:
        """Who works, now and then; in a thread of its own, since a scheduler may be slow to answer."""
        silence = Silence(self.client)
        while not self.over.is_set():
            with contextlib.suppress(Exception):  # the answers to tasks say what is wrong
                found = dict(self.client.nthreads())
                for gone in self.threads.keys() - found.keys():
                    self.ctx.info(f"Worker {gone} is gone: its unfinished tiles go to others.")
                self.threads = found
                self.heard = time.monotonic()
                if found:
                    self.seen = self.heard
                waiting = self.heard - self.came > QUIET_SECONDS
                for sentence in silence.look(waiting=waiting):
                    self._tell(f"No tile came for {QUIET_SECONDS} s. {sentence}")
            self.over.wait(WATCH_SECONDS)

    def _tell(self, sentence: str) -> None:
        """A line of the log, once."""
        if sentence and sentence not in self.said:
            self.said.add(sentence)
            self.ctx.info(sentence)

    def _shares(self) -> str:
        """What the workers did with their time; "" where they did nothing."""
        reading, computing = self.seconds
        if reading + computing <= 0:
            return ""
        share = 100 * reading / (reading + computing)
        out = (
            "more workers, or a clipped copy near them ('Build image time series', CLIP_FOLDER)"
            if share > 50
            else "more workers or graphics cards"
        )
        return (
            f"The workers' work was reading to {share:.0f} % and computing to {100 - share:.0f} %: use {out}."
        )

    def _say(self, sentence: str) -> None:
        if sentence not in self.said:
            self.said.add(sentence)
            self.ctx.warn(sentence)

    def _end(self, topic: str, patience: float) -> None:
        """Nothing of this run stays at the cluster; nobody is waited for longer than `patience` (seconds)."""
        self.over.set()
        flying = list(self.flying.values())

        def leave() -> None:
            if flying:
                self.client.cancel(flying, force=True)
            self.client.unsubscribe_topic(topic)

        if self.client.status == "running":
            aside(leave, patience)
        # what is being kept at this moment shall be whole before the journal is given free
        kept = [self.keeping.acquire(timeout=END_SECONDS) for _ in range(KEEPERS)]
        # a worker that is silent holds up those that fetch from it
        self.fetchers.shutdown(wait=False, cancel_futures=True)
        for _ in filter(None, kept):
            self.keeping.release()  # who comes late sees that it is over, and holds nothing up


class Silence:
    """Workers of which the scheduler hasn't heard for long, and since when that is seen here.

    A frozen worker keeps its connections, so no timeout of theirs ends. Whoever waits for what it holds, by
    the scheduler or at another worker, waits until the scheduler gives it up.
    """

    def __init__(self, client: Any) -> None:
        self.client, self.since = client, dict[str, float]()

    def look(self, *, waiting: bool = True) -> list[str]:
        """A sentence for each, if somebody waits; those that were silent for long are given up then."""
        now = time.monotonic()
        found = self.client.run_on_scheduler(cluster_ask.silence)
        silent = [worker for worker, seconds in found.items() if seconds > QUIET_SECONDS]
        self.since = {worker: self.since.get(worker, now) for worker in silent}
        if not waiting:
            return []
        late = [worker for worker, since in self.since.items() if now - since > GIVE_UP_SECONDS]
        given_up = self.client.run_on_scheduler(cluster_ask.give_up, late) if late else []
        return [
            f"Worker {worker} still doesn't answer: it is given up, and others compute its tiles."
            if worker in given_up
            else f"Worker {worker} hasn't answered for more than {QUIET_SECONDS} s: it is frozen or cut off. "
            "End it, and others compute its tiles; after a minute Dask is asked to give it up."
            for worker in silent
        ]


def aside(call: Callable[[], Any], seconds: float = END_SECONDS) -> None:
    """Do something that may hang or fail, and that nothing depends on."""

    def run() -> None:
        with contextlib.suppress(Exception):
            call()

    thread = threading.Thread(target=run, name="map-cluster-end", daemon=True)
    thread.start()
    thread.join(seconds)


def wait_seconds() -> float:
    """How long to wait for workers.

    Raises:
        InputError: the user's own value is no number of seconds.
    """
    given = dask.config.get(WAIT_KEY, WAIT_SECONDS)
    try:
        seconds = float(given)
    except (TypeError, ValueError):
        seconds = math.nan
    if not seconds >= 0:  # not of NaN either
        raise InputError(
            f"DASK_SITS__WAIT_FOR_WORKERS ({WAIT_KEY} in Dask's configuration) is no number of seconds: "
            f"{given!r}.",
            f"Set a number such as 3600, or remove it: {WAIT_SECONDS} s are usual.",
        )
    return seconds


def lost(address: str) -> EngineError:
    """The error where the scheduler is gone."""
    return EngineError(
        "NETWORK",
        f"The Dask scheduler {address} was lost, or it threw the tasks of this map away.",
        "Finished tiles are kept: run it again when the cluster is back, or without SCHEDULER.",
    )


def no_workers(address: str, what: str) -> EngineError:
    """The error where nobody works; `what` begins its sentence."""
    return EngineError(
        "NETWORK",
        f"{what} for {wait_seconds():g} seconds (scheduler {address}).",
        "Start workers and run it again; finished tiles are kept. To wait longer, set "
        "DASK_SITS__WAIT_FOR_WORKERS (seconds) in the environment.",
    )


def _named(tile: Window) -> str:
    return f"tile at row {tile.row}, column {tile.col} ({tile.width} x {tile.height} pixels)"
