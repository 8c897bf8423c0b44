"""An output belongs to one living process: a lock in the folder of its unfinished work."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil

from sits_engine.errors import EngineError, InputError, says_full
from sits_engine.outputs import naming_full_disk

#: Where locks can't appear complete (no hard links), an empty one younger than this belongs to a living run.
EMPTY_SECONDS = 10
#: How long a run that replaced a stale lock waits before it believes that the new one is its own.
SETTLE_SECONDS = 0.3


def work_folder(output: Path) -> Path:
    """Folder of the unfinished work of `output`: `.NAME.work` beside it."""
    return output.with_name(f".{output.name}.work")


@contextlib.contextmanager
def claimed(outputs: Iterable[Path | None]) -> Iterator[None]:
    """While the block runs, no other process writes these outputs; None is passed over.

    Raises:
        InputError, EngineError: see `take`.
    """
    with contextlib.ExitStack() as taken:
        for output in outputs:
            if output is not None:
                take(work_folder(output))
                taken.callback(give_back, work_folder(output))
        yield


def give_back(folder: Path) -> None:
    """Let others have the folder, unless they have it already; it goes where nothing is in it."""
    if _owner(folder / "lock") != _mine():
        return
    (folder / "lock").unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        folder.rmdir()


def take(folder: Path) -> None:
    """Make the folder of unfinished work, and lock it; again by the same process changes nothing.

    Raises:
        InputError: another living process writes the same output.
        EngineError: OUTPUT_NOT_WRITABLE, DISK_FULL.
    """
    try:
        with naming_full_disk(folder.parent):
            _take(folder)
    except BaseException:
        with contextlib.suppress(OSError):
            folder.rmdir()  # where nothing is in it
        raise


def _take(folder: Path) -> None:
    path = folder / "lock"
    mine = _mine()
    own = folder.with_name(f"{folder.name}.lock-{os.getpid()}")
    _make(folder)
    try:
        own.write_text(json.dumps(mine), encoding="utf-8")
        replaced = False
        for _ in range(5):
            if _claim(own, path):
                if not replaced:
                    return
                # Others that saw the stale lock may still be taking it for this one: see who stays.
                time.sleep(SETTLE_SECONDS)
            if _owner(path) == mine:
                return
            if _alive(path, mine):
                raise InputError(
                    f"Another run is writing the same output at this moment ({folder}).",
                    "Wait until it ends, or choose another output file.",
                )
            replaced = True
            _take_away(path, own.with_suffix(f".aside-{os.getpid()}"), mine)
            _make(folder)  # a run that ended at this moment may have removed it
    finally:
        own.unlink(missing_ok=True)
    raise InputError(f"Another run took {folder} at the same moment.", "Choose another output file.")


def _mine() -> dict[str, Any]:
    """What the locks of this process say."""
    return {"pid": os.getpid(), "started": psutil.Process().create_time()}


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if says_full(error):
            raise
        raise EngineError(
            "OUTPUT_NOT_WRITABLE",
            f"Can't make the work folder {folder}: {error.strerror or error}.",
            "Choose another output folder, or change its permissions.",
        ) from error


def _claim(own: Path, lock: Path) -> bool:
    """Give the complete file `own` the name `lock` as well; False if that is taken. Never half written."""
    try:
        os.link(own, lock)
        return True
    except FileExistsError:
        return False
    except OSError:  # a file system without links: a reader may see the file before its content
        try:
            with open(lock, "x", encoding="utf-8") as file:
                file.write(own.read_text(encoding="utf-8"))
            return True
        except (FileExistsError, FileNotFoundError):  # the latter: its folder has gone
            return False


def _take_away(lock: Path, aside: Path, mine: Mapping[str, Any]) -> None:
    """Remove a stale lock, but put it back if another run has renewed it in the meantime."""
    try:
        os.replace(lock, aside)
    except FileNotFoundError:
        return
    if _alive(aside, mine):
        _claim(aside, lock)
    aside.unlink(missing_ok=True)


def _owner(lock: Path) -> Any:
    """Content of a lock, None if it is not there or no JSON."""
    try:
        return json.loads(lock.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _alive(lock: Path, mine: Mapping[str, Any]) -> bool:
    """True if the process that wrote `lock` still runs and is another one (numbers are used again)."""
    try:
        text = lock.read_text(encoding="utf-8")
        if not text and time.time() - lock.stat().st_mtime < EMPTY_SECONDS:
            return True  # its writer is about to fill it
        owner = json.loads(text)
        if owner == mine:
            return False
        started = psutil.Process(owner["pid"]).create_time()
        return bool(abs(started - owner["started"]) < 1)
    except (OSError, ValueError, KeyError, TypeError, psutil.Error):
        return False
