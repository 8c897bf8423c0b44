"""A tiny region with photos of its fields, and a CLIP model with random weights."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
from PIL import Image
from support.tiny_clip import tiny_clip
from support.two_regions import CROPS, write_region

#: What fields of the crops look like from the ground.
LOOKS = ((40, 110, 30), (200, 170, 60), (150, 90, 120))


@dataclass(frozen=True)
class PhotoRegion:
    """Files: the series, a table of photos (file, lon, lat, field, crop), and the CLIP folder."""

    series: Path
    photos: Path
    clip: Path


def write_photo_region(folder: Path, *, seed: int = 0) -> PhotoRegion:
    """50 x 50 pixels, 100 fields of three crops, two photos of each field."""
    rng = np.random.default_rng(seed)
    series = write_region(folder / "région", (600000.0, 5600000.0), 0, 1)
    fields = gpd.read_file(series.parent / "parcels.gpkg")
    middles = fields.geometry.centroid.to_crs(4326)
    rows = []
    (folder / "photos").mkdir()
    for i, (crop, place) in enumerate(zip(fields.crop, middles, strict=True)):
        for view in range(2):
            noise = rng.normal(0, 14, (36, 48, 3)) + rng.normal(0, 12)
            picture = np.clip(np.array(LOOKS[CROPS.index(crop)]) + noise, 0, 255).astype(np.uint8)
            name = f"photos/Feld {i}_{view}.jpg"
            Image.fromarray(picture).save(folder / name, quality=92)
            rows.append((name, f"{place.x:.7f}", f"{place.y:.7f}", f"field {i}", crop))
    table = folder / "photos.csv"
    with table.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(("file", "lon", "lat", "field", "crop"))
        writer.writerows(rows)
    return PhotoRegion(series, table, tiny_clip(folder / "clip"))
