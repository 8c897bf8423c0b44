"""Label rasters: the class of every pixel (0 = unlabelled), on the grid of the images or a finer one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rasterio.errors import RasterioError

from sits_engine.errors import InputError
from sits_engine.samples.raster_classes import named_classes
from sits_engine.samples.rasterise import Burnt
from sits_engine.series.gridding import label as crs_name
from sits_engine.series.gridding import same_crs
from sits_engine.series.types import Grid, Window

#: Endings of what is read as a raster of labels; everything else is a vector layer.
SUFFIXES = frozenset({".tif", ".tiff", ".vrt", ".img", ".jp2", ".asc"})
#: Labels are stored as 16-bit numbers.
MOST_CODES = 2**15 - 1
#: Of a pixel: origins and pixel sizes that differ by less are the same.
TOLERANCE = 0.01


def is_label_raster(text: str) -> bool:
    """Does the text name a raster (by its ending)?"""
    return Path(text).suffix.lower() in SUFFIXES


@dataclass
class LabelRaster:
    """A raster of label codes that fits a series.

    Attributes:
        path: the file.
        grid: its grid.
        codes: all values that it holds, ascending, without 0 and nodata.
        nodata: means unlabelled, as 0 does.
        names: classes of values, as far as the file names them.
    """

    path: Path
    grid: Grid
    codes: npt.NDArray[np.int64]
    nodata: float | None
    names: Mapping[int, str] = field(default_factory=dict)
    _next: int = field(default=1, repr=False)

    @property
    def texts(self) -> tuple[str, ...]:
        """Name of each code where the file has one, else the code as text."""
        return tuple(self.names.get(int(code), str(code)) for code in self.codes)

    @classmethod
    def open(
        cls, path: Path, images: Grid, scale: int, series_name: str, *, named: bool = True
    ) -> LabelRaster:
        """Check a file against the images and collect its codes.

        Args:
            path: one band of whole numbers.
            images: grid of the series.
            scale: pixels of the labels along one of the images.
            series_name: for messages.
            named: use the names that the file has for its values (category names, or the classes of our own
                maps and masks); False: a class table says what the numbers mean.

        Raises:
            InputError: missing, unreadable, not whole numbers, all unlabelled, or not on the series' grid
                `scale` times finer (says what differs).
        """
        import rasterio

        if not path.exists():
            raise InputError(f"Label raster not found: {path}.", "Check the path.")
        try:
            with rasterio.open(path) as file:
                if file.crs is None:
                    raise InputError(
                        f"The label raster {path.name} has no coordinate reference system.",
                        "Set it in QGIS (Layer properties, Source) and export the layer.",
                    )
                grid = Grid(file.crs.to_wkt(), file.transform, file.height, file.width)
                check_aligned(grid, images, scale, path.name, series_name)
                found: npt.NDArray[Any] = np.empty(0, dtype=file.dtypes[0])
                for _, block in file.block_windows(1):
                    found = np.union1d(found, file.read(1, window=block))
                    if len(found) > MOST_CODES:
                        raise InputError(
                            f"The label raster {path.name} holds more than {MOST_CODES} different values.",
                            "Choose a raster of classes.",
                        )
                nodata = file.nodata
        except RasterioError as error:
            raise InputError(
                f"The label raster {path.name} can't be read: {error}.",
                "Open it in QGIS, and export it anew.",
            ) from error
        # QGIS rasterises to float unless told otherwise: whole numbers are what counts, not their type
        found = found[np.isfinite(found)]
        codes = found[(found != 0) & (found != nodata)] if nodata is not None else found[found != 0]
        broken = codes[codes != np.rint(codes)]
        if len(broken):
            raise InputError(
                f"The label raster {path.name} holds {broken[0]}; labels are whole numbers.",
                "Choose a raster of classes, or convert it to whole numbers (0 = unlabelled).",
            )
        if not len(codes):
            raise InputError(
                f"Every pixel of the label raster {path.name} is unlabelled (0).", "Choose another raster."
            )
        names = {one.value: one.name for one in named_classes(path)} if named else {}
        return cls(path, grid, codes.astype(np.int64), nodata, names)

    def burn(self, window: Window) -> Burnt:
        """Labels of a window, as places in `codes`; a connected piece of one code counts as a parcel.

        Whoever drew the raster knew which pixels belong together; all that is left is which ones touch.
        Neighbours of the same crop are one piece, and a parcel that reaches into several windows gets a
        number in each.
        """
        import rasterio
        from rasterio.windows import Window as FileWindow
        from scipy import ndimage

        with rasterio.open(self.path) as file:
            part = FileWindow(window.col, window.row, window.width, window.height)
            raw = file.read(1, window=part)
        known = np.isfinite(raw) & (raw != 0)
        if self.nodata is not None:
            known &= raw != self.nodata
        values = np.where(known, raw, 0).astype(np.int64)
        labels = np.where(known, np.searchsorted(self.codes, values), -1).astype(np.int16)
        parcels = np.zeros(values.shape, dtype=np.int32)
        for code in np.unique(labels[known]):
            pieces, count = ndimage.label(labels == code)
            parcels += np.where(pieces > 0, pieces + (self._next - 1), 0).astype(np.int32)
            self._next += count
        return Burnt(labels, parcels, np.zeros(values.shape, np.uint8), known.astype(np.float32))


def check_aligned(labels: Grid, images: Grid, scale: int, name: str, series_name: str) -> None:
    """Raise an InputError that says what differs, unless `labels` is the images' grid `scale` times finer."""
    from affine import Affine

    expected = images.transform * Affine.scale(1 / scale)
    own, differences = labels.transform, []
    if not same_crs(labels.crs, images.crs):
        differences.append(f"CRS {crs_name(labels.crs)}, images {crs_name(images.crs)}")
    else:
        # of a pixel at the far end of the image
        slack = TOLERANCE * min(abs(expected.a) + abs(expected.b), abs(expected.d) + abs(expected.e))
        steps = [np.array([t.a, t.b, t.d, t.e]) for t in (own, expected)]
        if np.abs(steps[0] - steps[1]).max() * max(images.height, images.width) * scale > slack:
            differences.append(
                f"pixels of {_pair(own.a, own.e)}, wanted {_pair(expected.a, expected.e)} (those of the "
                f"images divided by the scale, {scale})"
            )
        if max(abs(own.c - expected.c), abs(own.f - expected.f)) > slack:
            differences.append(
                f"upper left corner at {_pair(own.c, own.f)}, images at {_pair(expected.c, expected.f)}"
            )
    size, wanted = (labels.height, labels.width), (images.height * scale, images.width * scale)
    if size != wanted:
        differences.append(f"{_pair(*size)} pixels, wanted {_pair(*wanted)} (rows x columns)")
    if differences:
        raise InputError(
            f"The label raster {name} doesn't lie on the grid of {series_name}: {'; '.join(differences)}.",
            "Warp it to the grid of the images with nearest neighbours, choose the SCALE that it was made "
            "for, or give polygons instead.",
        )


def _pair(one: float, other: float) -> str:
    return f"{one:.10g} x {other:.10g}"
