"""From parcels and a time series to pixel sets, in one pass over the tiles of the images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from sits_engine.errors import InputError
from sits_engine.samples.footprints import default_buffer, eroded, find_footprints
from sits_engine.samples.pixel_sets import PixelSets, offsets_of
from sits_engine.samples.vectors import Labelled, lon_lat, on_grid
from sits_engine.series.dates import MIN_DATES
from sits_engine.series.types import Cube, Grid, Window

if TYPE_CHECKING:
    import geopandas as gpd

#: Largest cube that is read at once, in bytes of float32.
CUBE_BYTES = 128 * 2**20


class Series(Protocol):
    """What this module needs of a `series.time_series.TimeSeries`."""

    @property
    def title(self) -> str:
        """Name for people."""

    @property
    def grid(self) -> Grid:
        """Grid that everything is read on."""

    @property
    def positions(self) -> npt.NDArray[np.int32]:
        """(T,) days since 1 January of the season year."""

    def read(self, window: Window, bands: Sequence[str], *, keep_clouds: bool = False) -> Cube:
        """Read a window."""


@dataclass(frozen=True)
class ParcelOptions:
    """How parcels become pixel sets.

    Attributes:
        buffer: erosion in metres; None: so much that kept pixels lie wholly inside (0.71 pixels).
            The published value is 20 m.
        min_pixels: smaller parcels are dropped (points always count).
        max_pixels: kept a parcel, drawn at random.
        mask_clouds: False keeps clouded pixels as valid (the published behaviour).
        seed: of the random draw.
    """

    buffer: float | None = None
    min_pixels: int = 4
    max_pixels: int = 128
    mask_clouds: bool = True
    seed: int = 0


def collect(
    series: Series,
    labelled: Labelled,
    bands: Sequence[str],
    options: ParcelOptions,
    *,
    region: int = 0,
    progress: Callable[[float], None] = lambda fraction: None,
) -> tuple[PixelSets, list[str]]:
    """Read the pixels of all parcels at all dates.

    Args:
        series: the images.
        labelled: parcels or points, any CRS.
        bands: names as the series has them.
        options: see `ParcelOptions`.
        region: number to write into the result.
        progress: gets 0..1; may raise to cancel.

    Returns:
        The sets, `classes` being the sorted label codes, `blocks` all -1; and sentences on what was
        dropped, with counts.

    Raises:
        InputError: no overlap, too few dates, or no parcel left.
    """
    if len(series.positions) < MIN_DATES:
        raise InputError(
            f"The series {series.title} has {len(series.positions)} dates; at least {MIN_DATES} are needed.",
            "Add images of more dates of the season.",
        )
    progress(0.0)
    labelled = on_grid(labelled, series.grid, series.title)
    frame, notes = labelled.frame, list(labelled.notes)
    buffer = default_buffer(series.grid) if options.buffer is None else options.buffer
    codes = frame["code"].to_numpy(dtype=object)
    shapes = eroded(frame, buffer, series.grid)
    footprints = find_footprints(shapes, codes, series.grid, max_pixels=options.max_pixels, seed=options.seed)
    keep = _large_enough(frame, footprints.found, options.min_pixels)
    notes += _what_was_dropped(labelled.name, frame, footprints.vanished, keep, buffer, options.min_pixels)
    if footprints.contested:
        notes.append(
            f"{labelled.name}: {footprints.contested} pixels lie in parcels of different labels "
            "and were left out."
        )
    if not keep.any():
        side = max(series.grid.resolution)
        raise InputError(
            f"No parcel of {labelled.name} is large enough: {len(frame)} parcels were tried, eroded by "
            f"{buffer:g} m, with pixels of {side:g} and at least {options.min_pixels} pixels asked for.",
            "Use images with smaller pixels or larger parcels, or lower BUFFER and MIN_PIXELS.",
        )
    pixels = footprints.pixels[np.repeat(keep, footprints.sizes)]
    progress(0.05)
    values, valid = read_pixels(
        series,
        pixels,
        bands,
        keep_clouds=not options.mask_clouds,
        progress=lambda fraction: progress(0.05 + 0.95 * fraction),
    )
    kept = frame[keep]
    classes, labels = np.unique(codes[keep].astype(str), return_inverse=True)
    n = int(keep.sum())
    sets = PixelSets(
        bands=tuple(bands),
        values=values,
        valid=valid,
        offsets=offsets_of(footprints.sizes[keep]),
        positions=np.tile(np.asarray(series.positions, dtype=np.int32), (n, 1)),
        labels=labels.astype(np.int64),
        classes=tuple(str(c) for c in classes),
        ids=kept["id"].to_numpy().astype(np.str_),
        xy=lon_lat(kept),
        region=np.full(n, region, dtype=np.int16),
        blocks=np.full(n, -1, dtype=np.int64),
    )
    return drop_unseen(sets, labelled.name, notes)


def drop_unseen(sets: PixelSets, name: str, notes: list[str]) -> tuple[PixelSets, list[str]]:
    """Without the sets that have no valid pixel at any date; adds a note with their number."""
    seen = (
        np.bitwise_or.reduceat(sets.valid.any(axis=1), sets.offsets[:-1]) if len(sets) else np.empty(0, bool)
    )
    if not seen.any():
        raise InputError(
            f"No parcel of {name} has a clear pixel at any date.",
            "Check the cloud mask and the extent of the images.",
        )
    if seen.all():
        return sets, notes
    return sets.subset(seen), [*notes, f"{name}: {int((~seen).sum())} without a clear pixel were dropped."]


def read_pixels(
    series: Series,
    pixels: npt.NDArray[np.int64],
    bands: Sequence[str],
    *,
    keep_clouds: bool = False,
    progress: Callable[[float], None] = lambda fraction: None,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Values of single pixels at all dates, each tile of the images read once.

    Args:
        pixels: (P,) flat indices (row * width + column) in any order, repeats allowed.

    Returns:
        (P, T, C) float32 physical values, 0 where not valid; (P, T) bool.
    """
    dates = len(series.positions)
    values = np.zeros((len(pixels), dates, len(bands)), dtype=np.float32)
    valid = np.zeros((len(pixels), dates), dtype=bool)
    done = 0
    for window, members in tiles_with(pixels, series.grid, dates * len(bands)):
        cube = series.read(window, bands, keep_clouds=keep_clouds)
        rows = pixels[members] // series.grid.width - window.row
        cols = pixels[members] % series.grid.width - window.col
        numbers = cube.values[:, :, rows, cols].transpose(2, 0, 1).astype(np.float32)
        numbers *= cube.scale
        numbers += cube.offset
        seen = cube.valid[:, rows, cols].T
        numbers[~seen] = 0
        values[members], valid[members] = numbers, seen
        done += len(members)
        progress(done / len(pixels))
    return values, valid


