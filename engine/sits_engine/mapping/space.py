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
                f"The map needs about {self.needed / 2**20:.0f} MiB in {self.folder} while it is made; "
                f"{self.free / 2**20:.0f} MiB are free.",
                "Free some space, or choose an output folder on another disk.",
            )


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
    return Space(folder, needed, pixels * files * COMPRESSED, float(shutil.disk_usage(folder).free))
