"""Finished tiles of a long map, kept beside the output so that an interrupted run can go on."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import psutil

from sits_engine.errors import Cancelled, EngineError, InputError

FORMAT = "sits-map-work/1"
#: Ending of results that are of use to this run only; the next one throws them away.
ONCE = ".once"
#: Where locks can't appear complete (no hard links), an empty one younger than this belongs to a living run.
EMPTY_SECONDS = 10
#: How long a run that replaced a stale lock waits before it believes that the new one is its own.
SETTLE_SECONDS = 0.3


def fingerprint(facts: Mapping[str, Any]) -> str:
    """SHA-256 of JSON-serialisable facts: equal facts, equal results."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def work_folder(output: Path) -> Path:
    """Folder of the unfinished work of `output`: `.NAME.work` beside it."""
    return output.with_name(f".{output.name}.work")


class Journal:
    """Named results (small dictionaries of arrays) in a folder, each complete or absent.

    A result is written under another name, flushed to the disk and renamed, so that a kill or a power
    cut at any moment leaves finished results only. The folder belongs to one fingerprint and, while it is
    open, to one process.
    """

    def __init__(self, folder: Path, key: str) -> None:
        self.folder = folder
        self.key = key
        self.discarded = False
        self._done: set[str] = set()

    @classmethod
    def open(cls, folder: Path, key: str) -> Journal:
        """Take the folder over; results of other inputs are thrown away (`discarded` tells).

        Raises:
            InputError: another living process writes the same output.
            EngineError: OUTPUT_NOT_WRITABLE.
        """
        journal = cls(folder, key)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise EngineError(
                "OUTPUT_NOT_WRITABLE",
                f"Can't make the work folder {folder}: {error.strerror or error}.",
                "Choose another output folder, or change its permissions.",
            ) from error
        journal._lock()
        head = folder / "journal.json"
        try:
            old = json.loads(head.read_text(encoding="utf-8"))
            known = old.get("format") == FORMAT and old.get("key") == key
        except (OSError, ValueError, AttributeError):
            known = False
        if not known:
            left = [path for path in folder.iterdir() if path.name != "lock"]
            journal.discarded = bool(left)
            for path in left:
                path.unlink()
            _write_durably(head, json.dumps({"format": FORMAT, "key": key}).encode())
        for path in folder.iterdir():
            if path.suffix == ".npz":
                if _is_whole(path):
                    journal._done.add(path.stem)
                else:
                    path.unlink()
            elif path.name not in ("lock", "journal.json"):
                path.unlink()  # what was being written when the last run ended
        return journal

    @property
    def done(self) -> frozenset[str]:
        """Names of the finished results."""
        return frozenset(self._done)

    def store(self, name: str, arrays: Mapping[str, npt.NDArray[Any]], *, for_good: bool = True) -> None:
        """Keep a result (numbers and text only, no objects); safe from several threads.

        Args:
            name: of the result.
            arrays: its parts.
            for_good: whether another run may go on from it.
        """
        final = self.folder / f"{name}{'.npz' if for_good else ONCE}"
        temporary = self.folder / f"{name}.part"
        with open(temporary, "wb") as file:
            np.savez_compressed(file, allow_pickle=False, **arrays)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, final)
        if for_good:
            self._done.add(name)

    def load(self, name: str, prefix: str = "") -> dict[str, npt.NDArray[Any]]:
        """A finished result: the arrays whose names begin with `prefix`, without it."""
        path = self.folder / f"{name}{'.npz' if name in self._done else ONCE}"
        with np.load(path, allow_pickle=False) as stored:
            return {key.removeprefix(prefix): stored[key] for key in stored.files if key.startswith(prefix)}

    def close(self) -> None:
        """Give the folder free and keep the results; a folder without any goes."""
        if not self._done:
            self.remove()
            return
        (self.folder / "lock").unlink(missing_ok=True)

    def explained(self, error: BaseException) -> BaseException:
        """`error`, and for a run that was asked to stop the sentence that says what was kept."""
        if not isinstance(error, Cancelled) or not self._done:
            return error
        return Cancelled(
            error.message,
            f"What was finished ({len(self._done)} tiles or groups of parcels) was kept in "
            f"{self.folder.name} beside the output: the same run goes on from there. Delete that folder if "
            "you don't want to go on. Nothing half-written was kept.",
        )

    def remove(self) -> None:
        """The map is published: the results are not needed any more."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _lock(self) -> None:
        path = self.folder / "lock"
        mine = {"pid": os.getpid(), "started": psutil.Process().create_time()}
        own = self.folder.with_name(f"{self.folder.name}.lock-{os.getpid()}")
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
                        f"Another run is writing the same output at this moment ({self.folder}).",
                        "Wait until it ends, or choose another output file.",
                    )
                replaced = True
                _take_away(path, own.with_suffix(f".aside-{os.getpid()}"), mine)
        finally:
            own.unlink(missing_ok=True)
        raise InputError(f"Another run took {self.folder} at the same moment.", "Choose another output file.")


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
        except FileExistsError:
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


def _is_whole(path: Path) -> bool:
    """True if every array of the file is there and its checksum right."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (OSError, zipfile.BadZipFile):
        return False


def _write_durably(path: Path, content: bytes) -> None:
    temporary = path.with_suffix(".part")
    with open(temporary, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
