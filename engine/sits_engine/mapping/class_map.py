"""A class map that was read back: classes with names and colours, areas, windows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.errors import RasterioError
from rasterio.windows import Window as RioWindow

from sits_engine.errors import InputError
from sits_engine.mapping.areas import pixel_area_ha
from sits_engine.mapping.tiles import tiles_of
from sits_engine.samples.raster_classes import CLASSES_TAG as CLASSES_TAG  # for those that write maps
from sits_engine.samples.raster_classes import MAX_VALUE, band_colors, category_names, from_tag
from sits_engine.samples.raster_classes import MapClass as MapClass
from sits_engine.samples.raster_classes import classes_tag as classes_tag
from sits_engine.series.types import Grid, Window

#: Side of the windows in which maps are read.
BLOCK = 1024


class ClassMap:
    """Classes in band 1 of a raster, values 1..255.

    Attributes:
        path: the file.
        grid: its grid.
        nodata: value that is no class (0 unless the file says otherwise).
        classes: the classes that the file describes, or those that occur in it.
        confident: whether band 2 holds the confidence in percent.
    """

    def __init__(self, path: Path, grid: Grid, nodata: int, classes: list[MapClass], confident: bool) -> None:
        self.path = path
        self.grid = grid
        self.nodata = nodata
        self.classes = classes
        self.confident = confident

    @classmethod
    def open(cls, path: Path) -> ClassMap:
        """Read the head of a map; names and colours come from its tags, category names and colour table.

        Raises:
            InputError: no raster, not 8-bit classes, no CRS.
        """
        if not path.exists():
            raise InputError(f"Map not found: {path}.", "Check the path.")
        try:
            with rasterio.open(path) as image:
                if image.dtypes[0] not in ("uint8", "int8", "uint16", "int16", "int32", "uint32"):
                    raise InputError(
                        f"{path.name} is no class map: its first band holds {image.dtypes[0]} numbers.",
                        "Give a raster whose first band holds class values.",
                    )
                if image.crs is None:
                    raise InputError(f"{path.name} has no coordinate reference system.", "Set its CRS.")
                grid = Grid(image.crs.to_wkt(), image.transform, image.height, image.width)
                nodata = 0 if image.nodata is None else int(image.nodata)
                tags = image.tags()
                descriptions = image.descriptions
                confident = image.count >= 2 and "confidence" in (descriptions[1] or "").lower()
                colors = band_colors(image)
        except RasterioError as error:
            raise InputError(f"The map {path} can't be read: {error}.", "Give a raster file.") from error
        classes = from_tag(tags.get(CLASSES_TAG))
        found = cls(path, grid, nodata, classes, confident)
        if not classes:
            names = category_names(path)
            values = [v for v in range(1, len(names)) if names[v] and v != nodata] or found._values()
            found.classes = [
                MapClass(
                    value,
                    names[value] if value < len(names) and names[value] else str(value),
                    colors.get(value, fallback_color(number)),
                    (str(value),),
                )
                for number, value in enumerate(values)
            ]
        if not found.classes:
            raise InputError(f"The map {path.name} has no classified pixel.", "Give another map.")
        return found

    @property
    def lookup(self) -> npt.NDArray[np.int64]:
        """(256,) class index (place in `classes`) of each value, -1 for nodata and unknown values."""
        table = np.full(MAX_VALUE + 1, -1, np.int64)
        for index, one in enumerate(self.classes):
            table[one.value] = index
        if 0 <= self.nodata <= MAX_VALUE:
            table[self.nodata] = -1
        return table

    def windows(self) -> list[Window]:
        """Windows that cover the map, in reading order."""
        return list(tiles_of(self.grid.whole, BLOCK))

    def read(self, windows: list[Window] | None = None, band: int = 1) -> Iterator[tuple[Window, Any]]:
        """Yield (window, (H, W) uint8 values) of some windows, one open file for all.

        Raises:
            InputError: damaged file, or values above 255.
        """
        try:
            with rasterio.open(self.path) as image:
                for window in self.windows() if windows is None else windows:
                    values = image.read(
                        band, window=RioWindow(window.col, window.row, window.width, window.height)
                    )
                    if values.dtype != np.uint8:
                        values = np.where(values == self.nodata, 0, values)
                        if values.min() < 0 or values.max() > MAX_VALUE:
                            raise InputError(
                                f"{self.path.name} has class values outside 0..{MAX_VALUE}.",
                                "Recode the map to 1..255.",
                            )
                    yield window, values.astype(np.uint8, copy=False)
        except RasterioError as error:
            raise InputError(
                f"The map {self.path} is damaged: {error}.", "Copy or compute it again."
            ) from error

    def count(
        self, tick: Callable[[float], None] = lambda share: None
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """(K,) pixels, (K,) hectares and (K,) mean confidence 0..1 (NaN unknown) of each class."""
        k = len(self.classes)
        pixels, hectares, confidence = np.zeros(k, np.int64), np.zeros(k), np.zeros(k)
        row_area = pixel_area_ha(self.grid)
        table = self.lookup
        windows = self.windows()
        second = self.read(band=2) if self.confident else None
        for number, (window, values) in enumerate(self.read(windows)):
            index = table[values]
            # class and row as one number: a single pass counts the classes of each row
            rows = np.arange(window.height)[:, None] * (k + 1) + index + 1
            counts = np.bincount(rows.ravel(), minlength=window.height * (k + 1))
            counts = counts.reshape(window.height, k + 1)[:, 1:]
            pixels += counts.sum(axis=0)
            hectares += row_area[window.row : window.row + window.height] @ counts
            if second is not None:
                _, percent = next(second)
                confidence += np.bincount(index.ravel() + 1, percent.ravel(), k + 1)[1:]
            tick((number + 1) / len(windows))
        with np.errstate(invalid="ignore"):
            mean = confidence / pixels / 100 if self.confident else np.full(k, np.nan)
        return pixels, hectares, mean

    def _values(self) -> list[int]:
        seen = np.zeros(MAX_VALUE + 1, bool)
        for _, values in self.read():
            seen |= np.bincount(values.ravel(), minlength=MAX_VALUE + 1) > 0
        seen[0] = False
        if 0 <= self.nodata <= MAX_VALUE:
            seen[self.nodata] = False
        return [int(v) for v in np.flatnonzero(seen)]


def fallback_color(number: int) -> str:
    """A colour for class `number` of a map without colours: steps of the golden angle around the hues."""
    import colorsys

    red, green, blue = colorsys.hls_to_rgb((number * 0.381966) % 1.0, 0.5, 0.6)
    return f"#{round(red * 255):02x}{round(green * 255):02x}{round(blue * 255):02x}"
