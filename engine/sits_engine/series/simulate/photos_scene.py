"""The land as a camera at eye height sees it: sky, relief of crops, trees and houses, haze.

A height-field renderer: rays of all columns are marched away from the camera over the region's 5 m map, the
nearest thing that rises above what was seen before wins. Near the camera single plants are drawn over it
(`photos_plants`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sits_engine.series.simulate.landscape import BUILT, FOREST, ROAD, WATER_BODY
from sits_engine.series.simulate.noise import smooth_field
from sits_engine.series.simulate.photos_look import Looks, rgb
from sits_engine.series.simulate.settings import FINE

Values = npt.NDArray[np.float32]

EYE = 1.65  # metres
FIELD_OF_VIEW = 62.0  # degrees, across
NEAREST, FARTHEST, STEPS = 1.3, 2600.0, 150
TILE = 256  # pixels of the repeating noise
HOUSE_LOT = 21.0  # metres
ROOFS = np.array([[0.60, 0.28, 0.20], [0.45, 0.24, 0.20], [0.33, 0.33, 0.36], [0.55, 0.40, 0.30]], np.float32)
WALLS = np.array([[0.90, 0.87, 0.80], [0.80, 0.72, 0.60], [0.70, 0.42, 0.32], [0.86, 0.86, 0.86]], np.float32)
#: Sky at the zenith and at the horizon, light on the land, distance that fog lets one see (m).
WEATHERS: dict[str, tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...], float]] = {
    "sunny": ((0.25, 0.47, 0.80), (0.72, 0.84, 0.95), (1.10, 1.06, 0.97), 9000.0),
    "partly cloudy": ((0.34, 0.53, 0.80), (0.76, 0.84, 0.92), (1.00, 1.00, 0.99), 6000.0),
    "overcast": ((0.62, 0.65, 0.69), (0.82, 0.84, 0.86), (0.80, 0.82, 0.85), 3500.0),
    "foggy": ((0.78, 0.79, 0.80), (0.84, 0.85, 0.85), (0.82, 0.84, 0.86), 130.0),
    "evening": ((0.36, 0.42, 0.62), (0.98, 0.76, 0.52), (1.02, 0.86, 0.68), 6000.0),
}
CHANCES = (0.34, 0.27, 0.22, 0.07, 0.10)


@dataclass(frozen=True)
class Camera:
    """Where one photo is taken.

    Attributes:
        row, column: on the 5 m map, fractions of its pixels.
        azimuth: degrees from north, clockwise.
        horizon: row of the picture, as a share of its height.
        clearing: metres without plants around the camera.
        rows_azimuth: direction of the rows of plants in degrees from north.
    """

    row: float
    column: float
    azimuth: float
    horizon: float
    clearing: float
    rows_azimuth: float


@dataclass(frozen=True)
class Weather:
    """Name (a key of `WEATHERS`), share of the sky under clouds, exposure of the camera around 1."""

    name: str
    clouds: float
    exposure: float

    @property
    def light(self) -> Values:
        """(3,) factor on the colours of the land."""
        return np.array(WEATHERS[self.name][2], dtype=np.float32) * np.float32(self.exposure)

    @property
    def fog(self) -> Values:
        """(3,) colour that far things fade into."""
        return np.array(WEATHERS[self.name][1], dtype=np.float32)


def draw_weather(rng: np.random.Generator) -> Weather:
    """One day's weather."""
    name = list(WEATHERS)[int(rng.choice(len(WEATHERS), p=CHANCES))]
    least = {"partly cloudy": 0.35, "evening": 0.1, "sunny": 0.0}.get(name, 0.0)
    return Weather(name, least + 0.2 * float(rng.random()), float(rng.uniform(0.88, 1.1)))


@dataclass(frozen=True)
class Land:
    """What all photos of a region share: (H, W) rows of the 5 m map, number of fields, a tile of noise."""

    rows: npt.NDArray[np.int32]
    fields: int
    noise: Values

    @classmethod
    def of(cls, rng: np.random.Generator, rows: npt.NDArray[np.int32], fields: int) -> Land:
        """Draw the noise: (2, TILE, TILE), coarse and fine, mean 0, standard deviation 1."""
        tiles = [smooth_field(rng, (TILE, TILE), scale) for scale in (12.0, 2.0)]
        return cls(rows, fields, np.stack(tiles))

    def wave(self, x: Values, y: Values, meters: float, kind: int = 0) -> Values:
        """Noise at places in metres; `meters` of the land are one pixel of the tile."""
        i = np.floor(y / meters).astype(np.int64) % TILE
        j = np.floor(x / meters).astype(np.int64) % TILE
        return np.asarray(self.noise[kind, i, j], dtype=np.float32)


