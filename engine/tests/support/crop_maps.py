"""Runs of the job that makes crop maps, and the rasters that it writes."""

from pathlib import Path

import rasterio

from sits_engine.context import JobContext
from sits_engine.jobs.map_crops import MapCrops

START = Path(__file__).parents[2] / "start.py"


def run(world, ctx=None, **params):
    """Map with a (series, model) in tiles of 32 pixels on the CPU, unless `params` say otherwise."""
    series, model = world
    given = {"series": series, "model": model, "tile_size": 32, "device": "cpu", **params}
    return MapCrops.parse({k: str(v) if isinstance(v, Path) else v for k, v in given.items()}).run(
        ctx or JobContext()
    )


def read(path, **options):
    """All bands of a raster."""
    with rasterio.open(path, **options) as image:
        return image.read()
