"""A map from its request: journal, messages, and what an interruption leaves."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator

from sits_engine.context import JobContext, counted

if TYPE_CHECKING:
    from sits_engine.device import Device
    from sits_engine.mapping.cluster import Cluster
    from sits_engine.mapping.produce import MapRequest, MapSummary, Runner


#: Description of the field `scheduler`.
SCHEDULER = (
    "address of a Dask scheduler (tcp://host:8786) whose workers compute the tiles, each on its own DEVICE; "
    "they need this engine and see the images at the same paths (docs/cluster.md). Default: this computer"
)
_ADDRESS = re.compile(r"(?:(?:tcp|tls|ucx|wss?)://)?(?:[\w.-]+|\[[0-9a-fA-F:.]+\]):\d{1,5}/?")


def _address(text: str) -> str:
    if not _ADDRESS.fullmatch(text):
        raise ValueError("not the address of a Dask scheduler, such as tcp://host:8786 or tls://host:8786")
    return text


#: Type of that field: what can't be an address is refused before anything is opened.
Scheduler = Annotated[str, AfterValidator(_address)]


def own_device(device: str, scheduler: str | None) -> Device:
    """Where this process computes; beside a cluster, for which the user chose `device`, on what it has."""
    from sits_engine.device import select

    return select("auto" if scheduler and device != "cpu" else device)


@contextlib.contextmanager
def on_cluster(ctx: JobContext, scheduler: str | None, device: str) -> Iterator[Cluster | None]:
    """The cluster of this scheduler, connected and asked; None without one."""
    if not scheduler:
        yield None
        return
    from sits_engine.mapping.cluster import connected

    with connected(scheduler, device, ctx) as cluster:
        ctx.device = cluster.label
        yield cluster


def run_map(
    ctx: JobContext,
    request: MapRequest,
    output: Path,
    facts: dict[str, Any],
    *,
    start: float,
    end: float,
    inputs: str,
    verb: str,
    runner: Runner | None = None,
) -> MapSummary:
    """Make a map, or go on with one that was interrupted.

    Args:
        ctx: of the job.
        request: what to map.
        output: file beside which unfinished work is kept.
        facts: all that the map depends on; unfinished work of other facts is thrown away.
        start, end: shares of the job in which it is done.
        inputs, verb: words for the messages: what may have changed, what was done with pixels.
        runner: classifies the tiles; None: this process.
    """
    from sits_engine.mapping.journal import Journal, fingerprint
    from sits_engine.mapping.lock import work_folder
    from sits_engine.mapping.produce import produce, run_here
    from sits_engine.models import compiled

    began = time.monotonic()
    journal = Journal.open(work_folder(output), fingerprint(facts))
    if journal.discarded:
        ctx.info(
            f"Unfinished work of an earlier run was found beside the output, but {inputs} or settings have "
            "changed since: it was thrown away."
        )
    elif journal.done:
        ctx.info(f"Going on with {counted(len(journal.done), 'finished tile')} of an interrupted run.")
    try:
        summary = produce(
            request,
            journal,
            lambda done, phase: ctx.progress(start + (end - start) * done, phase),
            runner or run_here,
        )
    except BaseException as error:
        journal.close()
        raise journal.explained(error) from error.__cause__
    journal.remove()
    resumed = ""
    if summary.resumed:
        were = "was" if summary.resumed == 1 else "were"
        resumed = f" ({summary.resumed} of {counted(summary.tiles, 'tile')} {were} finished before)"
    ctx.info(f"{counted(summary.pixels, 'pixel')} {verb} in {time.monotonic() - began:.0f} s{resumed}.")
    if summary.bottleneck:
        ctx.info(summary.bottleneck)
    if wrong := compiled.trouble():
        ctx.warn(f"No C++ compiler works, so that the network takes about twice as long ({wrong}).")
    if summary.pixels == 0:
        ctx.warn("The map is empty: no pixel of the region is clear at any date.")
    if summary.sieved:
        changed = counted(summary.sieved, "pixel")
        ctx.info(f"The minimum mapping unit changed {changed}; the confidence was kept.")
    return summary
