"""A map on a Dask cluster: its workers are asked first, then they compute tiles (`cluster_run`).

The journal keeps what is finished whatever happens, so the same run goes on, on a cluster or without one.
"""

from __future__ import annotations

import contextlib
import dataclasses
import pkgutil
import platform
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from distributed import Client
from distributed.comm.core import CommClosedError

from sits_engine import __version__
from sits_engine.context import JobContext, counted
from sits_engine.errors import EngineError, InputError
from sits_engine.mapping import cluster_ask, cluster_worker
from sits_engine.mapping.cluster_run import (
    END_SECONDS,
    QUIET_SECONDS,
    SAME_ENGINE,
    STOP_SECONDS,
    Silence,
    TileRun,
    aside,
    no_workers,
    wait_seconds,
)
from sits_engine.mapping.cluster_worker import TileJob
from sits_engine.mapping.journal import fingerprint
from sits_engine.mapping.produce import Keep, MapRequest, Runner, Tick
from sits_engine.mapping.recipes import Recipe
from sits_engine.models import libraries
from sits_engine.series.time_series import TimeSeries
from sits_engine.series.types import Window

T = TypeVar("T")
#: Seconds for the scheduler to answer.
CONNECT_SECONDS = 20
#: Seconds between two looks at who is still there while workers are asked.
LOOK_SECONDS = 1.0
#: Where the version of an engine stands.
ENGINE = "sits_engine:__version__"


class Cluster:
    """Workers that were asked whether they can make maps.

    Attributes:
        client, address, ctx: connection, scheduler, and who is told.
        kinds, kind: kinds of devices that compute, for the journal: 'cpu', 'cuda', 'cpu+cuda'.
        label: for people.
    """

    def __init__(
        self, client: Any, address: str, ctx: JobContext, workers: Mapping[str, Mapping[str, Any]]
    ) -> None:
        self.client, self.address, self.ctx = client, address, ctx
        self.kinds = {facts["device"] for facts in workers.values()}
        self.kind = "+".join(sorted(self.kinds))
        self.label = f"Dask cluster, {counted(len(workers), 'worker')}"

    def takes(
        self,
        request: MapRequest,
        recipe: Recipe,
        model: Path,
        device: str,
        threads: int,
        facts: Mapping[str, Any],
    ) -> tuple[MapRequest, Runner]:
        """The request in the words of this cluster, and the runner that serves it there.

        Args:
            request: as for a map on this computer, with a `TimeSeries`.
            recipe: how its model is opened.
            model: the model's file.
            device: what the user asked for; each worker chooses.
            threads: of the predictor; 0 for those that a worker offers.
            facts: all that the map depends on.
        """
        if not isinstance(request.series, TimeSeries):
            raise TypeError("only a TimeSeries travels")
        work = request.work
        job = TileJob(
            key=fingerprint({**facts, "device": device, "threads": threads}),
            engine=__version__,
            series=request.series,
            sizes=cluster_worker.local_sizes(request.series),
            bands=tuple(work.bands),
            region=work.region,
            recipe=recipe,
            model_name=model.name,
            model=model.read_bytes(),
            device=device,
            threads=threads,
            processors=request.plan.threads,
            n_classes=work.n_classes,
            want_probabilities=work.want_probabilities,
        )

        def run(request: MapRequest, tiles: Sequence[Window], keep: Keep, tick: Tick) -> None:
            TileRun(self.client, self.address, self.kinds, self.ctx, job, request, keep, tick).all(tiles)

        return dataclasses.replace(request, phase=f"Classifying on a {self.label}"), run


@contextlib.contextmanager
def connected(address: str, device: str, ctx: JobContext) -> Iterator[Cluster]:
    """The cluster of a scheduler, once it has workers and all of them can serve.

    Raises:
        InputError: no scheduler there, or a worker that can't serve (named, with the reason).
        EngineError: no workers in time.
    """
    wait_seconds()  # a wrong value is said at once
    ctx.progress(0.0, f"Connecting to the Dask scheduler {address}")
    client = _client(address, ctx)
    try:
        workers: dict[str, dict[str, Any]] = {}
        began = time.monotonic()
        while not workers:
            _wait_for_workers(client, address, ctx, began)
            workers = _asked(client, address, device, ctx)
        for sentence in _differences(workers):
            ctx.warn(sentence)
        hosts = len({facts["host"] for facts in workers.values()})
        labels = Counter(facts["label"] for facts in workers.values())
        ctx.info(
            f"Dask cluster {address}: {counted(len(workers), 'worker')} on {counted(hosts, 'machine')}; "
            + "; ".join(f"{n} x {label}" for label, n in labels.most_common())
            + "."
        )
        yield Cluster(client, address, ctx, workers)
    finally:
        # closing waits for a scheduler that may be gone
        aside(client.close, STOP_SECONDS if ctx.cancelled else END_SECONDS)


