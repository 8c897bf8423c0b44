"""What a worker of a Dask cluster does: it opens series and model once and answers for tiles.

One tile is computed while the next is read, whatever the number of threads that the worker offers: that
bounds its memory. What goes over the wire is plain data; what goes wrong comes back as data, too, so that the
client can say which worker it was.
"""

from __future__ import annotations

import logging
import os
import platform
import socket
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from distributed import get_worker

from sits_engine import __version__
from sits_engine.addresses import guard_logs
from sits_engine.device import select
from sits_engine.errors import Cancelled, EngineError, InputError, from_exception
from sits_engine.mapping.classify import TileResult
from sits_engine.mapping.parcel_sums import ParcelPixels
from sits_engine.mapping.pipeline import CARD_WORKERS, TileWork, plan
from sits_engine.mapping.recipes import Recipe
from sits_engine.mapping.segment_tiles import SegmentTiles
from sits_engine.mapping.tiles import CACHE_MB
from sits_engine.models import libraries
from sits_engine.samples.region import Region
from sits_engine.series.scenes import over_network
from sits_engine.series.time_series import TimeSeries
from sits_engine.series.types import Missing, Window

log = logging.getLogger("sits_engine")

#: Series with models that a worker keeps open: of the map at hand, and of one beside it.
KEPT = 2


@dataclass(frozen=True)
class TileJob:
    """What all tiles of a map have in common.

    Attributes:
        key: changes with any of the others.
        engine: version of the engine.
        series: as the job opened it.
        sizes: bytes of its local files, as the job sees them.
        bands: its names of the model's bands, in the model's order.
        region: what is mapped.
        recipe: how the model is opened.
        model_name, model: name and content of its file.
        device: what the user asked for; settled at the worker.
        threads: of the predictor; 0 for those that the worker offers.
        processors: threads of the client's own plan, from which those pixels between two looks at the cancel
            flag follow that make batches equal (see `pipeline.plan`).
        n_classes: classes of a model for pixels.
        want_probabilities: whether results hold them.
    """

    key: str
    engine: str
    series: TimeSeries
    sizes: Mapping[str, int]
    bands: Sequence[str]
    region: Region
    recipe: Recipe
    model_name: str
    model: bytes = field(repr=False)
    device: str
    threads: int
    processors: int
    n_classes: int
    want_probabilities: bool


@dataclass(frozen=True)
class Refusal:
    """Why a worker gave no result.

    Attributes:
        code, message, advice: of an `EngineError`.
        final: no other try can help: this worker can't serve this map.
    """

    code: str
    message: str
    advice: str
    final: bool


@dataclass(frozen=True)
class Answer:
    """What comes back for a tile.

    Attributes:
        worker: who it was.
        result, refusal: one of the two.
        notices: words for the user.
        device: kind of device that computed.
        missing: images that couldn't be read.
        seconds: that reading and computing took.
    """

    worker: str
    result: TileResult | None
    refusal: Refusal | None = None
    notices: tuple[str, ...] = ()
    device: str = ""
    missing: tuple[Missing, ...] = ()
    seconds: tuple[float, float] = (0.0, 0.0)


@dataclass
class _Opened:
    """Series and model of a job at this worker."""

    work: TileWork
    series: TimeSeries
    device: str
    notices: list[str]


_opened: OrderedDict[str, _Opened] = OrderedDict()
_opening = threading.Lock()
#: Tiles whose pixels are in memory: one is read, one computed, one waits.
_alive = threading.Semaphore(3)
_reading = threading.Lock()
#: On a processor one tile at a time is computed, beside a card as in `pipeline`.
_computing = {"cpu": threading.Semaphore(1), "card": threading.Semaphore(CARD_WORKERS)}


def describe(device: str) -> dict[str, Any]:
    """Facts of this worker: versions, host, the device that it chooses, and how a processor computes.

    `problem` says why it has none. Plain data: errors of ours may not be known where they arrive.
    """
    facts: dict[str, Any] = {
        "engine": __version__,
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "host": socket.gethostname(),
    }
    try:
        chosen = select(device)
    except EngineError as error:
        return {**facts, "problem": error.message}
    if chosen.is_cpu:
        facts["arithmetic"] = libraries.arithmetic()
    return {**facts, "device": chosen.torch.type, "label": chosen.label}


def held(job: TileJob) -> TileJob:
    """The job as a task, so that it reaches each worker once, and again after all workers were lost."""
    return job


