"""Where the time of a map went: how long each stage was busy, and how long one waited for another."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

import psutil

from sits_engine.device import threads

Stage = Literal["reading", "computing", "writing"]
#: Threads in which predictors compute (`models.workers`) bear this name.
COMPUTERS = "sits-compute"
#: With a larger share of the processors' time used, stages compete for processors instead of waiting.
SATURATED = 0.75
#: Readers that use less than this share of the processors while they read wait for something else.
DECODING = 0.4


@dataclass(frozen=True)
class Timings:
    """Seconds of a run of the pipeline.

    Attributes:
        elapsed: from the beginning to the end.
        reading, computing, writing: busy, summed over the threads of the stage.
        starting: before the first tile was classified, for what is done once (the network is compiled);
            summed over the threads that compute.
        starved: threads that compute waited for tiles to be read, once they had started.
        blocked: threads that compute waited for results to be written.
        read_processor, compute_processor, write_processor: processor seconds; 0 where the system doesn't
            tell.
        readers, workers: threads that read and that compute.
        processors: that the process may use.
        card: the network runs on a graphics card.
        tiles: that were read.
        machine: share of the processor seconds of the whole machine that were used, by any program; 0 where
            the system doesn't tell.
    """

    elapsed: float
    reading: float = 0.0
    computing: float = 0.0
    writing: float = 0.0
    starting: float = 0.0
    starved: float = 0.0
    blocked: float = 0.0
    read_processor: float = 0.0
    compute_processor: float = 0.0
    write_processor: float = 0.0
    readers: int = 1
    workers: int = 1
    processors: int = 1
    card: bool = False
    tiles: int = 0
    machine: float = 0.0

    @property
    def saturated(self) -> bool:
        """The processors were busy, so that who used them is who took the time."""
        used = self.read_processor + self.compute_processor + self.write_processor
        return used > SATURATED * self.processors * self.elapsed and self.read_processor > 0

    def shares(self) -> dict[Stage, float]:
        """Share of the time that each stage took of the map, 0..1, in sum 1.

        Where the processors are busy and the network runs on them, a stage's share is that of the processor
        seconds. Otherwise it is what the threads that compute saw: busy, waiting for input or for output.
        """
        if self.saturated and not self.card:
            parts = self.read_processor, self.compute_processor, self.write_processor
        else:
            parts = self.starved, self.computing, self.blocked
        total = sum(parts) or 1.0
        return {"reading": parts[0] / total, "computing": parts[1] / total, "writing": parts[2] / total}

    @property
    def waiting(self) -> float:
        """Share of the time that the threads that compute waited for input, 0..1."""
        return min(1.0, self.starved / max(1e-9, self.elapsed * self.workers))

    @property
    def mostly_starting(self) -> bool:
        """What is done once took more time than the tiles."""
        return self.starting > 0.5 * self.elapsed * self.workers

    @property
    def crowded(self) -> bool:
        """The machine's processors were busy, but not with this map."""
        return self.machine > SATURATED and not self.saturated

    @property
    def decoding(self) -> bool:
        """Readers kept processors busy, rather than waiting for a disk or a network."""
        busy = min(self.reading, self.elapsed) * self.processors
        return self.saturated or self.read_processor > DECODING * busy


class MachineClock:
    """Counts the processor seconds of the whole machine from now on."""

    def __init__(self) -> None:
        self._began = _machine_seconds()

    def used(self) -> float:
        """Share that was used since, by any program, 0..1; 0 where the system doesn't tell."""
        (all_now, idle_now), (all_then, idle_then) = _machine_seconds(), self._began
        every = all_now - all_then
        return 0.0 if every <= 0 else min(1.0, max(0.0, 1 - (idle_now - idle_then) / every))


def _machine_seconds() -> tuple[float, float]:
    """(all, idle) processor seconds since the machine started."""
    try:
        found = psutil.cpu_times()
    except (psutil.Error, OSError, NotImplementedError):
        return 0.0, 0.0
    # guests' seconds are in those of their hosts
    names = [name for name in found._fields if name not in ("guest", "guest_nice")]
    idle = found.idle + getattr(found, "iowait", 0.0)
    return float(sum(getattr(found, name) for name in names)), float(idle)


@dataclass
class Stopwatch:
    """Counts while a pipeline runs; safe from several threads."""

    card: bool = False
    readers: int = 1
    workers: int = 1
    tiles: int = 0
    _began: float = field(default_factory=time.perf_counter)
    _process: float = field(default_factory=time.process_time)
    _machine: MachineClock = field(default_factory=lambda: MachineClock())
    _computers: float | None = field(default_factory=lambda: thread_seconds(COMPUTERS))
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def measure(self, what: str) -> Iterator[None]:
        """Count the seconds of the block, and the processor seconds of its thread."""
        began, own = time.perf_counter(), time.thread_time()
        try:
            yield
        finally:
            seconds, processor = time.perf_counter() - began, time.thread_time() - own
            with self._lock:
                self._seconds[what] = self._seconds.get(what, 0.0) + seconds
                key = what + " processor"
                self._seconds[key] = self._seconds.get(key, 0.0) + processor

    def timings(self) -> Timings:
        """What was counted so far."""
        with self._lock:
            found = dict(self._seconds)
        computing, writing = self._known(found)
        every = time.process_time() - self._process
        return Timings(
            elapsed=time.perf_counter() - self._began,
            reading=found.get("reading", 0.0),
            computing=found.get("computing", 0.0),
            writing=found.get("writing", 0.0),
            starting=found.get("starting", 0.0),
            starved=found.get("starved", 0.0),
            blocked=found.get("blocked", 0.0),
            # GDAL decodes in threads of its own that end at once: reading is what is left of the process
            read_processor=max(0.0, every - computing - writing) if computing else 0.0,
            compute_processor=computing,
            write_processor=writing,
            readers=self.readers,
            workers=self.workers,
            processors=threads(),
            card=self.card,
            tiles=self.tiles,
            machine=self._machine.used(),
        )

    def _known(self, found: dict[str, float]) -> tuple[float, float]:
        """Processor seconds of computing and of writing; zeros where the system doesn't tell."""
        now = thread_seconds(COMPUTERS)
        if now is None or self._computers is None:
            return 0.0, 0.0
        pool = max(0.0, now - self._computers)
        return pool + found.get("computing processor", 0.0), found.get("writing processor", 0.0)


def thread_seconds(prefix: str) -> float | None:
    """Processor seconds of this process' threads whose names begin so; None where the system doesn't tell."""
    wanted = {one.native_id for one in threading.enumerate() if one.name.startswith(prefix)}
    if not wanted:
        return 0.0
    try:
        found = psutil.Process().threads()
    except (psutil.Error, OSError, NotImplementedError):
        return None
    return float(sum(one.user_time + one.system_time for one in found if one.id in wanted))