def paint(
    rng: np.random.Generator,
    land: Land,
    looks: Looks,
    camera: Camera,
    weather: Weather,
    shape: tuple[int, int],
) -> Values:
    """The picture without near plants: (h, w, 3) float32 in 0..1."""
    height, width = shape
    focal = width / 2 / np.tan(np.radians(FIELD_OF_VIEW / 2))
    horizon = camera.horizon * height
    distance = np.geomspace(NEAREST, FARTHEST, STEPS).astype(np.float32)
    across = ((np.arange(width) + 0.5 - width / 2) / focal).astype(np.float32)

    def place(d: Values, lateral: Values) -> tuple[Values, Values]:
        """Metres east and south of the map's corner."""
        a = np.radians(camera.azimuth)
        east = camera.column * FINE + d * (np.sin(a) + lateral * np.cos(a))
        south = camera.row * FINE + d * (-np.cos(a) + lateral * np.sin(a))
        return np.asarray(east, dtype=np.float32), np.asarray(south, dtype=np.float32)

    east, south = place(distance[:, None], across[None])
    which = _surface(land, east, south)
    tall, house = _heights(land, looks, which, east, south)
    tall[distance < camera.clearing] = 0.0
    house[distance < camera.clearing] = -1
    top = horizon - focal * (tall - EYE) / distance[:, None]
    skyline = np.minimum.accumulate(top, axis=0)

    # (h, w): the step whose top is the first to reach the pixel; STEPS where there is only sky
    rows = np.arange(height, dtype=np.float32)[:, None] + 0.5
    step = np.stack([np.searchsorted(-skyline[:, c], -rows[:, 0]) for c in range(width)], axis=1)
    seen = step < STEPS
    step = np.minimum(step, STEPS - 1)
    columns = np.broadcast_to(np.arange(width), (height, width))
    d, h = distance[step], tall[step, columns]
    drop = rows - horizon
    flat = np.where((drop > 0.5) & (h < EYE), focal * (EYE - h) / np.maximum(drop, 0.5), d)
    nearer = distance[np.maximum(step - 1, 0)]
    side = flat < nearer * 0.999
    d = np.clip(flat, nearer, d).astype(np.float32)

    x, y = place(d, np.broadcast_to(across, (height, width)))
    item = which[step, columns]
    cleared = d < camera.clearing
    colour = _colours(land, looks, camera, item, x, y, d, focal, cleared)
    lateral = (
        np.broadcast_to(across, (height, width)) * d + camera.azimuth
    )  # metres, for textures of what stands
    high = EYE - drop * d / focal
    what = Seen(item, house[step, columns], x, y, lateral.astype(np.float32), high.astype(np.float32))
    colour = _objects(land, looks, colour, what, h > 1.2, cleared)
    colour = _water(land, colour, what, np.clip(drop / (0.35 * focal), 0, 1))
    shade = np.where(side & (h > 0.15), 0.62 + 0.3 * np.clip(EYE - drop * d / focal, 0, h) / (h + 0.01), 1.0)
    shade = shade * (1 + 0.07 * rng.standard_normal((height, width)))
    colour = colour * shade[..., None].astype(np.float32) * weather.light
    sight = WEATHERS[weather.name][3]
    clear = np.exp(-d / np.float32(sight))[..., None]
    colour = weather.fog + (colour - weather.fog) * clear
    sky = _sky(rng, land, camera, weather, shape, horizon)
    return np.asarray(np.where(seen[..., None], colour, sky), dtype=np.float32)


def _surface(land: Land, east: Values, south: Values) -> npt.NDArray[np.int32]:
    i = np.clip((south / FINE).astype(np.int64), 0, land.rows.shape[0] - 1)
    j = np.clip((east / FINE).astype(np.int64), 0, land.rows.shape[1] - 1)
    return np.asarray(land.rows[i, j])


