"""The patches of a class map as polygons with class, area and confidence, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely
from affine import Affine
from rasterio.features import shapes
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from sits_engine.mapping.areas import pixel_area_ha
from sits_engine.mapping.class_map import ClassMap
from sits_engine.mapping.sieve import patches
from sits_engine.outputs import atomic
from sits_engine.series.types import Window

#: Pixels of a strip. If each were a patch of its own, a strip would need some 700 MiB; in maps as they are
#: strip and polygons that wait to be written stay below 150 MiB.
STRIP_PIXELS = 2**19
#: Polygons that are written at once.
BATCH = 20_000
LAYER = "patches"


@dataclass
class Patch:
    """A patch that goes on in the next strip: its pieces so far, in pixel coordinates."""

    value: int
    pieces: list[Any] = field(default_factory=list)
    pixels: int = 0
    hectares: float = 0.0
    percent: float = 0.0

    def add(self, other: Patch) -> None:
        """Take over the pieces of another one."""
        self.pieces += other.pieces
        self.pixels += other.pixels
        self.hectares += other.hectares
        self.percent += other.percent

    def shape(self) -> Any:
        """One polygon; the points where strips met are taken out again."""
        if len(self.pieces) == 1:
            return self.pieces[0]
        return shapely.simplify(shapely.union_all(self.pieces), 0)


def write_polygons(
    path: Path,
    target: Path,
    tick: Callable[[float], None] = lambda share: None,
    strip_pixels: int = STRIP_PIXELS,
) -> int:
    """Write the layer `patches` of a GeoPackage: one polygon for each patch of a class; returns how many.

    A patch is a set of pixels of one class that touch along an edge. The map is read in strips of rows; what
    reaches over the end of a strip waits there with its outline, so that memory depends on the width of a
    strip and on the outlines of the patches that cross it, not on the height of the map.

    Fields: `value` and `class` (as the map says), `area_ha`, `confidence` (mean of the map's second band in
    percent, null where it has none), `n_pixels`.

    Args:
        path: class map.
        target: .gpkg, written completely or not at all.
        tick: progress 0..1; raises to cancel.
        strip_pixels: pixels of a strip, at least one row.

    Raises:
        InputError: the map can't be read. EngineError: DISK_FULL.
    """
    source = ClassMap.open(path)
    names = {c.value: c.name for c in source.classes}
    count, waiting = 0, 0
    with atomic(target) as temporary:
        batch: list[Patch] = []
        for patch in _patches_of(source, strip_pixels, tick):
            batch.append(patch)
            waiting += 1
            if waiting == BATCH:
                _append(temporary, source, batch, names, first=count == 0)
                count, waiting, batch = count + waiting, 0, []
        if batch or count == 0:
            _append(temporary, source, batch, names, first=count == 0)
    return count + waiting


def _patches_of(source: ClassMap, strip_pixels: int, tick: Callable[[float], None]) -> Iterator[Patch]:
    """All patches, each once it is complete."""
    grid = source.grid
    rows = max(1, strip_pixels // grid.width)
    strips = [Window(row, 0, min(rows, grid.height - row), grid.width) for row in range(0, grid.height, rows)]
    row_area = pixel_area_ha(grid)
    known = source.lookup >= 0
    confidence = source.read(strips, band=2) if source.confident else None
    open_: list[Patch] = []
    above: npt.NDArray[np.int64] | None = None  # place in `open_` + 1 of each pixel of the row above
    for number, (strip, values) in enumerate(source.read(strips)):
        values = np.where(known[values], values, 0).astype(np.uint8)
        percent = None if confidence is None else next(confidence)[1]
        labels, count = patches(values)
        found = _measured(values, labels, count, percent, row_area, strip.row)
        last = number + 1 == len(strips)
        open_, above, ready = _joined(found, labels, open_, above, last)
        yield from ready
        tick((number + 1) / len(strips))


def _measured(
    values: npt.NDArray[np.uint8],
    labels: npt.NDArray[np.int32],
    count: int,
    percent: npt.NDArray[np.uint8] | None,
    row_area: npt.NDArray[np.float64],
    row: int,
) -> list[Patch]:
    """The patches of a strip, number 1, 2, … of `labels`."""
    flat = labels.ravel()
    pixels = np.bincount(flat, minlength=count + 1)
    area = np.repeat(row_area[row : row + len(values)], values.shape[1])
    hectares = np.bincount(flat, area, count + 1)
    total = np.full(count + 1, np.nan) if percent is None else np.bincount(flat, percent.ravel(), count + 1)
    kind = np.zeros(count + 1, np.uint8)
    kind[labels] = values
    found = [
        Patch(int(kind[i]), [], int(pixels[i]), float(hectares[i]), float(total[i]))
        for i in range(1, count + 1)
    ]
    outlines = shapes(labels, mask=labels > 0, connectivity=4, transform=Affine.translation(0, row))
    for outline, label in outlines:
        outer, *holes = outline["coordinates"]
        found[int(label) - 1].pieces.append(shapely.Polygon(outer, holes))
    return found


def _joined(
    found: list[Patch],
    labels: npt.NDArray[np.int32],
    open_: list[Patch],
    above: npt.NDArray[np.int64] | None,
    last: bool,
) -> tuple[list[Patch], npt.NDArray[np.int64] | None, Iterator[Patch]]:
    """Join the patches of a strip with those that wait for it.

    Returns:
        The patches that go on below, the place (+ 1) of each pixel of the last row in them, and those that
        are complete.
    """
    n = len(open_)
    kinds = np.array([0] + [p.value for p in open_] + [p.value for p in found], np.int64)
    below = np.zeros(0, np.int64) if last else np.unique(labels[-1][labels[-1] > 0]).astype(np.int64)
    first = labels[0].astype(np.int64)
    # Nodes: 0 nothing, 1..n those that wait, then those of this strip.
    pairs = np.zeros((0, 2), np.int64)
    if above is not None:
        mine = np.where(first > 0, first + n, 0)
        touch = (above > 0) & (mine > 0) & (kinds[above] == kinds[mine])
        pairs = np.unique(np.stack([above[touch], mine[touch]], axis=1), axis=0)
    size = len(kinds)
    links = coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), shape=(size, size))
    _, group = connected_components(links, directed=False)
    goes_on = np.zeros(size, bool)
    goes_on[group[below + n]] = True
    # Only what waits, what it touches and what goes on is put together; the others are complete.
    involved = np.unique(np.concatenate([np.arange(1, n + 1), pairs[:, 1], below + n]))
    together: dict[int, Patch] = {}
    for node in involved:
        patch = open_[node - 1] if node <= n else found[node - n - 1]
        whole = together.setdefault(int(group[node]), Patch(patch.value))
        whole.add(patch)
    remaining = [number for number in together if goes_on[number]]
    place = np.zeros(size, np.int64)
    place[remaining] = np.arange(1, len(remaining) + 1)
    row = None
    if not last:
        nodes = np.where(labels[-1] > 0, labels[-1].astype(np.int64) + n, 0)
        row = np.where(nodes > 0, place[group[nodes]], 0)
    alone = np.ones(len(found), bool)
    alone[involved[involved > n] - n - 1] = False

    def ready() -> Iterator[Patch]:
        yield from (patch for patch, single in zip(found, alone, strict=True) if single)
        yield from (patch for number, patch in together.items() if not goes_on[number])

    return [together[number] for number in remaining], row, ready()


def _append(path: Path, source: ClassMap, batch: list[Patch], names: dict[int, str], *, first: bool) -> None:
    """Add polygons to the layer, which the first call makes."""
    import geopandas as gpd
    import pyogrio

    t = source.grid.transform

    def place(xy: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        col, row = xy[:, 0], xy[:, 1]
        return np.stack([t.a * col + t.b * row + t.c, t.d * col + t.e * row + t.f], axis=1)

    outlines = np.array([patch.shape() for patch in batch], dtype=object)
    pixels = np.array([patch.pixels for patch in batch], np.int64)
    percent = np.array([patch.percent for patch in batch], float)
    frame = gpd.GeoDataFrame(
        {
            "value": np.array([patch.value for patch in batch], np.int32),
            "class": pd.Series([names[patch.value] for patch in batch], dtype=object),
            "area_ha": np.round([patch.hectares for patch in batch], 4).astype(float),
            "confidence": np.round(percent / np.maximum(pixels, 1), 1),
            "n_pixels": pixels,
        },
        geometry=shapely.transform(outlines, place),
        crs=source.grid.crs,
    )
    options: dict[str, Any] = {} if not first else {"dataset_options": {"VERSION": "1.2"}}
    pyogrio.write_dataframe(
        frame, path, layer=LAYER, driver="GPKG", geometry_type="Polygon", append=not first, **options
    )
