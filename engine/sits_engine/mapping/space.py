"""Disk space of a map: said before the run, and checked before hours of work rather than after them."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sits_engine.errors import EngineError

if TYPE_CHECKING:
    from sits_engine.mapping.produce import MapRequest

#: Bytes of compressed files for one byte of pixels: tiles that wait, and the files of the map.
COMPRESSED = 0.5


@dataclass(frozen=True)
class Space:
    """Bytes of disk that a map takes.

    Attributes:
        folder: where unfinished work is kept.
        needed: while it is made.
        kept: by the files of the map.
        free: on the disk of `folder`.
    """

    folder: Path
    needed: float
    kept: float
    free: float

    def check(self) -> None:
        """Raise DISK_FULL where the disk is too small."""
        if self.free < self.needed:
            raise EngineError(
                "DISK_FULL",
                f"The map needs about {size(self.needed)} in {self.folder} while it is made; "
                f"{size(self.free)} are free.",
                "Free some space, or choose an output folder on another disk.",
            )


def size(count: float) -> str:
    """Bytes for people: '12.3 KiB', '4.5 GiB'."""
    if count < 1024:
        return f"{count:.0f} bytes"
    for unit in ("KiB", "MiB", "GiB"):
        count /= 1024
        if count < 1024:
            return f"{count:.1f} {unit}"
    return f"{count / 1024:.1f} TiB"


def existing_above(folder: Path) -> Path:
    """The folder, or the nearest above it that exists: it lies on the same disk."""
    return next((one for one in (folder, *folder.absolute().parents) if one.is_dir()), folder)


def space_of(request: MapRequest, share_left: float = 1.0) -> Space:
    """What a map takes.

    Args:
        request: the map.
        share_left: of its tiles that are still to be made; those of an earlier run are on the disk already.
    """
    window = request.region.window
    pixels = window.height * window.width * request.scale**2
    files = 2
    if request.probabilities is not None:
        files += request.beside.bytes_of_a_pixel
    bands = files + (request.min_mapping_unit > 0)
    # plain images, the map's files, tiles
    needed = pixels * bands * (1.0 + COMPRESSED + COMPRESSED * share_left)
    folder = request.folders[0]
    free = shutil.disk_usage(existing_above(folder)).free
    return Space(folder, needed, pixels * files * COMPRESSED, float(free))