def _heights(
    land: Land, looks: Looks, which: npt.NDArray[np.int32], x: Values, y: Values
) -> tuple[Values, npt.NDArray[np.int64]]:
    """Metres above the ground at places of any shape, and the number of the house there (-1: none)."""
    tall = looks.height[which] * (1 + 0.03 * land.wave(x, y, 0.09, 1))
    trees = which == land.fields + FOREST
    tall = np.where(trees, tall * np.clip(0.8 + 0.2 * land.wave(x, y, 0.9), 0.35, 1.4), tall)
    # Single trees and bushes along margins and roads, where the noise is high.
    margin = (which >= land.fields) & (which < land.fields + FOREST)
    tall = np.where(margin, tall + _bush(land, x, y, 0.7, 1.6), tall)
    lot_x, lot_y = np.floor(x / HOUSE_LOT), np.floor(y / HOUSE_LOT)
    mixed = (lot_x * 7349 + lot_y * 9151).astype(np.int64)
    lottery = (mixed * 2654435761 >> 7) & 0xFF
    off_x, off_y = np.abs(x / HOUSE_LOT - lot_x - 0.5), np.abs(y / HOUSE_LOT - lot_y - 0.5)
    built = which == land.fields + BUILT
    inside = built & (lottery < 190) & (off_x < 0.26) & (off_y < 0.34)
    gable = 4.0 + 0.02 * (lottery % 64) + 3.0 * (1 - off_x / 0.26)
    garden = built & ~inside
    tall = np.where(inside, gable, np.where(garden, tall + _bush(land, x, y, 0.4, 1.1), tall))
    return np.asarray(tall, dtype=np.float32), np.where(inside, lottery, -1)


def _bush(land: Land, x: Values, y: Values, meters: float, rare: float) -> Values:
    """Height of round bushes and single trees where the noise is above `rare`, 0 elsewhere."""
    over = np.clip(land.wave(x, y, meters) - rare, 0, 1)
    return np.asarray(9.0 * np.sqrt(over) * (1 + 0.1 * land.wave(x, y, 0.1, 1)), dtype=np.float32)


def _colours(
    land: Land,
    looks: Looks,
    camera: Camera,
    item: npt.NDArray[np.int32],
    x: Values,
    y: Values,
    d: Values,
    focal: float,
    cleared: npt.NDArray[np.bool_],
) -> Values:
    """(h, w, 3): plants in rows over the ground, patchy as fields are."""
    plants, ground = looks.plants[item], looks.ground[item]
    a = np.radians(camera.rows_azimuth)
    spacing = np.maximum(looks.spacing[item], 1e-3)
    phase = (x * np.cos(a) + y * np.sin(a)) / spacing
    bump = 0.5 + 0.5 * np.cos(2 * np.pi * phase)
    # Rows narrower than about three pixels blur into their mean.
    sharp = np.clip(spacing * focal / d / 4.0 - 0.6, 0, 1) * (looks.spacing[item] > 0)
    cover = np.where(cleared, 0.12, looks.cover[item])
    in_rows = np.clip((bump - (1 - cover)) * 4 + 0.5, 0, 1)
    share = cover + sharp * (in_rows - cover)
    grain = land.wave(x, y, 0.03, 1) * np.clip(8 / d, 0, 1)
    patch = land.wave(x, y, 2.0)
    share = np.clip(share + 0.12 * grain, 0, 1)[..., None]
    colour = ground + (plants - ground) * share
    colour = colour * (1 + 0.05 * patch + 0.07 * grain)[..., None]
    return np.asarray(colour, dtype=np.float32)


@dataclass(frozen=True)
class Seen:
    """What each pixel shows, all (h, w): row of the looks, house (-1: none), metres in plan and side view."""

    item: npt.NDArray[np.int32]
    house: npt.NDArray[np.int64]
    x: Values
    y: Values
    lateral: Values
    high: Values


