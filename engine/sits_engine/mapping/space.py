"""Disk space of a map: said before the run, and checked before hours of work rather than after them."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sits_engine.errors import EngineError
from sits_engine.mapping.tiles import tiles_of

if TYPE_CHECKING:
    from sits_engine.mapping.produce import MapRequest

#: Bytes for one byte of pixels in a compressed tile that waits: percents of soft models take nearly as many,
#: classes far fewer. Numbers with fractions hardly shrink.
STORED = {"uint8": 0.6, "float32": 0.95}
#: Pixels of the overviews for one of the map; while a file is made, they lie beside it as they are.
OVERVIEWS = 0.36
#: What any small file takes: a block of the disk, and heads of arrays.
SMALL_FILE = 8192
#: Bytes of outlines for one pixel of a map whose patches become polygons; more where it is noisy.
OUTLINES = 12.0


@dataclass(frozen=True)
class Space:
    """Bytes of disk that a map takes.

    Attributes:
        folder: where unfinished work is kept.
        needed: while it is made.
        kept: by the files of the map.
        free: on the disk of `folder`.
        polygons: of `kept`, or on top where nobody asked for them: a file of the map's patches.
    """

    folder: Path
    needed: float
    kept: float
    free: float
    polygons: float = 0.0

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
    pixels = float(window.height * window.width * request.scale**2)
    beside = request.beside if request.probabilities is not None else None
    plain = 2 * pixels
    stored = plain * STORED["uint8"]
    shares = pixels * beside.bytes_of_a_pixel if beside else 0.0
    shares_stored = shares * STORED[beside.dtype] if beside else 0.0
    files = len(list(tiles_of(window, request.tile_size)))
    tiles = (stored + shares_stored + files * SMALL_FILE) * share_left
    images = plain + (pixels if request.min_mapping_unit > 0 else 0.0)
    # the file of the shares is made first; then their plain image goes
    map_file = stored * (1 + OVERVIEWS) + SMALL_FILE
    shares_file = shares_stored * (1 + OVERVIEWS) + SMALL_FILE if beside else 0.0
    making = tiles + images + shares_file + max(shares * (1 + OVERVIEWS), map_file + plain * OVERVIEWS)
    # polygons are drawn when nothing else is left
    polygons = pixels * OUTLINES
    kept = map_file + shares_file + (polygons if request.polygons else 0.0)
    folder = request.folders[0]
    free = shutil.disk_usage(existing_above(folder)).free
    return Space(folder, max(making, kept), kept, float(free), polygons)
