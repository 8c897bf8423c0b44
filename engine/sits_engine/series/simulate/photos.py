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
import numpy.typing as npt
import shapely
from PIL import Image, ImageDraw
from pyproj import Transformer

from sits_engine.series.simulate.crops import CROPS
from sits_engine.series.simulate.landscape import BUILT, FOREST, OTHER, WATER_BODY
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
from sits_engine.series.simulate.photos_plants import Stand, draw_plants
from sits_engine.series.simulate.photos_scene import Camera, Land, Weather, draw_weather, paint
from sits_engine.series.simulate.photos_words import PHOTO_CLASSES, Caption, captions
from sits_engine.series.simulate.region import Region
from sits_engine.series.simulate.settings import FINE, YEAR
from sits_engine.series.simulate.truth import write_layer

WIDTH, HEIGHT = 160, 120
OVERSAMPLING = 1.5
QUALITY = 88
DIRECTIONS = ("N", "E", "S", "W")
#: Share of the places that show land without fields, each kind.
OTHER_SHARES = {FOREST: 0.07, BUILT: 0.06, WATER_BODY: 0.04}
FIRST_DAY, LAST_DAY = 98, 283
BLOCK = 640.0  # metres a side; whole blocks are for training or for tests
TEST_SHARE = 0.3
EDGE = 12.0  # metres a place keeps from the border of its field, so that its pixel shows the field

PLACES, PHOTOS, WORDS = 20, 21, 22  # keys of random numbers (see `settings.generator`)


@dataclass(frozen=True)
class Place:
    """One visit.

    Attributes:
        number: from 1.
        row: of the looks: parcel, or parcels + kind.
        x, y: CRS coordinates.
        date: of the visit.
        split: 'train' or 'test'.
    """

    number: int
    row: int
    x: float
    y: float
    date: datetime.date
    split: str

    @property
    def name(self) -> str:
        """Identifier in file names and layers."""
        return f"P{self.number:04d}"

    @property
    def day(self) -> int:
        """Days since 1 January."""
        return (self.date - datetime.date(YEAR, 1, 1)).days


@dataclass(frozen=True)
class Drawn:
    """One photo: file name, direction, weather and captions."""

    place: Place
    file: str
    direction: str
    weather: str
    stage: int
    captions: tuple[Caption, ...]


def place_class(region: Region, row: int) -> str:
    """Class name of a row of the looks."""
    count = len(region.fields)
    return CROPS[region.fields.crop[row]].name if row < count else OTHER[row - count]


def choose_places(region: Region, count: int) -> list[Place]:
    """`count` places (fewer if the region is small): every crop, forest, built-up land and water.

    Crops that are rare get more than their share: the chance is the square root of it.
    """
    rng = region.rng(PLACES)
    fields = region.fields
    rows: list[int] = []
    points: list[tuple[float, float]] = []
    for kind, share in OTHER_SHARES.items():
        found = _points_of_surface(region, rng, kind, round(share * count))
        rows += [len(fields) + kind] * len(found)
        points += found
    inner = [parcel.buffer(-EDGE) for parcel in region.landscape.parcels]
    large = np.array([not polygon.is_empty for polygon in inner])
    grown = np.bincount(fields.crop, minlength=len(CROPS))
    weight = np.where(large, 1 / np.sqrt(np.maximum(grown, 1))[fields.crop], 0.0)
    wanted = min(count - len(rows), int(large.sum()))
    for parcel in rng.choice(len(fields), wanted, replace=False, p=weight / weight.sum()):
        rows.append(int(parcel))
        points.append(_point_inside(rng, inner[parcel]))
    order = rng.permutation(len(rows))
    blocks = _blocks(np.array(points)[order])
    tests = _test_blocks(rng, blocks, np.array([place_class(region, rows[i]) for i in order]))
    return [
        Place(
            number,
            rows[i],
            points[i][0],
            points[i][1],
            datetime.date(YEAR, 1, 1) + datetime.timedelta(days=_visit(region, rng, rows[i])),
            "test" if block in tests else "train",
        )
        for number, (i, block) in enumerate(zip(order, blocks.tolist(), strict=True), start=1)
    ]


