"""The few values that every part of the engine passes around: grid, window, cube."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from affine import Affine


@dataclass(frozen=True)
class Window:
    """A rectangle of pixels of a grid: first row, first column, height, width."""

    row: int
    col: int
    height: int
    width: int


def intersect(a: Window, b: Window) -> Window | None:
    """Common part of two windows, None if there is none."""
    row, col = max(a.row, b.row), max(a.col, b.col)
    bottom = min(a.row + a.height, b.row + b.height)
    right = min(a.col + a.width, b.col + b.width)
    if bottom <= row or right <= col:
        return None
    return Window(row, col, bottom - row, right - col)


@dataclass(frozen=True)
class Grid:
    """A raster grid: CRS as WKT, affine transform pixel -> CRS, and size in pixels."""

    crs: str
    transform: Affine
    height: int
    width: int

    @property
    def resolution(self) -> tuple[float, float]:
        """Pixel width and height in CRS units, both positive."""
        return abs(self.transform.a), abs(self.transform.e)

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """(xmin, ymin, xmax, ymax) in CRS units."""
        x0, y0 = self.transform.c, self.transform.f
        x1 = x0 + self.transform.a * self.width
        y1 = y0 + self.transform.e * self.height
        return min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)

    def window_transform(self, window: Window) -> Affine:
        """Transform of a window's own pixels."""
        return self.transform * Affine.translation(window.col, window.row)

    @property
    def whole(self) -> Window:
        """The window that covers the grid."""
        return Window(0, 0, self.height, self.width)


@dataclass(frozen=True)
class Missing:
    """An image that was left out of a window, since it can't be read.

    Attributes:
        date: YYYY-MM-DD.
        item: its id.
        file: which of its files, without keys; '' where it wasn't tried any more.
        reason: in words, without keys.
        window: of the series' grid.
    """

    date: str
    item: str
    file: str
    reason: str
    window: Window


@dataclass(frozen=True)
class Cube:
    """A window of a time series as it was read.

    Attributes:
        values: (T, C, H, W), the files' own number type (uint16, int16, float32); 0 where not valid.
        valid: (T, H, W) bool, data present and not cloud, shadow or snow.
        observed: (T, H, W) bool, data present (clouds included).
        scale: (T, C) float32; physical value (reflectance 0..1, index -1..1) = values * scale + offset.
        offset: (T, C) float32.
        missing: images that should be in it and can't be read; not valid and not observed.
    """

    values: npt.NDArray[np.generic]
    valid: npt.NDArray[np.bool_]
    observed: npt.NDArray[np.bool_]
    scale: npt.NDArray[np.float32]
    offset: npt.NDArray[np.float32]
    missing: tuple[Missing, ...] = ()

    def physical(self) -> npt.NDArray[np.float32]:
        """(T, C, H, W) float32 in physical units; NaN where not observed."""
        out = self.values.astype(np.float32)
        out *= self.scale[:, :, None, None]
        out += self.offset[:, :, None, None]
        out[np.broadcast_to(~self.observed[:, None], out.shape)] = np.nan
        return out