class _Client(Client):
    """A client that is closed by hand: Dask's own, forgotten before it connected, holds up the process."""

    def __del__(self) -> None: ...


def _client(address: str, ctx: JobContext) -> Any:
    make: Any = _Client  # its methods have no types
    began = time.monotonic()

    def look() -> None:
        # Dask's own limit doesn't count while something else (a web server) keeps the connection open
        if time.monotonic() - began > CONNECT_SECONDS + LOOK_SECONDS:
            raise TimeoutError(f"what listens there says nothing that Dask says, in {CONNECT_SECONDS} s")

    try:
        return _patiently(
            lambda: make(address, timeout=CONNECT_SECONDS, set_as_default=False, name="sits"),
            ctx,
            lambda client: client.close(),
            look,
        )
    except EngineError:
        raise
    except Exception as error:
        raise InputError(
            f"No Dask scheduler answers at {address}: {_reason(error)}.",
            "Check SCHEDULER (such as tcp://host:8786, as `dask scheduler` prints it; 8787 is the port of "
            "its dashboard), that the scheduler runs, and that no firewall is between; for tls:// also the "
            "certificates in Dask's settings.",
        ) from error


def _wait_for_workers(client: Any, address: str, ctx: JobContext, began: float) -> None:
    said = False
    while not _patiently(client.nthreads, ctx):
        if time.monotonic() - began > wait_seconds():
            raise no_workers(address, "No worker came")
        if not said:
            ctx.info(f"The Dask scheduler {address} has no workers yet.")
            said = True
        ctx.progress(0.0, "Waiting for workers")
        time.sleep(0.2)


def _asked(client: Any, address: str, device: str, ctx: JobContext) -> dict[str, dict[str, Any]]:
    """Facts of each worker (`cluster_worker.describe`) that doesn't go away meanwhile.

    Raises:
        InputError: one of them can't serve.
    """
    ctx.progress(0.0, "Asking the workers")
    # by a function of the standard library: ours would be missing where the engine is
    versions = _of_all(client, ctx, pkgutil.resolve_name, ENGINE)

    def of_scheduler() -> Any:
        try:
            return client.run_on_scheduler(pkgutil.resolve_name, ENGINE)
        except Exception as error:
            return error

    answered = set(versions)
    # the scheduler unpacks tasks as well
    versions = {"scheduler": _patiently(of_scheduler, ctx), **versions}
    problems = {
        who: f"it can't import sits_engine ({_reason(found)})"
        if isinstance(found, Exception)
        else f"its engine is {found}"
        for who, found in versions.items()
        if found != __version__
    }
    _refuse(address, problems, f"This engine is {__version__}. {SAME_ENGINE}")
    _patiently(lambda: client.run_on_scheduler(cluster_ask.ready), ctx)
    facts = _of_all(client, ctx, cluster_ask.describe, device, known=answered)
    failed = {worker: _reason(found) for worker, found in facts.items() if isinstance(found, Exception)}
    _refuse(address, failed, SAME_ENGINE)
    python = platform.python_version_tuple()[:2]
    other = {
        worker: f"its Python is {own['python']}"
        for worker, own in facts.items()
        if tuple(own["python"].split(".")[:2]) != python
    }
    _refuse(address, other, f"This Python is {platform.python_version()}. {SAME_ENGINE}")
    without = {worker: own["problem"] for worker, own in facts.items() if "problem" in own}
    _refuse(address, without, "Choose another DEVICE ('auto' takes what each worker has).")
    return dict(facts)


class _LeftError(Exception):
    """Workers went away while they were asked."""


