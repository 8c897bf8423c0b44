"""From parcels to labels of pixels, by the share of each pixel's area that parcels cover.

Unlike the published data set tool nothing is shifted to the pixels: every parcel is cut where it lies, down
to its last row, with its holes and all its parts (pitfalls.md 4.2 and 4.3).

Source: shared/spec/cscl.md section 10.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

from sits_engine.samples.area_fractions import Patch, area_fractions, to_pixels
from sits_engine.series.types import Grid, Window

#: Of a pixel, the least that its class must cover, unless the user says otherwise.
LEAST = 0.5
#: A parcel claims a pixel from this share on: less is how exactly people draw.
CLAIM = 0.01
#: Two shares nearer than this are equal.
EQUAL = 1e-6


@dataclass
class Burnt:
    """Labels of a window.

    Attributes:
        labels: (H, W) int16 number of the class, -1 unknown.
        parcels: (H, W) int32 number of the parcel that covers most of the pixel among those of its class, 0
            where the class is unknown.
        mixed: (H, W) uint8: 0 at most one parcel claims the pixel, 1 several claim a part of it, 2 several
            claim (nearly) all of it, that is: they lie over each other.
        covered: (H, W) float32, share of the pixel inside parcels; where parcels lie over each other, their
            shares are added up, to 1 at most.
    """

    labels: npt.NDArray[np.int16]
    parcels: npt.NDArray[np.int32]
    mixed: npt.NDArray[np.uint8]
    covered: npt.NDArray[np.float32]

    @property
    def labelled(self) -> float:
        """Share of the pixels whose class is known."""
        return float((self.labels >= 0).mean())


@dataclass
class ParcelLayer:
    """Polygons ready to be burnt into windows of a grid.

    Attributes:
        grid: of the labels.
        shapes: (P,) valid polygons in pixel coordinates of `grid`.
        codes: (P,) number of the class.
        numbers: (P,) int32 number of the parcel, from 1.
    """

    grid: Grid
    shapes: npt.NDArray[np.object_]
    codes: npt.NDArray[np.int64]
    numbers: npt.NDArray[np.int32]
    tree: Any = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.tree = shapely.STRtree(self.shapes)

    @classmethod
    def of(
        cls,
        geometries: npt.NDArray[np.object_],
        codes: npt.NDArray[np.int64],
        numbers: npt.NDArray[np.int32],
        grid: Grid,
    ) -> ParcelLayer:
        """From geometries in the grid's CRS; polygons that reprojection broke are repaired."""
        shapes = to_pixels(geometries, grid)
        broken = ~shapely.is_valid(shapes)
        if broken.any():
            shapes = shapes.copy()
            shapes[broken] = shapely.make_valid(shapes[broken])
        return cls(grid, shapes, codes, numbers)

    def near(self, window: Window) -> npt.NDArray[np.int64]:
        """Numbers of the polygons that reach into the window, ascending."""
        box = shapely.box(window.col, window.row, window.col + window.width, window.row + window.height)
        return np.sort(np.asarray(self.tree.query(box, predicate="intersects"), dtype=np.int64))

    def burn(self, window: Window, least: float = LEAST) -> Burnt:
        """Labels of the pixels of a window; see `burn`."""
        near = self.near(window)
        patches = area_fractions(self.shapes[near], window)
        return burn(patches, self.codes[near], self.numbers[near], window.height, window.width, least)


def burn(
    patches: list[Patch | None],
    codes: npt.NDArray[np.int64],
    numbers: npt.NDArray[np.int32],
    height: int,
    width: int,
    least: float = LEAST,
) -> Burnt:
    """Labels from the shares of all parcels.

    A pixel has the class that covers most of it, all its parcels together, if that is at least `least` of the
    pixel. It stays unknown where a second class covers as much, or where two classes cover half of it or more
    each: then parcels of different classes lie over each other and nobody can say which one is right.

    Args:
        patches: shares of P parcels.
        codes: (P,) class of each.
        numbers: (P,) number of each, from 1.
        height, width: of the window.
        least: 0 to 1.
    """
    shape = (height, width)
    best, second = np.zeros(shape), np.zeros(shape)
    labels = np.full(shape, -1, dtype=np.int16)
    parcels = np.zeros(shape, dtype=np.int32)
    claims, full = np.zeros(shape, dtype=np.uint16), np.zeros(shape, dtype=np.uint16)
    total = np.zeros(shape)
    for code in np.unique(codes):
        share, largest = np.zeros(shape), np.zeros(shape)
        owner = np.zeros(shape, dtype=np.int32)
        for i in np.flatnonzero(codes == code):
            patch = patches[i]
            if patch is None:
                continue
            at, own = patch.place, patch.shares
            share[at] += own
            claims[at] += own >= CLAIM
            full[at] += own >= 1 - CLAIM
            larger = own > largest[at]
            largest[at][larger] = own[larger]
            owner[at][larger] = numbers[i]
        total += share
        np.minimum(share, 1, out=share)
        better = share > best
        second = np.where(better, best, np.maximum(second, share))
        best[better], labels[better], parcels[better] = share[better], code, owner[better]
    half = 0.5 - EQUAL
    unknown = (best < max(least - EQUAL, EQUAL)) | (best - second < EQUAL) | (second >= half)
    labels[unknown], parcels[unknown] = -1, 0
    mixed = np.where(full >= 2, 2, np.where(claims >= 2, 1, 0)).astype(np.uint8)
    return Burnt(labels, parcels, mixed, np.minimum(total, 1).astype(np.float32))
