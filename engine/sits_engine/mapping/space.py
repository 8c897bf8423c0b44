"""Disk space of a map: said before the run, and checked before hours of work rather than after them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rasterio.errors import RasterioError
from rasterio.warp import transform_bounds

from sits_engine.errors import EngineError
from sits_engine.mapping.cog import BLOCK
from sits_engine.mapping.tiles import tiles_of
from sits_engine.samples.region import Region
from sits_engine.samples.vectors import VectorSource

if TYPE_CHECKING:
    from sits_engine.mapping.produce import MapRequest

#: Bytes for one byte of pixels in a compressed tile that waits: percents of soft models take nearly as many,
#: classes far fewer. Numbers with fractions hardly shrink.
STORED = {"uint8": 0.6, "float32": 0.95}
#: Pixels of the overviews for one of the map.
OVERVIEWS = 0.36
#: Heads of arrays and images, of any file; and its last block on a disk, which is never full.
HEADS, DISK_BLOCK = 4096, 4096
#: A map is its GeoTIFF, what GDAL keeps beside that, and QGIS's style.
FILES_OF_A_MAP = 3
#: Bytes of text in them: colours, name, prompts and style of a class; and all else.
CLASS_TEXT, OTHER_TEXT = 2500, 8192
#: Small files that lie in the work folders before the first tile: locks, and the head of the journal.
BEFORE_TILES = 4
#: A GeoPackage without a feature, with its style, and what one class takes in that.
EMPTY_LAYER, CLASS_STYLE = 112 * 1024, 2816
#: Bytes of a parcel's new fields, its place in the index, and its answers that wait; of each class in those.
PARCEL, PARCEL_CLASS = 200, 4
#: What a GeoPackage may need for a byte of a parcel, and for each parcel.
STORED_PARCEL, PARCEL_HEAD = 2.0, 256
#: Parcels held at a time while they are counted: a country has ten million.
BATCH = 4096
#: Bytes of outlines for one pixel of a map whose patches become polygons; more where it is noisy.
OUTLINES = 12.0


@dataclass(frozen=True)
class Later:
    """A file that is made of the finished map, or after it.

    Attributes:
        path: of the file.
        bytes: that it takes, with what lies beside it.
    """

    path: Path
    bytes: float


@dataclass(frozen=True)
class Disk:
    """Bytes that the outputs on one disk take.

    Attributes:
        folder: of the first of them, absolute; it may not exist yet.
        files: their names.
        needed: while they are made.
        kept: by the finished files.
        free: on the disk.
    """

    folder: Path
    files: tuple[str, ...]
    needed: float
    kept: float
    free: float


@dataclass(frozen=True)
class Space:
    """Bytes of disk that a map takes, on each disk; that of the unfinished work is the first."""

    disks: tuple[Disk, ...]

    @property
    def needed(self) -> float:
        """While it is made, on all disks."""
        return sum(disk.needed for disk in self.disks)

    @property
    def kept(self) -> float:
        """By the finished files, on all disks."""
        return sum(disk.kept for disk in self.disks)

    def check(self) -> None:
        """Raise DISK_FULL where a disk is too small."""
        for disk in self.disks:
            if disk.free < disk.needed:
                raise EngineError(
                    "DISK_FULL",
                    f"The map needs about {size(disk.needed)} in {disk.folder} ({', '.join(disk.files)}) "
                    f"while it is made; {size(disk.free)} are free.",
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


def layer_bytes(outlines: float, classes: int) -> float:
    """Of a GeoPackage with a style for its classes, from what its features take."""
    return EMPTY_LAYER + classes * CLASS_STYLE + outlines


def polygon_bytes(request: MapRequest) -> float:
    """Of a file of the map's patches."""
    window = request.region.window
    pixels = window.height * window.width * request.scale**2
    return layer_bytes(OUTLINES * pixels, len(request.card.classes))