def _of_all(
    client: Any, ctx: JobContext, question: Callable[..., Any], *given: Any, known: Collection[str] = ()
) -> dict[str, Any]:
    """Answers (or exceptions) of all workers; those that go away are left out, with a sentence.

    `known` are workers that answered before.

    Dask itself goes on calling a worker that is gone for half a minute.
    """

    def present() -> set[str]:
        return set(_patiently(client.nthreads, ctx))

    said: set[str] = set()
    silence, silent = Silence(client), set[str]()
    while True:
        asked = present()
        if not asked:
            return {}
        began = looked = time.monotonic()

        def look(asked: set[str] = asked, began: float = began) -> None:
            nonlocal looked
            if time.monotonic() - looked > LOOK_SECONDS:
                looked = time.monotonic()
                if asked - present():
                    raise _LeftError
                if looked - began > QUIET_SECONDS:
                    for sentence in set(_patiently(silence.look, ctx)) - silent:
                        silent.add(sentence)
                        ctx.info(sentence)

        found: dict[str, Any] = {}
        with contextlib.suppress(_LeftError):
            found = _patiently(
                lambda: client.run(question, *given, workers=list(asked), on_error="return"),  # noqa: B023
                ctx,
                look=look,
            )
        broken = {worker for worker, answer in found.items() if isinstance(answer, CommClosedError)}
        gone = broken | (asked.union(known) - present())
        for worker in sorted(gone - said):
            ctx.info(f"Worker {worker} went away while it was asked: the map is made without it.")
        said |= gone
        answers = {worker: answer for worker, answer in found.items() if worker not in gone}
        if answers:
            return answers


def _refuse(address: str, problems: Mapping[str, str], advice: str) -> None:
    """Raise where a worker has a problem."""
    if problems:
        worker, reason = next(iter(problems.items()))
        more = f" (and {len(problems) - 1} others)" if len(problems) > 1 else ""
        raise InputError(
            f"The {'' if worker == 'scheduler' else 'worker '}{worker}{more} of {address} can't make maps: "
            f"{reason.rstrip('.')}.",
            advice,
            workers=dict(problems),
        )


def _some(workers: Sequence[str]) -> str:
    """The first of them, and how many more."""
    more = len(workers) - 1
    return workers[0] + (f" and {counted(more, 'other')}" if more else "")


def _differences(workers: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What makes equal tiles unequal: other devices, processors or versions of PyTorch."""
    said = []
    kinds = Counter(facts["device"] for facts in workers.values())
    if len(kinds) > 1:
        found = ", ".join(f"{n} x {kind}" for kind, n in kinds.most_common())
        said.append(
            f"The workers have different kinds of devices ({found}): pixels may differ by rounding with the "
            "worker that computed them. DEVICE 'cpu' or 'cuda' makes them equal."
        )
    for key, what, here in (
        ("arithmetic", "processors or compilers", libraries.arithmetic),
        ("torch", "versions of PyTorch", lambda: str(torch.__version__)),
    ):
        others: dict[str, list[str]] = {}
        for worker, facts in sorted(workers.items()):
            if facts.get(key, here()) != here():  # cards have no arithmetic of this kind
                others.setdefault(facts[key], []).append(worker)
        if others:
            named = "; ".join(f"{fact} at {_some(those)}" for fact, those in sorted(others.items()))
            said.append(
                f"Workers have other {what} than this computer ({here()}): {named}. "
                "The map may differ by rounding from one made here."
            )
    return said


def _patiently(
    call: Callable[[], T],
    ctx: JobContext,
    undo: Callable[[T], None] | None = None,
    look: Callable[[], None] | None = None,
) -> T:
    """Result of a call that may take long; cancelled at once if the user says so.

    Args:
        call: runs in a thread of its own.
        ctx: of the job.
        undo: takes away what the call makes after it was given up.
        look: called now and then meanwhile; raises to give up.
    """
    done: queue.Queue[tuple[T | None, BaseException | None]] = queue.Queue()
    given_up = threading.Event()

    def run() -> None:
        try:
            found = call()
        except BaseException as error:  # handed to the calling thread
            done.put((None, error))
            return
        done.put((found, None))
        if undo is not None and given_up.is_set():
            undo(found)

    threading.Thread(target=run, name="map-cluster", daemon=True).start()
    while True:
        try:
            found, error = done.get(timeout=0.2)
        except queue.Empty:
            try:
                ctx.check_cancelled()
                if look is not None:
                    look()
            except BaseException:
                given_up.set()
                raise
            continue
        if error is not None:
            raise error
        return found  # type: ignore[return-value]


def _reason(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__).rstrip(".")
