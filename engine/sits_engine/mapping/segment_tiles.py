"""A tile of a map from a segmentation network: read with all that its windows see, answered for the tile.

The windows lie on a lattice of the series' grid, whatever the tiles and the region (`models.blend`): a window
that reaches over a tile's edge is computed for both tiles, so that each of their pixels gets all its windows,
and maps of any tile size are equal but for rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from sits_engine.mapping.classify import PROBABILITY_NODATA, PixelPredictor, TileResult, nothing_of
from sits_engine.mapping.finer import finer_window
from sits_engine.mapping.parcel_sums import ParcelPixels
from sits_engine.mapping.tiles import DEFAULT_TILE, MAX_CUBE_BYTES, tile_size_for
from sits_engine.models.blend import reach
from sits_engine.models.segment_inference import SegmentPredictor, View
from sits_engine.series.time_series import TimeSeries
from sits_engine.series.types import Cube, Grid, Window

#: Probabilities of a tile (K classes, float32, twice while they are blended) may take this much (bytes).
MAX_ANSWER_BYTES = 128 * 2**20


class SegmentTiles:
    """What the pipeline needs of a segmentation model and the grid it maps on.

    Attributes:
        predictor: the model.
        grid: grid of the series, which the lattice of windows belongs to.
        scale: pixels of the map along one pixel of the series.
        parcels: pixels of parcels that are measured on the way, while a map is made; None without.
    """

    def __init__(self, predictor: SegmentPredictor, grid: Grid, parcels: ParcelPixels | None = None) -> None:
        self.predictor = predictor
        self.grid = grid
        self.parcels = parcels
        self.scale = predictor.scale

    def area(self, tile: Window) -> Window:
        """What must be read for a tile: all that its windows see."""
        rows, cols = self.predictor.lattice(self.grid.height, self.grid.width)
        window = self.predictor.window
        row, height = reach(rows, window, tile.row, tile.height, self.grid.height)
        col, width = reach(cols, window, tile.col, tile.width, self.grid.width)
        return Window(row, col, height, width)

    def needed(self, tile: Window, inside: npt.NDArray[np.bool_] | None) -> bool:
        """Whether the network must see a tile: a pixel of it is inside, or belongs to a parcel."""
        if inside is None or inside.any():
            return True
        return self.parcels is not None and len(self.parcels.within(tile)) > 0

    def nothing(self, tile: Window, want_probabilities: bool) -> TileResult:
        """Result of a tile that needs not be seen."""
        n_classes = len(self.predictor.card.classes) if want_probabilities else 0
        return nothing_of(finer_window(tile, self.scale), n_classes)

    def probabilities(
        self,
        cube: Cube,
        tile: Window,
        inside: npt.NDArray[np.bool_] | None,
        positions: npt.NDArray[np.int32],
        step: Callable[[int], None] | None = None,
    ) -> npt.NDArray[np.float32]:
        """(K, H * scale, W * scale) of a tile; zeros where nothing was seen.

        Args:
            cube: `area(tile)` of the series.
            tile: window of the series' grid.
            inside: (H * scale, W * scale) pixels that are wanted, None for all; others may get anything.
            positions: (T,) of the series.
            step: called with the pixels of the series done since the last call; may raise to stop.
        """
        area = self.area(tile)
        s = self.scale
        shape = (tile.height, tile.width)
        wanted: npt.NDArray[np.bool_] | None = None
        if inside is not None:
            wanted = np.asarray(inside.reshape(shape[0], s, shape[1], s).any(axis=(1, 3)))
        counted = 0

        def tick(share: float) -> None:
            nonlocal counted
            if step is not None:
                now = int(share * tile.height * tile.width)
                step(now - counted)
                counted = now

        view = View(
            cube.values,
            cube.valid,
            cube.scale,
            cube.offset,
            positions,
            area.row,
            area.col,
            self.grid.height,
            self.grid.width,
        )
        found = self.predictor.predict_view(view, (tile.row, tile.col), shape, wanted, tick)
        tick(1.0)
        return found

    def classify(
        self,
        cube: Cube,
        tile: Window,
        inside: npt.NDArray[np.bool_] | None,
        positions: npt.NDArray[np.int32],
        *,
        want_probabilities: bool = False,
        step: Callable[[int], None] | None = None,
    ) -> TileResult:
        """What the map holds of a tile, on the finer grid; arguments as `probabilities`.

        Pixels of parcels outside of what is wanted are measured, too, but not mapped.
        """
        own = None if self.parcels is None else self.parcels.within(tile)
        wanted = inside
        if own is not None and inside is not None:
            wanted = inside | own.mask(tile, self.scale)
        p = self.probabilities(cube, tile, wanted, positions, step)
        sums = own.measured(p, tile, cube, self.area(tile)) if own is not None and len(own) else None
        top = p.max(axis=0)
        seen = top > 0
        if inside is not None:
            seen &= inside
        classes = np.where(seen, p.argmax(axis=0) + 1, 0).astype(np.uint8)
        confidence = np.where(seen, np.clip(np.rint(top * 100), 1, 100), 0).astype(np.uint8)
        shares = None
        if want_probabilities:
            shares = np.empty(p.shape, np.uint8)
            for share, one in zip(shares, p, strict=True):
                share[:] = np.where(seen, np.rint(one * 100), PROBABILITY_NODATA)
        return TileResult(classes, confidence, shares, sums)


def segment_tile_size(
    predictor: SegmentPredictor, dates: int, bands: int, itemsize: int = 2, largest: int = DEFAULT_TILE
) -> int:
    """Side of a tile so that what is read for it and its probabilities stay small.

    Below a window it is not made: then what is read beside it would be most of the work.

    Args:
        predictor: the model.
        dates: dates of the series.
        bands: bands that the model reads.
        itemsize: bytes of one value in the files.
        largest: side that is wished.
    """
    per_pixel = dates * (bands * itemsize + 2)
    answers = 8 * len(predictor.card.classes) * predictor.scale**2
    smallest = max(32, predictor.window)
    side = largest
    while side // 2 >= smallest and (
        (side + 2 * predictor.window) ** 2 * per_pixel > 2 * MAX_CUBE_BYTES
        or side**2 * answers > MAX_ANSWER_BYTES
    ):
        side //= 2
    return side


def tile_size_of(
    predictor: PixelPredictor | SegmentPredictor, series: TimeSeries, bands: Sequence[str], wished: int = 0
) -> int:
    """Side of a tile for a model of either kind; `wished` is the largest one, 0 the usual."""
    itemsize = series.number_type(bands).itemsize
    largest = wished or DEFAULT_TILE
    if isinstance(predictor, SegmentPredictor):
        return segment_tile_size(predictor, len(series.dates), len(bands), itemsize, largest)
    return tile_size_for(len(series.dates), len(bands), itemsize, largest)
