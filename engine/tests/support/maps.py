"""Tiny series, models and maps for the tests of mapping and assessment."""

from pathlib import Path

import geopandas as gpd
import numpy as np
import rasterio
import shapely
import torch
from rasterio.transform import from_origin

from sits_engine.context import JobContext
from sits_engine.jobs.build_time_series import BuildTimeSeries
from sits_engine.mapping import cog
from sits_engine.mapping.class_map import CLASSES_TAG, MapClass, classes_tag
from sits_engine.models.card import BandCard, ClassCard, ModelCard
from sits_engine.models.model_file import save_model
from sits_engine.models.registry import build, pseltae_hyperparameters
from sits_engine.series.types import Grid

BANDS = ("B02", "B04", "B08")
CLASSES = ("wheat", "maïs", "sugar beet")
COLORS = ("#d9a01c", "#f2e205", "#c2185b")
CORNER = (600_000.0, 5_600_000.0)
CRS = "EPSG:32631"
DAYS = ("20230301", "20230410", "20230520", "20230630", "20230810")


def grid(height, width, pixel=10.0, crs=CRS):
    """Grid whose upper left corner is `CORNER`."""
    wkt = rasterio.crs.CRS.from_string(crs).to_wkt()
    return Grid(wkt, from_origin(*CORNER, pixel, pixel), height, width)


def reflectance(base, date):
    """Made-up numbers (x 10000) of a place `base` (0..1) at the date of this number."""
    return 400 + 4000 * base * (0.5 + 0.5 * np.sin(date + 6 * base))


def write_images(folder: Path, height=70, width=90, seed=0, bands=BANDS, days=DAYS, block=64, dark=()):
    """GeoTIFFs of smooth noise with an SCL band; `dark` is a slice pair that is clouded at all dates."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    coarse = rng.random((len(bands), height // 8 + 1, width // 8 + 1))
    base = np.kron(coarse, np.ones((8, 8)))[:, :height, :width]
    for number, day in enumerate(days):
        values = reflectance(base, number)
        values += rng.normal(0, 30, values.shape)
        scl = np.full((height, width), 4)
        scl[
            rng.random((height // 10 + 1, width // 10 + 1)).repeat(10, 0).repeat(10, 1)[:height, :width]
            < 0.15
        ] = 9
        if dark:
            scl[dark] = 9
        profile = {
            "driver": "GTiff",
            "height": height,
            "width": width,
            "count": len(bands) + 1,
            "dtype": "uint16",
            "crs": CRS,
            "transform": from_origin(*CORNER, 10, 10),
            "tiled": True,
            "blockxsize": block,
            "blockysize": block,
            "compress": "DEFLATE",
            "nodata": 0,
        }
        with rasterio.open(folder / f"S2_{day}.tif", "w", **profile) as image:
            image.write(np.concatenate([values, scl[None]]).astype(np.uint16))
            image.descriptions = (*bands, "SCL")


def write_series(folder: Path, **options) -> Path:
    """A series file of `write_images`."""
    write_images(folder / "images", **options)
    path = folder / "series.json"
    BuildTimeSeries.parse({"input_folder": str(folder / "images"), "output": str(path)}).run(JobContext())
    return path


def write_model(path: Path, bands=BANDS, seed=1, positions=tuple(range(40, 240, 10)), width="small") -> Path:
    """A model with random weights that tells the smooth noise of `write_images` apart into all classes."""
    torch.manual_seed(seed)
    numbers = pseltae_hyperparameters(len(bands), len(CLASSES), width=width)
    module = build("pseltae", numbers)
    # A fresh network hardly reacts: centre and spread its answers, so that the pixels differ.
    with torch.no_grad():
        base = np.random.default_rng(seed).random((256, len(bands)))
        values = np.stack([reflectance(base, date) for date in range(len(DAYS))], axis=1) / 1e4
        pixels = torch.tensor((values - 0.18) / 0.1, dtype=torch.float32)[..., None]
        days = torch.tensor([59.0, 99.0, 139.0, 180.0, 221.0]).expand(256, -1)
        logits = module.eval()(pixels, torch.ones(256, len(DAYS), 1), days)
        last = module.decoder[-1]
        last.weight.div_(logits.std(0)[:, None])
        last.bias.copy_((last.bias - logits.mean(0)) / logits.std(0))
    card = ModelCard(
        architecture="pseltae",
        hyperparameters=numbers,
        bands=[BandCard(name=name, mean=0.18, std=0.1) for name in bands],
        classes=[
            ClassCard(name=n, color=c, codes=[str(i)])
            for i, (n, c) in enumerate(zip(CLASSES, COLORS, strict=True), 1)
        ],
        season_year=2023,
        positions=list(positions),
    )
    save_model(path, module, card)
    return path


def write_map(
    path: Path, values, confidence=None, crs=CRS, pixel=10.0, codes=(("1",), ("2",), ("3",))
) -> Path:
    """A class map as `mapcrops` writes it."""
    values = np.asarray(values, np.uint8)
    where = grid(*values.shape, pixel=pixel, crs=crs)
    second = np.where(values > 0, 80, 0) if confidence is None else confidence
    plain = path.with_suffix(".plain.tif")
    with cog.create_plain(plain, where, 2, 0) as image:
        image.write(values, 1)
        image.write(second.astype(np.uint8), 2)
    classes = [MapClass(i + 1, n, COLORS[i], codes[i]) for i, n in enumerate(CLASSES)]
    bands = [cog.BandInfo("class", 0, "", ["", *CLASSES], COLORS), cog.BandInfo("confidence (%)", 0, "%")]
    cog.write_cog([(plain, 1), (plain, 2)], path, where, bands, {CLASSES_TAG: classes_tag(classes)})
    plain.unlink()
    return path


def parcels_file(path, crs="EPSG:2154", **fields):
    """Parcels a..e on the images of `write_images`, each of its own difficulty."""
    x, y = CORNER
    shapes = [
        shapely.box(x + 50, y - 250, x + 250, y - 50),
        shapely.box(x + 300, y - 420, x + 520, y - 300),
        shapely.box(x + 604, y - 108, x + 609, y - 103),  # smaller than a pixel
        shapely.box(x + 20, y - 690, x + 150, y - 620),  # never clear
        shapely.box(x - 900, y - 500, x - 700, y - 300),  # outside
    ]
    frame = gpd.GeoDataFrame(
        {"name": list("abcde"), "class": "said before", **fields}, geometry=shapes, crs="EPSG:32631"
    )
    frame.to_crs(crs).to_file(path)
    return path
