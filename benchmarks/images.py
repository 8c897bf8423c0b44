"""Images to time on that are as hard as real ones: trees fitted on them grow as deep as on real data.

The simulated region of `sits demo` at difficulty 'standard', tiled 256, DEFLATE with predictor 2. A large
image repeats a region of 1024 pixels, mirrored at its edges, so that making it takes a minute and every
part of it costs the same to read and to compute. Eight classes: the seven most frequent crops, and
everything else. `trees.py --check` compares the trees with those of real data.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

BANDS = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")
CLASSES = 8
BLOCK = 256
#: Upper left corner, metres.
CORNER = (600_000.0, 5_600_000.0)
#: Pixels a side of the region; larger images repeat it.
LARGEST_REGION = 1024


def make_series(folder: Path, size: int, dates: int) -> Path:
    """The series of a square image of `size` pixels a side; kept for the next run."""
    from sits_engine.context import JobContext
    from sits_engine.jobs.build_time_series import BuildTimeSeries
    from sits_engine.series.simulate.region import image, make_region, write_image
    from sits_engine.series.simulate.settings import DIFFICULTIES, REGION_A
    from sits_engine.series.simulate.truth import class_maps

    series = folder / f"series-{size}-{dates}.json"
    if series.exists():
        return series
    images = folder / f"images-{size}-{dates}"
    images.mkdir(parents=True, exist_ok=True)
    side = min(size + size % 2, LARGEST_REGION)
    region = make_region(replace(REGION_A, origin=CORNER), DIFFICULTIES["standard"], 0, side, dates, 0.0)
    place = mirrored(size, side)
    for number, date in enumerate(region.dates):
        values = image(region, number)[0][:, place][:, :, place]
        path = images / f"S2_{date:%Y%m%d}.tif"
        write_image(path, values, region.transform, region.setting.epsg, date)
    np.save(labels_path(series), eight_classes(class_maps(region)[1])[place][:, place])
    BuildTimeSeries.parse({"input_folder": str(images), "output": str(series)}).run(JobContext())
    return series


def as_jpeg2000(series: Path) -> Path:
    """The series of the same images in JPEG 2000, without loss, tiles of 1024 pixels as in products."""
    import rasterio

    copy = series.with_name(series.stem + "-jp2.json")
    if copy.exists():
        return copy
    for path in sorted(series.with_name(series.stem.replace("series", "images")).glob("*.tif")):
        with rasterio.open(path) as image:
            kept = {
                key: image.profile[key] for key in ("width", "height", "count", "dtype", "crs", "transform")
            }
            lossless = {"driver": "JP2OpenJPEG", "QUALITY": "100", "REVERSIBLE": "YES"}
            tiles = {"blockxsize": 1024, "blockysize": 1024}
            with rasterio.open(path.with_suffix(".jp2"), "w", **kept, **lossless, **tiles, nodata=0) as file:
                file.write(image.read())
                file.descriptions = image.descriptions
    copy.write_text(series.read_text(encoding="utf-8").replace(".tif", ".jp2"), encoding="utf-8")
    return copy


def as_copy(series: Path) -> Path:
    """The series of a clipped copy of the same images, compressed with ZSTD."""
    from sits_engine.context import JobContext
    from sits_engine.jobs.build_time_series import BuildTimeSeries

    copy = series.with_name(series.stem + "-zstd.json")
    if not copy.exists():
        fields = {
            "input_folder": str(series.with_name(series.stem.replace("series", "images"))),
            "clip_folder": str(copy.with_suffix("")),
            "clip_compression": "ZSTD",
            "output": str(copy),
        }
        BuildTimeSeries.parse(fields).run(JobContext())
    return copy


def labels_path(series: Path) -> Path:
    """Where the classes 1..8 (H, W) of the pixels of a series lie."""
    return series.with_suffix(".npy")


def mirrored(size: int, side: int) -> npt.NDArray[np.int64]:
    """(size,) rows of a region of `side` rows, there and back again."""
    there = np.arange(size) % (2 * side)
    return np.where(there < side, there, 2 * side - 1 - there)


def eight_classes(truth: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Truth values 1.. -> 1..7 for the most frequent crops, 8 for everything else."""
    from sits_engine.series.simulate.crops import CROPS

    counts = np.bincount(truth.ravel(), minlength=len(CROPS) + 1)[1 : len(CROPS) + 1]
    table = np.full(256, CLASSES, np.uint8)
    table[1 + np.argsort(-counts, kind="stable")[: CLASSES - 1]] = np.arange(1, CLASSES)
    return table[truth]
