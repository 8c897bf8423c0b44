"""The labels of a region for windows: from one or several parcel layers, or from a label raster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sits_engine.errors import InputError
from sits_engine.samples.label_rasters import MOST_CODES, LabelRaster, is_label_raster
from sits_engine.samples.rasterise import LEAST, Burnt, ParcelLayer
from sits_engine.samples.vectors import Labelled, on_grid, read_labelled
from sits_engine.series.types import Grid, Window


@dataclass
class RegionLabels:
    """Labels on the grid of a series, `scale` times finer.

    Attributes:
        codes: label codes of the layer, in its order; `Burnt.labels` of `burn` are places in it.
        layer: what is burnt.
        least: of a pixel, the least that its class must cover (parcels).
        notes: sentences on what was dropped or repaired, with counts.
    """

    codes: tuple[str, ...]
    layer: ParcelLayer | LabelRaster
    least: float = LEAST
    notes: list[str] = field(default_factory=list)

    def burn(self, window: Window) -> Burnt:
        """Labels of a window of the finer grid."""
        if isinstance(self.layer, LabelRaster):
            return self.layer.burn(window)
        return self.layer.burn(window, self.least)

    def reach(
        self, rows: npt.NDArray[np.int32], cols: npt.NDArray[np.int32], size: int
    ) -> npt.NDArray[np.bool_]:
        """(N,) bool: may the window of the finer grid at this row and column hold a label?"""
        import shapely

        if isinstance(self.layer, LabelRaster):
            return np.ones(len(rows), dtype=bool)
        # a hair smaller: a parcel that ends where the window begins has no area in it
        boxes = shapely.box(cols + 1e-6, rows + 1e-6, cols + size - 1e-6, rows + size - 1e-6)
        found = np.zeros(len(rows), dtype=bool)
        found[self.layer.tree.query(boxes, predicate="intersects")[0]] = True
        return found


def matched(n_series: int, labels: Sequence[str]) -> list[list[str]]:
    """The label layers of each series: one for all, one each, or several parcel layers for the only one.

    Raises:
        InputError: nothing given, or numbers that don't go together.
    """
    if not n_series or not labels:
        missing = "time series" if not n_series else "parcels or label raster"
        raise InputError(
            f"Windows need images and labels, but no {missing} are given.",
            "Give SERIES, and PARCELS with FIELD or LABELS.",
        )
    if len(labels) == 1:
        return [[labels[0]] for _ in range(n_series)]
    if n_series == 1:
        return [list(labels)]
    if len(labels) != n_series:
        raise InputError(
            f"{n_series} time series and {len(labels)} layers of labels don't go together.",
            "Give one layer for each series in the same order, or one layer for all.",
        )
    return [[text] for text in labels]


def open_labels(
    texts: Sequence[str],
    label_field: str | None,
    images: Grid,
    scale: int,
    series_name: str,
    *,
    least: float = LEAST,
    read: dict[str, Labelled] | None = None,
    named: bool = True,
) -> RegionLabels:
    """Labels of one series.

    Args:
        texts: parcel layers, or one label raster.
        label_field: class field of the parcels.
        images: grid of the series.
        scale: 1, 2 or 4.
        series_name: for messages.
        least: see `RegionLabels`.
        read: layers that were read before, by their text; gets those that are read now.
        named: values of a raster have the names that the file gives them.

    Raises:
        InputError: a layer is unusable, not aligned (raster) or elsewhere (parcels), or has no polygon.
    """
    rasters = [text for text in texts if is_label_raster(text)]
    if rasters and len(texts) > 1:
        raise InputError(
            f"{series_name} has {len(texts)} layers of labels, of which {len(rasters)} are rasters.",
            "Give one label raster for a series, or parcel layers only.",
        )
    if rasters:
        raster = LabelRaster.open(Path(rasters[0]), images, scale, series_name, named=named)
        return RegionLabels(raster.texts, raster)
    if not label_field:
        raise InputError("Parcels are given without FIELD.", "Choose the field with the class.")
    known = {} if read is None else read
    for text in texts:
        if text not in known:
            known[text] = read_labelled(text, label_field)
    return _of_parcels([known[text] for text in texts], images, scale, series_name, least)


def _of_parcels(
    layers: Sequence[Labelled], images: Grid, scale: int, series_name: str, least: float
) -> RegionLabels:
    import shapely
    from affine import Affine

    fine = Grid(
        images.crs, images.transform * Affine.scale(1 / scale), images.height * scale, images.width * scale
    )
    geometries, codes, notes = [], [], []
    for labelled in layers:
        here = on_grid(labelled, images, series_name)
        notes += here.notes
        shapes = here.frame.geometry.to_numpy()
        areal = shapely.get_dimensions(shapes) == 2
        if not areal.any():
            raise InputError(
                f"{labelled.name} holds points, which cover no pixel.",
                "Give polygons or a label raster, or train a source model, which learns from points.",
            )
        if not areal.all():
            notes.append(f"{labelled.name}: {int((~areal).sum())} points cover no pixel and were dropped.")
        geometries.append(shapes[areal])
        codes.append(here.frame["code"].to_numpy().astype(str)[areal])
    names, place = np.unique(np.concatenate(codes), return_inverse=True)
    if len(names) > MOST_CODES:
        raise InputError(
            f"The field holds {len(names)} different values in {len(place)} parcels: it is no class.",
            "Choose the field with the crop.",
        )
    numbers = np.arange(1, len(place) + 1, dtype=np.int32)
    layer = ParcelLayer.of(np.concatenate(geometries), place.astype(np.int64), numbers, fine)
    return RegionLabels(tuple(names.tolist()), layer, least, notes)
