"""Ground photos of a simulated region: drawn scenes in four directions with position, date and captions.

A few hundred places are visited once in the season, while something stands on the field as a rule. What is
drawn is what grows there that day in the simulation, before the land that lies behind it. Nobody took them.
"""

from __future__ import annotations

import csv
import datetime
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import geopandas
import numpy as np
import shapely
from PIL import Image, ImageDraw
from pyproj import Transformer

from sits_engine.series.simulate.crops import CROPS
from sits_engine.series.simulate.landscape import BUILT, FOREST, OTHER
from sits_engine.series.simulate.photos_exif import exif
from sits_engine.series.simulate.photos_look import (
    COVER,
    LOOKS,
    MOWN,
    NO_STAGE,
    STAGES,
    STUBBLE,
    Looks,
    looks,
)
from sits_engine.series.simulate.photos_places import (
    OTHER_SHARES,
    Place,
    choose_places,
    place_class,
    places_elsewhere,
)
from sits_engine.series.simulate.photos_plants import Stand, draw_plants
from sits_engine.series.simulate.photos_scene import Camera, Land, Weather, draw_weather, paint
from sits_engine.series.simulate.photos_words import PHOTO_CLASSES, Caption, captions
from sits_engine.series.simulate.region import Region
from sits_engine.series.simulate.settings import FINE
from sits_engine.series.simulate.truth import write_layer

WIDTH, HEIGHT = 160, 120
OVERSAMPLING = 1.5
QUALITY = 88
DIRECTIONS = ("N", "E", "S", "W")
PHOTOS, WORDS = 21, 22  # keys of random numbers (see `settings.generator`)


@dataclass(frozen=True)
class Drawn:
    """One photo: path relative to the region's folder, class, direction, weather and captions."""

    place: Place
    kind: str
    file: str
    direction: str
    weather: str
    stage: int
    captions: tuple[Caption, ...]


def write_photos(
    region: Region,
    folder: Path,
    count: int,
    progress: Callable[[float], None],
    check: Callable[[], None],
) -> list[Drawn]:
    """Draw the photos of `count` places: `folder`/photos/*.jpg, layers and captions.csv.

    photos.gpkg has all, photos_train.gpkg and photos_test.gpkg those of the two splits.

    Args:
        region: what is there.
        folder: exists.
        count: places; four photos each.
        progress: gets the finished share.
        check: called before each place; may raise to cancel.
    """
    places = choose_places(region, count)
    drawn = draw_places(region, places, folder, "photos", progress, check)
    _write_layer(region, folder / "photos.gpkg", drawn)
    for split in ("train", "test"):
        part = [item for item in drawn if item.place.split == split]
        _write_layer(region, folder / f"photos_{split}.gpkg", part)
    missing = [kind for kind in OTHER_SHARES if OTHER[kind] not in {item.kind for item in drawn}]
    strange, visits = places_elsewhere(region, missing, count)
    _write_captions(
        folder / "captions.csv",
        [*drawn, *draw_places(strange, visits, folder, "photos_elsewhere", lambda share: None, check)],
    )
    return drawn


def draw_places(
    region: Region,
    places: list[Place],
    folder: Path,
    name: str,
    progress: Callable[[float], None],
    check: Callable[[], None],
) -> list[Drawn]:
    """Draw four photos of each place into `folder`/`name`, which is made if there are any."""
    if not places:
        return []
    (folder / name).mkdir(parents=True, exist_ok=True)
    land = Land.of(region.rng(PHOTOS), region.rows, len(region.fields))
    to_degrees = Transformer.from_crs(region.setting.epsg, 4326, always_xy=True)
    drawn: list[Drawn] = []

    def one(place: Place) -> list[Drawn]:
        check()
        return _visit_photos(region, land, place, folder, name, to_degrees)

    with ThreadPoolExecutor(2) as pool:
        try:
            for done, found in enumerate(pool.map(one, places), start=1):
                drawn += found
                progress(done / len(places))
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    return drawn


def _visit_photos(
    region: Region, land: Land, place: Place, folder: Path, name: str, to_degrees: Transformer
) -> list[Drawn]:
    """Four photos of one place."""
    rng = region.rng(PHOTOS, place.number)
    words = region.rng(WORDS, place.number)
    weather = draw_weather(rng)
    view = looks(region.fields, place.day, region.setting.soil[0], float(rng.random()))
    kind = place_class(region, place.row)
    rows_azimuth = float(rng.uniform(0, 180))
    lon, lat = to_degrees.transform(place.x, place.y)
    stage = int(view.stage[place.row])
    found = []
    for number, direction in enumerate(DIRECTIONS):
        azimuth = 90.0 * number
        # People hold a camera a little askew.
        turned = azimuth + float(rng.normal(0, 5))
        picture = draw_photo(rng, region, land, view, place, turned, rows_azimuth, weather)
        file = f"{name}/{place.name}_{direction}.jpg"
        moment = datetime.datetime.combine(place.date, datetime.time(9 + place.number % 8, 7 * number))
        picture.save(folder / file, quality=QUALITY, exif=exif(lon, lat, azimuth, moment))
        texts = tuple(captions(words, kind, stage, place.date, weather.name))
        found.append(Drawn(place, kind, file, direction, weather.name, stage, texts))
    return found


