"""Two tiny regions of three crops: in the target everything greens up `EARLIER` days before the source."""

import datetime
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
from imagery import write_image
from shapely.geometry import box

from sits_engine.context import JobContext
from sits_engine.jobs.build_time_series import BuildTimeSeries
from sits_engine.jobs.train_source_model import TrainSourceModel

DAYS = [datetime.date(2019, 2, 10) + datetime.timedelta(days=15 * i) for i in range(13)]
EARLIER = 30
CROPS = ("maize", "wheat", "blé dur")
#: Day of the peak, height and length of the season of each crop: told apart by more than a shift.
PEAKS, HEIGHTS, WIDTHS = (60, 95, 125), (1.0, 0.75, 0.9), (18, 32, 25)
SIDE = 5  # pixels of a field's side
FIELDS = 10  # fields in a row


@dataclass(frozen=True)
class TwoRegions:
    """Files of both regions, and a model of the source."""

    source: Path
    target: Path
    source_parcels: Path
    target_parcels: Path
    outlines: Path
    model: Path


def write_region(
    folder: Path,
    corner: tuple[float, float],
    earlier: int,
    seed: int,
    bands: tuple[str, ...] = ("B04", "B08"),
) -> Path:
    """Images of one region, its series, and its parcels with the field `crop`."""
    rng = np.random.default_rng(seed)
    crops = rng.integers(0, 3, (FIELDS, FIELDS))
    wide = crops.repeat(SIDE, 0).repeat(SIDE, 1)
    for day in DAYS:
        age = (day - DAYS[0]).days - (np.array(PEAKS)[wide] - earlier)
        green = np.array(HEIGHTS)[wide] * np.exp(-((age / np.array(WIDTHS)[wide]) ** 2))
        values = np.stack([800 - 500 * green, 1500 + 3000 * green]) + rng.normal(0, 60, (2, *wide.shape))
        scl = np.where(rng.random(wide.shape) < 0.1, 9, 4)
        write_image(
            folder / "images" / f"S2_{day:%Y%m%d}.tif",
            np.concatenate([values, scl[None]]).astype(np.uint16),
            [*bands, "SCL"],
            corner=corner,
        )
    series = folder / f"{folder.name}.json"
    BuildTimeSeries.parse({"input_folder": str(folder / "images"), "output": str(series)}).run(JobContext())
    size = 10 * SIDE
    shapes = [
        box(
            corner[0] + size * c, corner[1] - size * (r + 1), corner[0] + size * (c + 1), corner[1] - size * r
        )
        for r in range(FIELDS)
        for c in range(FIELDS)
    ]
    names = [CROPS[k] for k in crops.ravel()]
    plots = [f"plot {i}" for i in range(len(shapes))]
    gpd.GeoDataFrame({"crop": names, "plot": plots}, geometry=shapes, crs=32631).to_file(
        folder / "parcels.gpkg"
    )
    return series


def write_regions(folder: Path) -> TwoRegions:
    """Both regions and a model trained on the source."""
    source = write_region(folder / "là-bas", (600000.0, 5600000.0), 0, 1)
    target = write_region(folder / "ici", (640000.0, 5500000.0), EARLIER, 2)
    parcels = target.parent / "parcels.gpkg"
    gpd.read_file(parcels)[["geometry"]].to_file(target.parent / "outlines.gpkg")
    model = folder / "modèle.safetensors"
    TrainSourceModel.parse(
        {
            "series": [str(source)],
            "parcels": [str(source.parent / "parcels.gpkg")],
            "field": "crop",
            "output": str(model),
            "epochs": 12,
            "steps_per_epoch": 12,
            "batch_size": 32,
            "width": "small",
            "min_parcels": 5,
            "shift_augmentation": 0,
            "device": "cpu",
        }
    ).run(JobContext())
    return TwoRegions(
        source,
        target,
        source.parent / "parcels.gpkg",
        parcels,
        target.parent / "outlines.gpkg",
        model,
    )
