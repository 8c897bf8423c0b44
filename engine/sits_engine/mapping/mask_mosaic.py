"""Masks of windows as one raster on the grid of the series, with its class table: labels for a training."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sits_engine.mapping import cog
from sits_engine.outputs import atomic, discard, partial, publish
from sits_engine.samples.raster_classes import CLASSES_TAG, MAX_VALUE, MapClass, classes_tag
from sits_engine.series.types import Grid

Bytes = npt.NDArray[np.uint8]


def mosaic(
    grid: Grid,
    rows: npt.NDArray[np.integer],
    cols: npt.NDArray[np.integer],
    values: npt.NDArray[np.uint8],
    confidence: npt.NDArray[np.floating],
) -> tuple[Bytes, Bytes]:
    """Lay windows on the grid; where they overlap the more confident one wins.

    Args:
        grid: of the series.
        rows, cols: (N,) upper left pixels.
        values: (N, H, W) values of the raster, 0 unlabelled.
        confidence: (N, H, W) 0..1.

    Returns:
        (height, width) values and confidence in percent, 1..100 where there is a value and 0 elsewhere.
    """
    classes = np.zeros((grid.height, grid.width), np.uint8)
    percent = np.zeros((grid.height, grid.width), np.uint8)
    height, width = values.shape[1:]
    for row, col, own, sure in zip(rows.tolist(), cols.tolist(), values, confidence, strict=True):
        at = np.s_[row : row + height, col : col + width]
        share = np.clip(np.rint(100 * sure), 1, 100).astype(np.uint8)
        better = (own > 0) & (share > percent[at])
        classes[at][better], percent[at][better] = own[better], share[better]
    return classes, percent


def write_mosaic(
    path: Path, grid: Grid, classes: Bytes, percent: Bytes, legend: Sequence[MapClass], tags: dict[str, str]
) -> None:
    """Write a cloud-optimised GeoTIFF: band 1 class (0 unlabelled), band 2 confidence in percent.

    Args:
        path: appears complete or not at all; category names lie beside it (`.aux.xml`).
        grid: of both arrays.
        classes, percent: of `mosaic`.
        legend: classes by value.
        tags: metadata; nothing that changes from run to run.
    """
    names, colors = [""] * (MAX_VALUE + 1), ["#000000"] * MAX_VALUE
    for one in legend:
        names[one.value], colors[one.value - 1] = one.name, one.color
    last = max(one.value for one in legend)
    bands = [
        cog.BandInfo("class", 0, "", names[: last + 1], colors[:last]),
        cog.BandInfo("confidence (%)", 0, "%"),
    ]
    plain = partial(path.with_name(f"{path.stem}_plain.tif"))
    try:
        with cog.create_plain(plain, grid, 2, 0) as image:
            image.write(classes, 1)
            image.write(percent, 2)
        everything = {**tags, CLASSES_TAG: classes_tag(list(legend))}
        files = cog.write_cog([(plain, 1), (plain, 2)], partial(path), grid, bands, everything)
        publish(cog.named(files, path))
    finally:
        discard(plain)


def write_class_table(path: Path, legend: Sequence[MapClass]) -> None:
    """Write the CSV `code,class,color` that trainings take; codes are the values of the raster."""
    with atomic(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["code", "class", "color"])
        writer.writerows([one.value, one.name, one.color] for one in legend)