def draw_photo(
    rng: np.random.Generator,
    region: Region,
    land: Land,
    view: Looks,
    place: Place,
    azimuth: float,
    rows_azimuth: float,
    weather: Weather,
) -> Image.Image:
    """One photo, `WIDTH` x `HEIGHT`, drawn larger and reduced."""
    x, y = region.setting.origin
    stand = _stand(region, view, place, rng)
    clearing = 1.6 + (0.9 * stand.height if stand else 0.0)
    if stand and stand.plant == "tree":
        clearing = 6.0
    elif stand and stand.plant == "reed":
        clearing = 2.2
    elif place.row == len(region.fields) + BUILT:
        clearing = 9.0
    camera = Camera(
        row=(y - place.y) / FINE,
        column=(place.x - x) / FINE,
        azimuth=azimuth,
        horizon=float(rng.uniform(0.38, 0.52)),
        clearing=clearing * float(rng.uniform(0.9, 1.3)),
        rows_azimuth=rows_azimuth,
    )
    shape = (round(OVERSAMPLING * HEIGHT), round(OVERSAMPLING * WIDTH))
    painted = paint(rng, land, view, camera, weather, shape)
    picture = Image.fromarray(np.clip(255 * painted, 0, 255).astype(np.uint8), "RGB")
    if stand:
        draw_plants(ImageDraw.Draw(picture), rng, stand, camera, weather, shape)
    return picture.resize((WIDTH, HEIGHT), Image.Resampling.BOX)


def _stand(region: Region, view: Looks, place: Place, rng: np.random.Generator) -> Stand | None:
    """What is drawn plant by plant; None where nothing grows."""
    row, fields = place.row, len(region.fields)
    flower = np.array([0.98, 0.96, 0.86], dtype=np.float32)
    leaf = view.plants[row]
    if row >= fields:
        kind = row - fields
        if kind == FOREST:
            return Stand("tree", 17.0, 0.0, leaf, flower, 0.0, 0.0, 1.0)
        if kind == BUILT:
            return Stand("grass", 0.12, 0.0, leaf, flower, 0.5, 0.0, 0.3)
        reeds = np.array([0.42, 0.50, 0.26], dtype=np.float32)
        return Stand("reed", 1.5, 0.0, reeds, flower, 0.0, 0.0, 0.6) if rng.random() < 0.5 else None
    stage = int(view.stage[row])
    look = LOOKS[CROPS[region.fields.crop[row]].name]
    if STAGES[stage] == "bare":
        return None
    plant = {STUBBLE: "stubble", COVER: "grass", MOWN: "grass", NO_STAGE: "grass"}.get(stage, look.plant)
    return Stand(
        plant,
        float(view.height[row]),
        float(view.spacing[row]),
        leaf,
        np.array(look.flower, dtype=np.float32) / np.float32(255),
        float(view.bloom[row]),
        float(view.ripe[row]),
        float(view.cover[row]),
    )


def _write_layer(region: Region, path: Path, drawn: list[Drawn]) -> None:
    """A point for each photo; paths are relative to the layer's folder, so that the demo can be moved."""
    frame = geopandas.GeoDataFrame(
        {
            "photo": [item.file for item in drawn],
            "place": [item.place.name for item in drawn],
            "class": [item.kind for item in drawn],
            "date": [item.place.date.isoformat() for item in drawn],
            "direction": [item.direction for item in drawn],
            "stage": [STAGES[item.stage] for item in drawn],
            "weather": [item.weather for item in drawn],
            "split": [item.place.split for item in drawn],
        },
        geometry=[shapely.Point(item.place.x, item.place.y) for item in drawn],
        crs=f"EPSG:{region.setting.epsg}",
    )
    write_layer(frame, path, "photos")


def _write_captions(path: Path, drawn: list[Drawn]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(("photo", "place", "class", "wording", "split", "caption"))
        for item in drawn:
            for caption in item.captions:
                row = (
                    item.file,
                    item.place.name,
                    item.kind,
                    caption.wording,
                    caption.split,
                    caption.text,
                )
                table.writerow(row)


__all__ = ["PHOTO_CLASSES", "Drawn", "draw_photo", "draw_places", "write_photos"]
