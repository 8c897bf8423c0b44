"""A download in a thread of its own, so that progress and cancellation don't wait for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from sits_engine.context import JobContext

Found = TypeVar("Found")
#: Seconds between two looks.
PACE = 0.2
#: Seconds that a cancelled download gets to let go of its files.
GRACE = 2.0


def run(work: Callable[[], Found], ctx: JobContext) -> Found:
    """The result of `work`; when the user cancels, raises `Cancelled` and leaves the work alone."""
    found: list[Found] = []
    run_watched(lambda _stopped: found.append(work()), ctx, lambda: None)
    return found[0]


def run_watched(
    work: Callable[[Callable[[], bool]], None], ctx: JobContext, look: Callable[[], None]
) -> None:
    """Do `work` while `look` is called again and again; errors of both are raised here.

    Args:
        work: gets a function that says whether it is to stop.
        ctx: whose cancellation counts.
        look: reports progress.
    """
    stop = threading.Event()
    errors: list[BaseException] = []

    def body() -> None:
        try:
            work(stop.is_set)
        except BaseException as error:  # handed over to the thread that waits
            errors.append(error)

    # a daemon: a connection that hangs doesn't keep a cancelled job alive
    thread = threading.Thread(target=body, name="download", daemon=True)
    thread.start()
    try:
        while thread.is_alive():
            ctx.check_cancelled()
            look()
            thread.join(PACE)
    except BaseException:
        stop.set()
        thread.join(GRACE)
        raise
    if errors:
        raise errors[0]


def bytes_in(folder: Path) -> int:
    """Bytes of the files in a folder, unfinished ones included."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except OSError:  # renamed meanwhile
            continue
    return total
