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

from sits_engine.errors import Cancelled
from sits_engine.mapping.lock import give_back, take
from sits_engine.outputs import naming_full_disk

FORMAT = "sits-map-work/1"
#: Ending of results that are of use to this run only; the next one throws them away.
ONCE = ".once"


def fingerprint(facts: Mapping[str, Any]) -> str:
    """SHA-256 of JSON-serialisable facts: equal facts, equal results."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


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
            EngineError: OUTPUT_NOT_WRITABLE, DISK_FULL.
        """
        journal = cls(folder, key)
        take(folder)
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
            try:
                with naming_full_disk(folder.parent):
                    _write_durably(head, json.dumps({"format": FORMAT, "key": key}).encode())
            except BaseException:
                head.with_suffix(".part").unlink(missing_ok=True)
                give_back(folder)
                raise
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
        try:
            with open(temporary, "wb") as file:
                np.savez_compressed(file, allow_pickle=False, **arrays)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, final)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
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
        give_back(self.folder)

    def explained(self, error: BaseException) -> BaseException:
        """`error`, and for a run that was asked to stop the sentence that says what was kept."""
        if not isinstance(error, Cancelled) or not self._done:
            return error
        n = len(self._done)
        kinds = "tile or group of parcels" if n == 1 else "tiles or groups of parcels"
        return Cancelled(
            error.message,
            f"What was finished ({n} {kinds}) was kept in "
            f"{self.folder.name} beside the output: the same run goes on from there. Delete that folder if "
            "you don't want to go on. Nothing half-written was kept.",
        )

    def remove(self) -> None:
        """The map is published: the results are not needed any more."""
        shutil.rmtree(self.folder, ignore_errors=True)


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