def tiles_with(
    pixels: npt.NDArray[np.int64], grid: Grid, depth: int
) -> Iterator[tuple[Window, npt.NDArray[np.int64]]]:
    """Tiles that hold at least one of the pixels, each with the numbers of its pixels.

    Tiles are aligned to blocks of 256, 128 or 64 pixels, so that no block of a file is decoded twice
    and a cube stays below `CUBE_BYTES`; only the part of a tile between its first and last wanted row
    and column is read.
    """
    side = 256
    while side > 64 and side * side * depth * 4 > CUBE_BYTES:
        side //= 2
    rows, cols = pixels // grid.width, pixels % grid.width
    across = -(-grid.width // side)
    tile = (rows // side) * across + cols // side
    order = np.argsort(tile, kind="stable")
    starts = np.flatnonzero(np.diff(tile[order], prepend=-1))
    for members in np.split(order, starts[1:]) if len(order) else []:
        top, left = int(rows[members].min()), int(cols[members].min())
        height, width = int(rows[members].max()) - top + 1, int(cols[members].max()) - left + 1
        yield Window(top, left, height, width), members


def _large_enough(
    frame: gpd.GeoDataFrame, found: npt.NDArray[np.int64], min_pixels: int
) -> npt.NDArray[np.bool_]:
    import shapely

    points = shapely.get_dimensions(frame.geometry.to_numpy()) == 0
    return np.asarray(found >= np.where(points, 1, max(1, min_pixels)))


def _what_was_dropped(
    name: str,
    frame: gpd.GeoDataFrame,
    vanished: int,
    keep: npt.NDArray[np.bool_],
    buffer: float,
    min_pixels: int,
) -> list[str]:
    import shapely

    notes = []
    points = shapely.get_dimensions(frame.geometry.to_numpy()) == 0
    if vanished:
        notes.append(f"{name}: {vanished} of {len(frame)} parcels vanish when eroded by {buffer:g} m.")
    small = int((~keep & ~points).sum()) - vanished
    if small:
        notes.append(f"{name}: {small} parcels have fewer than {max(1, min_pixels)} pixels and were dropped.")
    shared = int((~keep & points).sum())
    if shared:
        notes.append(
            f"{name}: {shared} points lie in the pixel of another point and were dropped "
            "(both where their labels differ)."
        )
    return notes