def classify_tile(job: TileJob, tile: Window, parcels: ParcelPixels | None) -> Answer:
    """What the map holds of a tile; `parcels` are pixels in it that are measured on the way."""
    opened: _Opened | None = None
    name = f"{get_worker().address} ({socket.gethostname()})"
    try:
        with _alive:
            opened = _open(job)
            work = opened.work
            if parcels is not None and isinstance(work.predictor, SegmentTiles):
                own = work.predictor
                work = replace(work, predictor=SegmentTiles(own.predictor, own.grid, parcels))
            with _reading:
                began = time.perf_counter()
                cube, inside = work.read(tile)
                reading = time.perf_counter() - began
            with _computing["cpu" if opened.device == "cpu" else "card"]:
                torch.set_num_threads(job.threads or get_worker().state.nthreads)
                began = time.perf_counter()
                result = work.classify(tile, cube, inside, _still_wanted())
                computing = time.perf_counter() - began
        said, opened.notices[:] = tuple(opened.notices), []
        missing = () if cube is None else cube.missing
        return Answer(name, result, None, said, opened.device, missing, (reading, computing))
    except Exception as error:
        if not isinstance(error, Cancelled):
            log.exception("tile %s of map %s", tile, job.key[:12])
        plain = from_exception(error)
        return Answer(name, None, Refusal(plain.code, plain.message, plain.advice, final=opened is None))


def _still_wanted() -> Any:
    """A function for `step` that raises once nobody waits for the task at hand any more."""
    worker = get_worker()
    key = worker.get_current_task()

    def step(pixels: int) -> None:
        task = worker.state.tasks.get(key)
        if task is None or task.state in ("cancelled", "released", "forgotten"):
            raise Cancelled

    return step


def _open(job: TileJob) -> _Opened:
    """Series and model of a job, opened at its first tile; the oldest ones are closed."""
    with _opening:
        found = _opened.get(job.key)
        if found is None:
            while len(_opened) >= KEPT:
                _opened.popitem(last=False)[1].series.close()
            found = _opened[job.key] = _open_new(job)
        _opened.move_to_end(job.key)
        return found


def _open_new(job: TileJob) -> _Opened:
    guard_logs()
    os.environ.setdefault("GDAL_CACHEMAX", CACHE_MB)  # as on one machine; a user's own setting wins
    if job.engine != __version__:
        raise InputError(
            f"The engine there is {__version__}, this one {job.engine}.", "Use the same at all workers."
        )
    _check_files(job)
    device = select(job.device)
    notices: list[str] = []
    series = job.series.saying_retries(_telling(job))
    # the folder may stay behind on systems that can't remove a file that is mapped into memory
    with tempfile.TemporaryDirectory(prefix="sits-model-", ignore_cleanup_errors=True) as folder:
        path = Path(folder) / job.model_name
        path.write_bytes(job.model)
        predictor = job.recipe.open(path, device, job.series.grid, notices.append)
    chunk = plan(device.is_cpu, job.processors).chunk
    work = TileWork(series, job.bands, job.region, predictor, job.n_classes, chunk, job.want_probabilities)
    return _Opened(work, series, device.torch.type, notices)


def topic(job: TileJob) -> str:
    """Where workers tell the client what happens while a tile is read."""
    return f"sits-{job.key}"


def _telling(job: TileJob) -> Callable[[str], None]:
    """A function that sends a sentence to the client at once, from any thread."""
    try:
        worker = get_worker()
    except ValueError:  # not a worker's thread
        return log.info
    name = f"{worker.address} ({socket.gethostname()})"
    return lambda sentence: worker.log_event(topic(job), f"Worker {name}: {sentence}")


def _check_files(job: TileJob) -> None:
    """The images are the same here as at the client."""
    for href, size in job.sizes.items():
        try:
            here = os.path.getsize(href)
        except OSError as error:
            raise InputError(
                f"It can't see the image {href}: {error.strerror or error}.",
                "Images must lie at the same path on every machine (a shared disk), or at an https:// or "
                "s3:// address: build the series from such paths.",
            ) from error
        if here != size:
            raise InputError(
                f"The image {href} has {here} bytes there and {size} bytes here: another file.",
                "Give all machines the same files, best by a shared disk.",
            )


def local_sizes(series: TimeSeries) -> dict[str, int]:
    """Bytes of the local files of a series; those that are missing here are left out."""
    hrefs = {href for scenes in series.scenes for scene in scenes for href in scene.hrefs()}
    local = (href for href in sorted(hrefs) if not over_network(href) and not href.startswith("/vsi"))
    return {href: os.path.getsize(href) for href in local if os.path.exists(href)}