def _objects(
    land: Land,
    looks: Looks,
    colour: Values,
    seen: Seen,
    tall: npt.NDArray[np.bool_],
    cleared: npt.NDArray[np.bool_],
) -> Values:
    """Crowns of trees and bushes, walls and roofs, streets."""
    forest = seen.item == land.fields + FOREST
    green = (seen.item >= land.fields) & ~forest & tall & (seen.house < 0)
    crowns = (
        1
        + 0.20 * land.wave(seen.lateral, seen.high, 0.22, 1)
        + 0.14 * land.wave(seen.lateral, seen.high, 0.1)
    )
    leaves = np.where(forest[..., None], colour, 0.9 * looks.plants[land.fields + FOREST])
    colour = np.where((forest | green)[..., None], leaves * crowns[..., None], colour)
    walls, roofs = WALLS[seen.house % len(WALLS)], ROOFS[(seen.house // 4) % len(ROOFS)]
    along = np.mod(seen.lateral, 2.9)
    pane = (along > 0.9) & (along < 2.0) & (seen.high > 1.0) & (seen.high < 2.4)
    walls = np.where(pane[..., None], rgb(0.22, 0.26, 0.32), walls)
    tiles = roofs * (1 + 0.08 * land.wave(seen.lateral, seen.high, 0.05, 1))[..., None]
    of_house = np.where((seen.high < 4.0)[..., None], walls, tiles)
    colour = np.where((seen.house >= 0)[..., None], of_house, colour)
    street = (seen.item == land.fields + ROAD) & ~tall | (seen.item == land.fields + BUILT) & cleared
    asphalt = looks.plants[land.fields + ROAD] * (1 + 0.03 * land.wave(seen.x, seen.y, 0.1, 1))[..., None]
    return np.asarray(np.where(street[..., None], asphalt, colour), dtype=np.float32)


def _water(land: Land, colour: Values, seen: Seen, steep: Values) -> Values:
    """Flat views reflect the pale sky, steep ones (0 flat, 1 down) show the dark water."""
    pale, dark = rgb(0.66, 0.74, 0.82), rgb(0.20, 0.31, 0.36)
    ripple = 0.06 * land.wave(seen.x, seen.y, 0.12, 1) + 0.05 * land.wave(seen.x, seen.y, 0.5)
    surface = (pale + steep[..., None] * (dark - pale)) * (1 + ripple)[..., None]
    water = seen.item == land.fields + WATER_BODY
    return np.asarray(np.where(water[..., None], surface, colour), dtype=np.float32)


def _sky(
    rng: np.random.Generator,
    land: Land,
    camera: Camera,
    weather: Weather,
    shape: tuple[int, int],
    horizon: float,
) -> Values:
    """(h, w, 3): a gradient, clouds in perspective, far hills."""
    height, width = shape
    zenith, low, light, sight = (np.asarray(part, dtype=np.float32) for part in WEATHERS[weather.name])
    up = np.clip((horizon - np.arange(height) - 0.5) / height, 0, 1).astype(np.float32)[:, None]
    sky = low + (zenith - low) * np.clip(2.2 * up, 0, 1)[..., None]
    sky = np.broadcast_to(sky, (height, width, 3)).copy()
    seed_x, seed_y = rng.uniform(0, TILE, 2)
    far = 1.0 / (up + 0.09)
    columns = (np.arange(width, dtype=np.float32)[None] - width / 2) / width
    drift = land.wave(columns * far * 10 + seed_x, far * 12 + seed_y + 0 * columns, 0.42)
    detail = land.wave(columns * far * 10 + seed_y, far * 12 + seed_x + 0 * columns, 0.17)
    puff = np.clip(1.4 * (drift + 0.35 * detail) - 2.4 * (0.5 - weather.clouds), 0, 1)
    if weather.name in ("overcast", "foggy"):
        sky *= (1 + 0.035 * drift)[..., None]
    elif weather.clouds > 0.05:
        white = rgb(0.97, 0.97, 0.97) * np.clip(light, 0.8, 1)
        sky += (white - sky) * (0.85 * puff)[..., None]
    bearing = np.radians(camera.azimuth) + columns[0] * np.radians(FIELD_OF_VIEW)
    hills = 0.012 + 0.012 * np.sin(3 * bearing + 1.1) + 0.008 * np.sin(7 * bearing + 0.4)
    behind = up < np.clip(hills, 0, 1)[None]
    if sight > 1000:
        tint = rgb(0.40, 0.50, 0.52) * light
        sky = np.where(behind[..., None], tint + 0.45 * (low - tint), sky)
    return np.asarray(sky * np.float32(weather.exposure), dtype=np.float32)
