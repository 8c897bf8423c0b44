"""The baseline that a careful user would have without SITS: a random forest on interpolated pixel series.

Reads the same time series with the same cloud mask, fills clouded dates by linear interpolation between
the clear ones, and fits scikit-learn's random forest with its usual 100 trees. Its map has the legend of a
map made by `mapcrops`, so that `assessmap` judges both in the same way.

    python benchmarks/forest.py SERIES PARCELS FIELD MODEL MAP OUTPUT
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
ROWS = 128  # rows of a series read at once


def fill_clouds(values: Floats, valid: npt.NDArray[np.bool_], positions: npt.NDArray[Any]) -> Floats:
    """Replace what is not valid by linear interpolation between the clear dates before and after.

    Args:
        values: (T, C, N), physical.
        valid: (T, N).
        positions: (T,) days, ascending.

    Returns:
        (N, T * C); the nearest clear date is repeated at both ends, pixels without any clear date are 0.
    """
    dates = len(positions)
    step = np.arange(dates)[:, None]
    before = np.maximum.accumulate(np.where(valid, step, -1), axis=0)
    after = np.minimum.accumulate(np.where(valid, step, dates)[::-1], axis=0)[::-1]
    before = np.where(before < 0, np.minimum(after, dates - 1), before)
    after = np.where(after >= dates, before, after)
    days = np.asarray(positions, dtype=np.float32)
    gap = days[after] - days[before]
    weight = np.where(gap > 0, (days[:, None] - days[before]) / np.where(gap > 0, gap, 1), 0)[:, None, :]
    low = np.take_along_axis(values, before[:, None, :], axis=0)
    high = np.take_along_axis(values, after[:, None, :], axis=0)
    filled = np.where(valid.any(axis=0), low + (high - low) * weight, 0)
    flat: Floats = filled.reshape(-1, values.shape[2]).T.astype(np.float32)
    return flat


def series_rows(series: Any) -> Any:
    """Yield (first row, features (rows, width, T * C), seen (rows, width)) from top to bottom."""
    from sits_engine.series.types import Window

    for row in range(0, series.grid.height, ROWS):
        window = Window(row, 0, min(ROWS, series.grid.height - row), series.grid.width)
        cube = series.read(window, series.bands)
        dates, bands = cube.values.shape[:2]
        physical = (
            cube.values.astype(np.float32) * cube.scale[:, :, None, None] + cube.offset[:, :, None, None]
        )
        features = fill_clouds(
            physical.reshape(dates, bands, -1), cube.valid.reshape(dates, -1), series.positions
        )
        shape = (window.height, window.width)
        yield row, features.reshape(*shape, -1), cube.valid.any(axis=0).reshape(shape)


def label_raster(series: Any, parcels: str, field: str, classes: dict[str, int]) -> npt.NDArray[np.uint8]:
    """(H, W) map values of the parcels' inner pixels (half a pixel from the border), 0 elsewhere."""
    import geopandas as gpd
    from rasterio.features import rasterize

    frame = gpd.read_file(parcels).to_crs(series.grid.crs)
    inner = frame.geometry.buffer(-series.grid.resolution[0] / 2)
    shapes = [
        (geometry, classes[str(label)])
        for geometry, label in zip(inner, frame[field], strict=True)
        if not geometry.is_empty and str(label) in classes
    ]
    found: npt.NDArray[np.uint8] = rasterize(
        shapes, (series.grid.height, series.grid.width), transform=series.grid.transform, dtype="uint8"
    )
    return found


def forest_map(
    series: Any, labels: npt.NDArray[np.uint8], samples: int = 20_000, seed: int = 1
) -> npt.NDArray[np.uint8]:
    """(H, W) map values: a forest fitted on at most `samples` labelled pixels, applied to all pixels."""
    from sklearn.ensemble import RandomForestClassifier

    rows = list(series_rows(series))
    features = np.concatenate([part for _, part, _ in rows])
    seen = np.concatenate([part for _, _, part in rows])
    known = np.flatnonzero((labels > 0) & seen)
    if len(known) > samples:
        known = np.random.default_rng(seed).choice(known, samples, replace=False)
    flat = features.reshape(-1, features.shape[-1])
    forest = RandomForestClassifier(100, n_jobs=-1, random_state=seed)
    forest.fit(flat[known], labels.ravel()[known])
    predicted = forest.predict(flat).astype(np.uint8).reshape(labels.shape)
    predicted[~seen] = 0
    return predicted


def window_in(grid: Any, crs: Any, transform: Any, shape: tuple[int, int]) -> tuple[slice, slice]:
    """Rows and columns of the series that a map covers: a map is cut to the region that was asked for.

    Raises:
        SystemExit: the map has other pixels than the series, or reaches beyond it.
    """
    from rasterio.crs import CRS

    corner = ~grid.transform * (transform.c, transform.f)
    row, col = round(corner[1]), round(corner[0])
    steps = np.array(transform)[[0, 1, 3, 4]], np.array(grid.transform)[[0, 1, 3, 4]]
    if (
        CRS.from_user_input(crs) != CRS.from_wkt(grid.crs)
        or not np.allclose(*steps)
        or not np.allclose(corner, (col, row), atol=1e-3)
        or min(row, col) < 0
        or row + shape[0] > grid.height
        or col + shape[1] > grid.width
    ):
        raise SystemExit(
            f"The map of {shape} pixels doesn't lie on the pixels of the series, {grid.height, grid.width}."
        )
    return slice(row, row + shape[0]), slice(col, col + shape[1])


def write_like(template: Path, output: Path, values: npt.NDArray[np.uint8], grid: Any) -> None:
    """A copy of a crop map, with its legend, that holds `values` (on `grid`) instead of its classes."""
    import rasterio

    # Category names stand in the side-car file.
    for suffix in ("", ".aux.xml"):
        if template.with_name(template.name + suffix).exists():
            shutil.copy2(template.with_name(template.name + suffix), output.with_name(output.name + suffix))
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(output, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as copy,
    ):
        inside = values[window_in(grid, copy.crs, copy.transform, copy.shape)]
        copy.write(np.where(copy.read(1) > 0, inside, 0).astype(np.uint8), 1)  # the same region


def main(series_file: str, parcels: str, field: str, model: str, template: str, output: str) -> None:
    """Fit on the parcels and write the forest's map."""
    from sits_engine.models.model_file import read_card
    from sits_engine.series.time_series import TimeSeries

    card = read_card(Path(model))
    classes = {}
    for value, known in enumerate(card.classes, start=1):
        classes.update(dict.fromkeys([known.name, *known.codes], value))
    series = TimeSeries.open(Path(series_file))
    labels = label_raster(series, parcels, field, classes)
    write_like(Path(template), Path(output), forest_map(series, labels), series.grid)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "engine"))
    main(*sys.argv[1:])
