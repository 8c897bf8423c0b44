"""One window of a series becomes classes and confidences."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from sits_engine.mapping.parcel_sums import Sums
from sits_engine.series.types import Cube, Missing, Window

#: Value of a class probability where there is none.
PROBABILITY_NODATA = 255
#: Share of wanted pixels from which on all are computed: that takes less time than to pick them.
MOST = 0.9


class PixelPredictor(Protocol):
    """The part of `models.inference.Predictor` that a map needs."""

    def predict_pixels(
        self,
        values: npt.NDArray[np.generic],
        valid: npt.NDArray[np.bool_],
        scale: npt.NDArray[np.float32],
        offset: npt.NDArray[np.float32],
        positions: npt.NDArray[np.generic],
    ) -> npt.NDArray[np.float32]:
        """See `Predictor.predict_pixels`."""


@runtime_checkable
class Starting(Protocol):
    """A predictor that has something to do once, before its first pixels."""

    def start(self) -> None:
        """Do it."""


@dataclass(frozen=True)
class TileResult:
    """What the map holds of one window.

    Attributes:
        classes: (H, W) uint8, 0 nodata, i = i-th class of the model.
        confidence: (H, W) uint8, probability of that class in percent, 1..100; 0 nodata.
        probabilities: what goes beside the map; None if not wanted. (K, H, W) uint8 percent 0..100, 255
            nodata, or (B, H, W) float32, NaN nodata (`cog.Layers`).
        parcels: what its pixels add to parcels, None where there are none.
        missing: images that couldn't be read for it.
    """

    classes: npt.NDArray[np.uint8]
    confidence: npt.NDArray[np.uint8]
    probabilities: npt.NDArray[Any] | None = None
    parcels: Sums | None = None
    missing: tuple[Missing, ...] = ()


@runtime_checkable
class TileModel(Protocol):
    """A model that answers for whole tiles and may look beyond their edges."""

    @property
    def scale(self) -> int: ...  # noqa: D102

    def area(self, tile: Window) -> Window:
        """What must be read for a tile; may reach over the grid's edge if the series can be read there."""

    def needed(self, tile: Window, inside: npt.NDArray[np.bool_] | None) -> bool:
        """Whether the model must see a tile."""

    def nothing(self, tile: Window, want_probabilities: bool) -> TileResult:
        """Result of a tile that needs not be seen."""

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
        """What the map holds of a tile, `scale` times finer; cube of `area(tile)`."""


def nothing_of(window: Window, n_classes: int = 0) -> TileResult:
    """Result of a window outside the region; with probabilities if `n_classes` is given."""
    empty = np.zeros((window.height, window.width), np.uint8)
    shares = np.full((n_classes, *empty.shape), PROBABILITY_NODATA, np.uint8) if n_classes else None
    return TileResult(empty, empty, shares)


def classify(
    cube: Cube,
    inside: npt.NDArray[np.bool_] | None,
    predictor: PixelPredictor,
    positions: npt.NDArray[np.int32],
    n_classes: int,
    *,
    want_probabilities: bool = False,
    chunk: int = 8192,
    step: Callable[[int], None] | None = None,
) -> TileResult:
    """Classify the pixels of a window that lie inside the region and have at least one clear date.

    Args:
        cube: the window, bands in the model's order.
        inside: (H, W) region of interest, None for all.
        predictor: gives probabilities; rows of zeros mean "nothing to see".
        positions: (T,) date positions.
        n_classes: K.
        want_probabilities: keep all of them.
        chunk: pixels between two calls of `step`.
        step: called with the pixels done since the last call; may raise to stop.
    """
    dates, bands, height, width = cube.values.shape
    n = height * width
    values = cube.values.reshape(dates, bands, n)
    valid = cube.valid.reshape(dates, n)
    wanted: npt.NDArray[np.bool_] = np.any(valid, axis=0)
    if inside is not None:
        wanted &= inside.reshape(n)
    classes = np.zeros(n, np.uint8)
    confidence = np.zeros(n, np.uint8)
    shares = np.full((n_classes, n), PROBABILITY_NODATA, np.uint8) if want_probabilities else None
    index = None if np.count_nonzero(wanted) >= MOST * n else np.flatnonzero(wanted)
    total = n if index is None else len(index)
    for start in range(0, total, chunk):
        part = slice(start, min(start + chunk, total))
        where: slice | npt.NDArray[np.intp] = part if index is None else index[part]
        p = predictor.predict_pixels(values[:, :, where], valid[:, where], cube.scale, cube.offset, positions)
        best = p.argmax(axis=1)
        top = p[np.arange(len(p)), best]
        seen = (top > 0) & wanted[where]
        classes[where] = np.where(seen, best + 1, 0)
        confidence[where] = np.where(seen, np.clip(np.rint(top * 100), 1, 100), 0)
        if shares is not None:
            shares[:, where] = np.where(seen, np.rint(p.T * 100), PROBABILITY_NODATA)
        if step is not None:
            step(part.stop - part.start)
    if step is not None and total < n:
        step(n - total)
    shape = (height, width)
    return TileResult(
        classes.reshape(shape),
        confidence.reshape(shape),
        None if shares is None else shares.reshape(n_classes, *shape),
    )
