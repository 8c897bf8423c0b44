"""Places of a series as vectors: the pixel under a point, the mean over the clear pixels of a polygon."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from pyproj import Transformer

from sits_engine.errors import InputError
from sits_engine.models.photo_inference import EmbeddingPredictor
from sits_engine.samples.composites import cut_composites
from sits_engine.samples.vectors import Labelled, lon_lat
from sits_engine.series.time_series import TimeSeries
from sits_engine.series.types import Grid, Window, intersect

if TYPE_CHECKING:
    import geopandas as gpd

#: Pixels of a polygon that its vector is the mean of, drawn at random where it has more.
POLYGON_PIXELS = 100
#: Bytes of monthly composites in memory at once.
AT_ONCE = 256 * 2**20
#: Sides of the raster on which a polygon's pixels are found at once.
STRIP = 2048


@dataclass
class Queries:
    """Q places as unit vectors.

    Attributes:
        vectors: (Q, dim) float32.
        ids: (Q,) names.
        xy: (Q, 2) longitude and latitude of the point or the polygon's middle.
        pixels: (Q,) clear pixels that the vector is the mean of.
        notes: sentences with counts; warnings: places that were left out.
    """

    vectors: npt.NDArray[np.float32]
    ids: npt.NDArray[np.object_]
    xy: npt.NDArray[np.float64]
    pixels: npt.NDArray[np.int64]
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.ids)


def embed_places(
    series: TimeSeries,
    places: Labelled,
    predictor: EmbeddingPredictor,
    *,
    seed: int = 1,
    progress: Callable[[float], None] = lambda share: None,
) -> Queries:
    """The satellite vectors of points and polygons.

    Args:
        series: the images, with the bands of the model.
        places: any CRS; `id` names them.
        predictor: the satellite model.
        seed: of the draw of pixels in large polygons.
        progress: gets 0..1; may raise to cancel.

    Raises:
        InputError: no place lies in the series, none was ever clear, or a band is missing.
    """
    frame = places.frame.to_crs(series.grid.crs)
    pixels, owner, thinned = _pixels(frame, series.grid, np.random.default_rng(seed))
    inside = np.unique(owner)
    if len(inside) == 0:
        raise InputError(
            f"None of the {len(frame)} places of {places.name} lies in the series {series.path.name}.",
            "Choose places inside of the images, or the series of their region.",
        )
    sums, count = _summed(series, pixels, owner, len(frame), predictor, progress)
    seen = np.flatnonzero(count)
    length = np.linalg.norm(sums[seen], axis=1, keepdims=True)
    ids = frame["id"].to_numpy().astype(object)
    warnings = []
    for gone, why in (
        (np.setdiff1d(np.arange(len(frame)), inside), "lie outside of the series"),
        (np.setdiff1d(inside, seen), "were never seen without cloud"),
    ):
        if len(gone):
            named = ", ".join(str(ids[row]) for row in gone[:5]) + (" …" if len(gone) > 5 else "")
            warnings.append(f"{len(gone)} of {len(frame)} places {why} and were left out: {named}.")
    notes = list(places.notes)
    if thinned:
        notes.append(
            f"{thinned} polygons have more than {POLYGON_PIXELS} pixels: so many of each were drawn."
        )
    return Queries(
        (sums[seen] / np.maximum(length, 1e-12)).astype(np.float32),
        ids[seen],
        lon_lat(frame)[seen],
        count[seen],
        notes,
        warnings,
    )


def _summed(
    series: TimeSeries,
    pixels: npt.NDArray[np.int64],
    owner: npt.NDArray[np.int64],
    n: int,
    predictor: EmbeddingPredictor,
    progress: Callable[[float], None],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """(n, dim) sums of the vectors of each place's clear pixels, and (n,) how many these are."""
    bands = [band.name for band in predictor.card.bands]
    at_once = max(1, AT_ONCE // (4 * 12 * len(bands) * predictor.context**2))
    order = np.argsort(pixels, kind="stable")  # neighbours together: each part reads few tiles
    parts = np.array_split(order, -(-len(order) // at_once))
    sums, count = np.zeros((n, predictor.dim)), np.zeros(n, np.int64)
    unseen: InputError | None = None
    for done, part in enumerate(parts):

        def step(share: float, done: int = done) -> None:
            progress((done + share) / len(parts))

        try:
            found = cut_composites(
                series, _centres(pixels[part], series.grid), bands, predictor.context, step
            )
        except InputError as error:  # nothing of this part was ever clear; others may be
            unseen = error
            continue
        rows = owner[part][found.rows]
        np.add.at(sums, rows, predictor.embed(found))
        count += np.bincount(rows, minlength=n)
    if unseen is not None and not count.any():
        raise unseen
    return sums, count


def _pixels(
    frame: gpd.GeoDataFrame, grid: Grid, rng: np.random.Generator
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], int]:
    """Flat pixel numbers, the row of `frame` that each belongs to, and how many polygons were thinned."""
    import shapely

    shapes = frame.geometry.to_numpy()
    middles = shapely.point_on_surface(shapes)
    pixels, owner, thinned = [], [], 0
    for number, shape in enumerate(shapes):
        found = np.empty(0, np.int64)
        if shapely.get_dimensions(shape) == 2:
            found = _inside(shape, grid)
        if len(found) == 0:  # a point, or a polygon without any pixel's middle
            found = _under(middles[number], grid)
        if len(found) > POLYGON_PIXELS:
            thinned += 1
            found = np.sort(rng.choice(found, POLYGON_PIXELS, replace=False))
        pixels.append(found)
        owner.append(np.full(len(found), number, np.int64))
    return np.concatenate(pixels), np.concatenate(owner), thinned


def _inside(shape: Any, grid: Grid) -> npt.NDArray[np.int64]:
    """Pixels whose middle lies in a polygon of the grid's CRS."""
    import shapely
    from rasterio.features import rasterize

    x0, y0, x1, y1 = shapely.bounds(shape)
    cols, rows = zip(*(~grid.transform * p for p in ((x0, y0), (x0, y1), (x1, y0), (x1, y1))), strict=True)
    top, left = int(np.floor(min(rows))), int(np.floor(min(cols)))
    box = Window(top, left, int(np.ceil(max(rows))) - top, int(np.ceil(max(cols))) - left)
    window = intersect(box, grid.whole)
    if window is None:
        return np.empty(0, np.int64)
    found = []
    for first in range(window.row, window.row + window.height, STRIP):
        height = min(STRIP, window.row + window.height - first)
        strip = Window(first, window.col, height, window.width)
        burnt = rasterize(
            [(shape, 1)], (height, window.width), transform=grid.window_transform(strip), dtype="uint8"
        )
        row, col = np.nonzero(burnt)
        found.append((row + first) * grid.width + col + window.col)
    return np.concatenate(found).astype(np.int64)


def _under(point: Any, grid: Grid) -> npt.NDArray[np.int64]:
    """The pixel under a point of the grid's CRS, none where it lies outside."""
    import shapely

    col, row = ~grid.transform * (shapely.get_x(point), shapely.get_y(point))
    if not (0 <= col < grid.width and 0 <= row < grid.height):
        return np.empty(0, np.int64)
    return np.array([int(row) * grid.width + int(col)], np.int64)


def _centres(pixels: npt.NDArray[np.int64], grid: Grid) -> npt.NDArray[np.float64]:
    """(P, 2) longitude and latitude of the middles of pixels."""
    t, cols, rows = grid.transform, pixels % grid.width + 0.5, pixels // grid.width + 0.5
    x, y = t.a * cols + t.b * rows + t.c, t.d * cols + t.e * rows + t.f
    back = Transformer.from_crs(grid.crs, "EPSG:4326", always_xy=True)
    return np.stack(back.transform(x, y), axis=1)
