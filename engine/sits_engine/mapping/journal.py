"""Finished tiles of a long map, kept beside the output so that an interrupted run can go on."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import psutil

from sits_engine.errors import EngineError, InputError

FORMAT = "sits-map-work/1"


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

    def store(self, name: str, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Keep a result (numbers and text only, no objects); safe from several threads."""
        temporary = self.folder / f"{name}.part"
        with open(temporary, "wb") as file:
            np.savez_compressed(file, allow_pickle=False, **arrays)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, self.folder / f"{name}.npz")
        self._done.add(name)

    def load(self, name: str) -> dict[str, npt.NDArray[Any]]:
        """A finished result."""
        with np.load(self.folder / f"{name}.npz", allow_pickle=False) as stored:
            return {key: stored[key] for key in stored.files}

    def close(self) -> None:
        """Give the folder free, keep the results."""
        (self.folder / "lock").unlink(missing_ok=True)

    def remove(self) -> None:
        """The map is published: the results are not needed any more."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _lock(self) -> None:
        path = self.folder / "lock"
        mine = {"pid": os.getpid(), "started": psutil.Process().create_time()}
        for _ in range(2):
            try:
                with open(path, "x", encoding="utf-8") as file:
                    json.dump(mine, file)
                return
            except FileExistsError:
                if _alive(path, mine):
                    raise InputError(
                        f"Another run is writing the same output at this moment ({self.folder}).",
                        "Wait until it ends, or choose another output file.",
                    ) from None
                path.unlink(missing_ok=True)
        raise InputError(f"Another run took {self.folder} at the same moment.", "Choose another output file.")


def _alive(lock: Path, mine: Mapping[str, Any]) -> bool:
    """True if the process that wrote `lock` still runs and is another one (numbers are used again)."""
    try:
        owner = json.loads(lock.read_text(encoding="utf-8"))
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