def _points_of_surface(
    region: Region, rng: np.random.Generator, kind: int, count: int
) -> list[tuple[float, float]]:
    """Random places whose surroundings (25 m) are this surface; none where the region has none."""
    is_kind = region.rows == len(region.fields) + kind
    for step in (1, 2):
        is_kind[step:-step, step:-step] &= (
            is_kind[: -2 * step, step:-step]
            & is_kind[2 * step :, step:-step]
            & is_kind[step:-step, : -2 * step]
            & is_kind[step:-step, 2 * step :]
        )
    is_kind[:6], is_kind[-6:], is_kind[:, :6], is_kind[:, -6:] = False, False, False, False
    found = np.argwhere(is_kind)
    if not len(found):
        return []
    chosen = found[rng.choice(len(found), min(count, len(found)), replace=False)] + 0.5
    x, y = region.setting.origin
    return [(x + FINE * float(column), y - FINE * float(row)) for row, column in chosen]


def _point_inside(rng: np.random.Generator, polygon: shapely.Polygon) -> tuple[float, float]:
    west, south, east, north = polygon.bounds
    for _ in range(50):
        x, y = float(rng.uniform(west, east)), float(rng.uniform(south, north))
        if polygon.contains(shapely.Point(x, y)):
            return x, y
    middle = polygon.representative_point()
    return float(middle.x), float(middle.y)


def _visit(region: Region, rng: np.random.Generator, row: int) -> int:
    """Day of the visit: from a week before the crop shows until shortly after harvest."""
    fields = region.fields
    if row >= len(fields) or fields.harvest[row] > LAST_DAY:
        return int(rng.integers(FIRST_DAY, LAST_DAY))
    first = max(FIRST_DAY, float(fields.start[row]) - 8)
    last = min(LAST_DAY, float(fields.harvest[row]) + 8)
    return int(rng.uniform(min(first, last - 30), last))


def _blocks(points: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    cells = np.floor(points / BLOCK).astype(np.int64)
    return np.unique(cells, axis=0, return_inverse=True)[1].reshape(-1)


def _test_blocks(
    rng: np.random.Generator, blocks: npt.NDArray[np.int64], kinds: npt.NDArray[np.str_]
) -> set[int]:
    """Blocks of the test: of 60 random choices the one whose classes are shared out most evenly."""
    every = np.unique(blocks)
    best: tuple[float, set[int]] = (np.inf, set())
    for _ in range(60):
        chosen = set(rng.permutation(every)[: max(1, round(TEST_SHARE * len(every)))].tolist())
        test = np.isin(blocks, list(chosen))
        shares = np.array([test[kinds == kind].mean() for kind in np.unique(kinds)])
        uneven = float(np.abs(shares - TEST_SHARE).sum() + 3 * ((shares == 0) | (shares == 1)).sum())
        if uneven < best[0]:
            best = (uneven, chosen)
    return best[1]


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
    (folder / "photos").mkdir(parents=True, exist_ok=True)
    places = choose_places(region, count)
    land = Land.of(region.rng(PHOTOS), region.rows, len(region.fields))
    to_degrees = Transformer.from_crs(region.setting.epsg, 4326, always_xy=True)
    drawn: list[Drawn] = []

    def one(place: Place) -> list[Drawn]:
        check()
        return _visit_photos(region, land, place, folder / "photos", to_degrees)

    with ThreadPoolExecutor(2) as pool:
        try:
            for done, found in enumerate(pool.map(one, places), start=1):
                drawn += found
                progress(done / len(places))
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    _write_layer(region, folder / "photos.gpkg", drawn)
    for split in ("train", "test"):
        part = [item for item in drawn if item.place.split == split]
        _write_layer(region, folder / f"photos_{split}.gpkg", part)
    _write_captions(region, folder / "captions.csv", drawn)
    return drawn


def _visit_photos(
    region: Region, land: Land, place: Place, folder: Path, to_degrees: Transformer
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
        file = f"{place.name}_{direction}.jpg"
        moment = datetime.datetime.combine(place.date, datetime.time(9 + place.number % 8, 7 * number))
        picture.save(folder / file, quality=QUALITY, exif=exif(lon, lat, azimuth, moment))
        texts = tuple(captions(words, kind, stage, place.date, weather.name))
        found.append(Drawn(place, file, direction, weather.name, stage, texts))
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
            "photo": [f"photos/{item.file}" for item in drawn],
            "place": [item.place.name for item in drawn],
            "class": [place_class(region, item.place.row) for item in drawn],
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


def _write_captions(region: Region, path: Path, drawn: list[Drawn]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(("photo", "place", "class", "wording", "split", "caption"))
        for item in drawn:
            kind = place_class(region, item.place.row)
            for caption in item.captions:
                row = (
                    f"photos/{item.file}",
                    item.place.name,
                    kind,
                    caption.wording,
                    caption.split,
                    caption.text,
                )
                table.writerow(row)


__all__ = ["PHOTO_CLASSES", "Drawn", "Place", "choose_places", "draw_photo", "place_class", "write_photos"]