def parcel_bytes(source: str, region: Region, classes: int) -> float:
    """Of a file of the region's parcels, from the size of their layer; 0 where that can't be told.

    The layer is read once and in batches, so the memory does not grow with it.
    """
    import pyogrio

    vector = VectorSource.parse(source)
    options = vector.options
    count = read = 0
    try:
        info = pyogrio.read_info(vector.path, force_feature_count=True, **options)
        box = transform_bounds(region.grid.crs, info["crs"], *region.map_grid.bounds, densify_pts=21)
        # all fields: GDAL finds nothing in a Shapefile where those that a filter asks for are left out
        with pyogrio.open_arrow(
            vector.path, bbox=box, where=vector.where, batch_size=BATCH, use_pyarrow=True, **options
        ) as (_, batches):
            for batch in batches:
                count += batch.num_rows
                read += batch.nbytes
        files = vector.path.parent.glob(f"{vector.path.stem}.*") if _shapefile(vector.path) else [vector.path]
        total = sum(file.stat().st_size for file in files)
        # by what was read, too: what else the file holds (other layers, rasters) doesn't count
        own = min(count * total / max(1, info["features"]), STORED_PARCEL * read + PARCEL_HEAD * count)
    except (
        pyogrio.errors.DataSourceError,
        pyogrio.errors.DataLayerError,
        RasterioError,
        ValueError,
        OSError,
    ):
        return 0.0  # reading them says what is wrong
    return layer_bytes(own + (PARCEL + PARCEL_CLASS * classes) * count, classes)


def space_of(request: MapRequest, share_left: float | None = None) -> Space:
    """What a map takes.

    Args:
        request: the map.
        share_left: of its tiles that are still to be made: others are on the disk already, and its work
            folders; None: nothing is there yet.
    """
    window = request.region.window
    height, width = window.height * request.scale, window.width * request.scale
    pixels, plain, overviews = height * width, *_in_blocks(height, width)
    beside = request.beside if request.probabilities is not None else None
    each = beside.bytes_of_a_pixel if beside else 0
    stored = 2 * STORED["uint8"] * pixels
    shares_stored = each * STORED[beside.dtype] * pixels if beside else 0.0
    work, last = request.outputs[0], request.outputs[-1]
    small = _small_file(work)
    tiles = stored + shares_stored + small * len(list(tiles_of(window, request.tile_size)))
    text = OTHER_TEXT + CLASS_TEXT * len(request.card.classes)
    kept = dict.fromkeys(request.outputs, float(FILES_OF_A_MAP * small + text))
    # all of these in the work folder: tiles, and images as they are
    waiting = tiles * share_left if share_left is not None else tiles + BEFORE_TILES * small
    waiting += (3 if request.min_mapping_unit > 0 else 2) * plain
    steps: list[dict[Path, float]] = []
    if beside:
        kept[last] += shares_stored * (1 + OVERVIEWS)
        steps.append(_sum({work: waiting + each * plain}, {last: kept[last] + each * overviews}))
    if request.output is not None:
        # the plain image of the shares is gone by now
        kept[work] += stored * (1 + OVERVIEWS)
        steps.append(_sum(kept, {work: waiting + 2 * overviews}))
    return Space(_disks([*steps, kept], request.later))


def space_of_files(files: Sequence[Later]) -> Space:
    """What files without a map take."""
    return Space(_disks([], files))


def _disks(steps: Sequence[Mapping[Path, float]], later: Sequence[Later]) -> tuple[Disk, ...]:
    """The disks of all files, from the bytes of each file in each step; later ones come on top, in order."""
    every: list[Mapping[Path, float]] = list(steps) or [{}]
    for one in later:
        every.append(_sum(every[-1], {one.path: one.bytes}))
    by_device: dict[int, list[Path]] = {}
    for path in every[-1]:
        by_device.setdefault(existing_above(path.parent).stat().st_dev, []).append(path)
    return tuple(
        Disk(
            paths[0].parent.absolute(),
            tuple(path.name for path in paths),
            max(sum(step.get(path, 0.0) for path in paths) for step in every),
            sum(every[-1][path] for path in paths),
            float(shutil.disk_usage(existing_above(paths[0].parent)).free),
        )
        for paths in by_device.values()
    )


def _sum(first: Mapping[Path, float], second: Mapping[Path, float]) -> dict[Path, float]:
    """Bytes of the files of both; the same file counts twice."""
    return {path: first.get(path, 0.0) + second.get(path, 0.0) for path in {**first, **second}}


def _shapefile(path: Path) -> bool:
    return path.suffix.lower() == ".shp"


def _in_blocks(height: int, width: int) -> tuple[int, int]:
    """Pixels of a plain image, and of its overviews: their blocks are whole, however small it is."""
    levels = []
    while True:
        levels.append(-(-height // BLOCK) * -(-width // BLOCK) * BLOCK**2)
        if max(height, width) <= BLOCK:
            return levels[0], sum(levels[1:])
        height, width = -(-height // 2), -(-width // 2)


def _small_file(path: Path) -> int:
    """What a small file takes on the disk of `path`, where files grow by whole blocks."""
    block = os.statvfs(existing_above(path.parent)).f_frsize if hasattr(os, "statvfs") else 0
    return HEADS + max(DISK_BLOCK, block)
