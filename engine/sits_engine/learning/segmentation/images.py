"""The images of windows on their way to other processes: from memory, or from a store on a disk.

Where a store is too large for the memory, a process reads it itself if it sees it at the same path. Else it
gets the images window by window and keeps them in a file of its own.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from sits_engine.errors import InputError
from sits_engine.learning.processes import Arrays, Processes
from sits_engine.samples.stored_arrays import StoredArray
from sits_engine.samples.windows import WindowSet

NAMES = ("values", "valid")
#: Kinds of calls.
IN_MEMORY, IN_STORE = "images", "stored images"


def send_images(windows: WindowSet, processes: Processes) -> None:
    """Process 0 gives the others the images; they call `receive_images`."""
    images: Arrays = {name: getattr(windows, name) for name in NAMES}
    stored = [array for array in images.values() if isinstance(array, StoredArray)]
    if len(stored) < len(NAMES):
        processes.call(IN_MEMORY, {}, images)
        return
    facts = {
        "places": [array.places for array in stored],
        "bands": [array.bands for array in stored],
        "shapes": [array.shape for array in stored],
        "types": [array.dtype.str for array in stored],
        "sums": [_checksum(array) for array in stored],
    }
    processes.call(IN_STORE, facts, {"store": stored[0].store, "row": stored[0].row})
    if not _lacking(processes, False):
        return
    for i in range(len(windows)):
        for array in stored:
            processes.content(np.ascontiguousarray(array[i]).tobytes())


@contextmanager
def receive_images(processes: Processes) -> Iterator[tuple[Any, Any]]:
    """Values and validity of all windows, as `send_images` gives them; they go with the block."""
    call = processes.receive()
    if call is None:
        raise InputError("Process 0 ended before it sent the images.", "See what it said.")
    task, facts, arrays = call
    if task == IN_MEMORY:
        yield arrays["values"], arrays["valid"]
        return
    with TemporaryDirectory(prefix="sits-windows-", ignore_cleanup_errors=True) as folder:
        found: Sequence[Any] | None = _opened(facts, arrays["store"], arrays["row"])
        if _lacking(processes, found is None):
            kept = _kept(facts, Path(folder) if found is None else None, processes)
            found = kept if found is None else found
        values, valid = found or ()
        yield values, valid


def _opened(
    facts: dict[str, Any], store: npt.NDArray[Any], row: npt.NDArray[Any]
) -> list[StoredArray] | None:
    """The arrays in the stores at the very paths; None where they aren't there, or are others."""
    try:
        found = [
            StoredArray.at(places, store, row, bands)
            for places, bands in zip(facts["places"], facts["bands"], strict=True)
        ]
        same = all(list(a.shape) == shape for a, shape in zip(found, facts["shapes"], strict=True))
        return found if same and [_checksum(array) for array in found] == facts["sums"] else None
    except InputError:
        return None


def _kept(facts: dict[str, Any], folder: Path | None, processes: Processes) -> list[Any]:
    """Windows one by one into files of a folder; without one they are only listened to."""
    kinds = [
        (np.dtype(kind), tuple(shape)) for kind, shape in zip(facts["types"], facts["shapes"], strict=True)
    ]
    places = [folder / str(number) for number in range(len(kinds))] if folder is not None else []
    with ExitStack() as opened:
        # written, not mapped: a full disk is an error then, and not the end of the process
        files = [opened.enter_context(place.open("wb")) for place in places]
        for _ in range(kinds[0][1][0]):
            for number in range(len(kinds)):
                content = processes.content(None) or b""
                if files:
                    files[number].write(content)
    return [
        np.memmap(place, kind, "r", 0, shape) for place, (kind, shape) in zip(places, kinds, strict=False)
    ]


def _lacking(processes: Processes, this: bool) -> bool:
    """Whether any process lacks the store."""
    return bool(processes.add(torch.tensor(float(this))))


def _checksum(array: StoredArray) -> int:
    """Of the first and the last window."""
    return zlib.crc32(array[-1].tobytes(), zlib.crc32(array[0].tobytes())) if len(array) else 0
