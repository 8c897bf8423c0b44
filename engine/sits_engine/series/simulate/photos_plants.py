"""Plants near the camera, drawn one by one over the painted land: leaves, ears, heads, flowers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import ImageDraw

from sits_engine.series.simulate.photos_look import rgb
from sits_engine.series.simulate.photos_scene import EYE, FIELD_OF_VIEW, Camera, Weather

Rgb = npt.NDArray[np.float32]
Point = tuple[float, float]

BARK = np.array([0.36, 0.29, 0.23], dtype=np.float32)
BIRCH = np.array([0.72, 0.70, 0.66], dtype=np.float32)
HEAD_BROWN = np.array([0.34, 0.20, 0.09], dtype=np.float32)


@dataclass(frozen=True)
class Stand:
    """What grows at the camera.

    Attributes:
        plant: kind of plant, a key of `PLANTS`.
        height: metres.
        spacing: metres between rows, 0 without rows.
        leaf, flower: colours, 0..1.
        bloom, ripe, cover: 0..1.
    """

    plant: str
    height: float
    spacing: float
    leaf: Rgb
    flower: Rgb
    bloom: float
    ripe: float
    cover: float


class Brush:
    """Draws in pixels; light and small differences of colour are its own."""

    def __init__(self, draw: ImageDraw.ImageDraw, rng: np.random.Generator, light: Rgb) -> None:
        self.draw, self.rng = draw, rng
        self.light: tuple[float, ...] = tuple((255 * light).tolist())
        self._tones: list[float] = []

    def ink(self, colour: Rgb, spread: float = 0.10) -> tuple[int, int, int]:
        """A colour (3,) of 0..1 in this light, a little different each time."""
        if not self._tones:
            self._tones = self.rng.standard_normal(512).tolist()
        tone = 1.0 + spread * self._tones.pop()
        r, g, b = (
            int(min(max(tone * c * w, 0.0), 255.0)) for c, w in zip(colour.tolist(), self.light, strict=True)
        )
        return r, g, b

    def line(self, points: list[Point], colour: tuple[int, int, int], width: float) -> None:
        """A stroke of at least one pixel."""
        self.draw.line(points, fill=colour, width=max(1, round(width)))

    def oval(self, centre: Point, rx: float, ry: float, colour: tuple[int, int, int]) -> None:
        """A filled ellipse of at least one pixel."""
        rx, ry = max(rx, 0.5), max(ry, 0.5)
        x, y = centre
        self.draw.ellipse((x - rx, y - ry, x + rx, y + ry), fill=colour)


Painter = Callable[[Brush, Stand, Point, float], None]


def _cereal(brush: Brush, stand: Stand, at: Point, scale: float, nod: float = 0.08) -> None:
    """A tuft of stalks; ears once the crop is tall: upright ones, or nodding with awns."""
    rng, (x, y) = brush.rng, at
    h = stand.height * scale * rng.uniform(0.85, 1.1)
    lean = rng.normal(0, 0.06) * h
    leaf = brush.ink(stand.leaf)
    brush.line([(x, y), (x + lean, y - h)], leaf, 0.012 * scale)
    if rng.random() < 0.7:
        side = rng.choice((-1, 1)) * h * rng.uniform(0.08, 0.2)
        brush.line([(x, y - 0.4 * h), (x + side, y - rng.uniform(0.45, 0.75) * h)], leaf, 0.012 * scale)
    if stand.height > 0.45:
        tip = (x + lean + rng.choice((-1, 1)) * nod * h, y - h * (1.0 if nod > 0.1 else 1.1))
        ear = brush.ink(stand.leaf * np.float32(1.12))
        brush.line([(x + lean, y - h), tip], ear, 0.03 * scale)
        if nod > 0.1:  # awns of barley shine
            awns = brush.ink(0.8 * stand.leaf + np.float32(0.2))
            brush.line([tip, (tip[0] + 1.2 * (tip[0] - x - lean), tip[1] - 0.04 * h)], awns, 0.008 * scale)


def _barley(brush: Brush, stand: Stand, at: Point, scale: float) -> None:
    _cereal(brush, stand, at, scale, nod=0.2)


def _rape(brush: Brush, stand: Stand, at: Point, scale: float) -> None:
    """Branching stems with clouds of yellow flowers or thin pods."""
    rng, (x, y) = brush.rng, at
    h = stand.height * scale * rng.uniform(0.85, 1.1)
    stem = brush.ink(0.9 * stand.leaf)
    for side in (-0.22, 0.0, 0.2):
        end = (x + side * h * rng.uniform(0.6, 1.3), y - h * rng.uniform(0.85, 1.0))
        brush.line([(x, y - 0.2 * h), end], stem, 0.015 * scale)
        if stand.bloom > 0.15:
            for _ in range(5):
                spot = (end[0] + rng.normal(0, 0.05) * scale, end[1] + rng.normal(0, 0.07) * scale)
                if rng.random() < 0.35 + stand.bloom:
                    brush.oval(spot, 0.025 * scale, 0.022 * scale, brush.ink(stand.flower))
        elif stand.height > 0.8:
            for lift in (0.0, 0.12, 0.24):
                mid = (end[0] - 0.2 * side * h, end[1] + lift * h)
                brush.line(
                    [mid, (mid[0] + 0.09 * scale * rng.choice((-1, 1)), mid[1] - 0.05 * scale)], stem, 1
                )
    if stand.height < 0.8:
        for _ in range(3):
            far = (x + rng.normal(0, 0.16) * scale, y - rng.uniform(0.05, 0.2) * scale)
            brush.oval(far, 0.08 * scale, 0.05 * scale, brush.ink(stand.leaf))


def _maize(brush: Brush, stand: Stand, at: Point, scale: float) -> None:
    """A thick stalk, long arching leaves, a tassel on top, an ear at the side."""
    rng, (x, y) = brush.rng, at
    h = stand.height * scale * rng.uniform(0.9, 1.08)
    brush.line([(x, y), (x + rng.normal(0, 0.02) * h, y - h)], brush.ink(0.85 * stand.leaf), 0.035 * scale)
    leaves = 4 + int(4 * min(stand.height / 2.0, 1))
    for number in range(leaves):
        base = (x, y - h * (0.1 + 0.8 * number / leaves))
        side = (-1) ** number * rng.uniform(0.7, 1.1) * min(0.55 * scale, 0.5 * h)
        rise = rng.uniform(0.10, 0.2) * min(h, 1.6 * scale)
        points = [base, (x + 0.5 * side, base[1] - rise), (x + side, base[1] - 0.1 * rise)]
        brush.line(points, brush.ink(stand.leaf, 0.16), 0.055 * scale)
    if stand.bloom > 0.5:
        for spread in (-0.1, 0.0, 0.1):
            tip = (x + spread * scale, y - h - 0.24 * scale)
            brush.line([(x, y - h), tip], brush.ink(stand.flower), 0.012 * scale)
    if stand.bloom > 0.5 and rng.random() < 0.6:
        ear = (x + 0.05 * scale, y - rng.uniform(0.36, 0.52) * h)
        brush.oval(ear, 0.035 * scale, 0.11 * scale, brush.ink(rgb(0.72, 0.74, 0.36)))


def _sunflower(brush: Brush, stand: Stand, at: Point, scale: float) -> None:
    """A stalk with heart-shaped leaves and one head: yellow rays around brown, or hanging and dry."""
    rng, (x, y) = brush.rng, at
    h = stand.height * scale * rng.uniform(0.9, 1.08)
    brush.line([(x, y), (x, y - h)], brush.ink(0.9 * stand.leaf), 0.03 * scale)
    for number in range(6):
        side = (-1) ** number * 0.17 * scale
        centre = (x + side, y - h * (0.2 + 0.11 * number))
        size = min(1.0, stand.height)
        brush.oval(centre, 0.13 * scale * size, 0.09 * scale * size, brush.ink(stand.leaf, 0.16))
    if stand.height < 1.0:
        return
    if stand.ripe > 0.5:
        brush.oval((x + 0.08 * scale, y - 0.97 * h), 0.12 * scale, 0.10 * scale, brush.ink(HEAD_BROWN))
    elif stand.bloom > 0.25:
        head = (x, y - h - 0.03 * scale)
        brush.oval(head, 0.19 * scale, 0.19 * scale, brush.ink(stand.flower))
        brush.oval(head, 0.09 * scale, 0.09 * scale, brush.ink(HEAD_BROWN))
    else:
        brush.oval((x, y - h), 0.08 * scale, 0.08 * scale, brush.ink(stand.leaf * np.float32(1.15)))


def _beet(brush: Brush, stand: Stand, at: Point, scale: float) -> None:
    """A rosette of large glossy leaves."""
    rng, (x, y) = brush.rng, at
    size = stand.height * scale
    for _ in range(8):
        angle = np.pi * rng.uniform(0.08, 0.92)
        reach = size * rng.uniform(0.7, 1.0)
        tip = (x + 0.8 * reach * np.cos(angle), y - reach * np.sin(angle))
        brush.line([(x, y), tip], brush.ink(stand.leaf * np.float32(1.25)), 0.02 * scale)
        brush.oval(tip, 0.26 * size, 0.19 * size, brush.ink(stand.leaf, 0.18))


def _bushy(brush: Brush, stand: Stand, at: Point, scale: float, leaves: int, size: float) -> None:
    rng, (x, y) = brush.rng, at
    h = stand.height * scale
    for number in range(leaves):
        level = number / leaves
        spot = (x + rng.normal(0, 0.24) * scale * min(1, stand.height / 0.5), y - h * (0.1 + 0.9 * level))
        shade = np.float32(0.72 + 0.4 * level)
        brush.oval(spot, size * scale, 0.75 * size * scale, brush.ink(stand.leaf * shade, 0.14))


def _potato(brush: Brush, stand: Stand, at: Point, scale: float) -> None:
    """A dark bush on its ridge, with white flowers for a while."""
    _bushy(brush, stand, at, scale, 12, 0.065)
    if stand.bloom > 0.3:
        for _ in range(3):
            spot = (at[0] + brush.rng.normal(0, 0.16) * scale, at[1] - stand.height * scale * 1.02)
            brush.oval(spot, 0.03 * scale, 0.028 * scale, brush.ink(stand.flower, 0.03))


def _soy(brush: Brush, stand: Stand, at: Point, scale: float) -> None:
    """Light green three-part leaves in upright bushes; brown stalks with pods when ripe."""
    if stand.ripe > 0.6:
        x, y = at
        h = stand.height * scale
        for side in (-0.08, 0.0, 0.08):
            brush.line([(x, y), (x + side * scale, y - h)], brush.ink(0.8 * stand.leaf), 0.012 * scale)
            brush.oval((x + side * scale, y - 0.6 * h), 0.02 * scale, 0.05 * scale, brush.ink(stand.leaf))
        return
    _bushy(brush, stand, at, scale, 11, 0.045)


def _grass(brush: Brush, stand: Stand, at: Point, scale: float) -> None:
    """Blades of many greens, now and then a flower."""
    rng, (x, y) = brush.rng, at
    h = stand.height * scale
    for _ in range(3):
        foot = x + rng.normal(0, 0.06) * scale
        tip = (foot + rng.normal(0, 0.35) * h, y - h * rng.uniform(0.4, 1.1))
        brush.line([(foot, y), tip], brush.ink(stand.leaf, 0.18), 0.01 * scale)
    if rng.random() < 0.12 * stand.bloom:
        colour = rgb(0.96, 0.82, 0.15) if rng.random() < 0.55 else stand.flower
        brush.oval((x, y - 0.9 * h), 0.022 * scale, 0.022 * scale, brush.ink(colour))


def _stubble(brush: Brush, stand: Stand, at: Point, scale: float) -> None:
    """Short stalks cut off."""
    x, y = at
    h = stand.height * scale * brush.rng.uniform(0.6, 1.1)
    brush.line([(x, y), (x + 0.1 * h * brush.rng.normal(), y - h)], brush.ink(stand.leaf), 0.012 * scale)


def _reed(brush: Brush, stand: Stand, at: Point, scale: float) -> None:
    """Stalks of reed with brown tops."""
    rng, (x, y) = brush.rng, at
    h = stand.height * scale * rng.uniform(0.6, 1.1)
    top = (x + rng.normal(0, 0.08) * h, y - h)
    brush.line([(x, y), top], brush.ink(stand.leaf), 0.015 * scale)
    brush.line([top, (top[0] + 0.05 * h, top[1] - 0.15 * scale)], brush.ink(HEAD_BROWN + np.float32(0.2)), 2)


def _tree(brush: Brush, stand: Stand, at: Point, scale: float) -> None:
    """A trunk up to beyond the picture, with leaves around its upper part and undergrowth at its foot."""
    rng, (x, y) = brush.rng, at
    thick = rng.uniform(0.22, 0.5) * scale
    bark = brush.ink(BIRCH if rng.random() < 0.15 else BARK)
    lean = rng.normal(0, 0.03)
    brush.line([(x, y), (x + lean * 12 * scale, y - 12 * scale)], bark, thick)
    for _ in range(14):
        spot = (x + rng.normal(0, 1.3) * scale, y - rng.uniform(3.0, 7.0) * scale)
        r = rng.uniform(0.15, 0.4) * scale
        brush.oval(spot, r, 0.7 * r, brush.ink(stand.leaf, 0.22))
    for _ in range(4):
        spot = (x + rng.normal(0, 1.0) * scale, y - rng.uniform(0.0, 0.3) * scale)
        brush.oval(spot, 0.2 * scale, 0.1 * scale, brush.ink(0.8 * stand.leaf, 0.2))


#: Painter, metres between plants of a row, metres from the clearing that plants are drawn for.
PLANTS: dict[str, tuple[Painter, float, float]] = {
    "cereal": (_cereal, 0.0, 5.0),
    "barley": (_barley, 0.0, 5.0),
    "rape": (_rape, 0.0, 6.0),
    "maize": (_maize, 0.34, 7.0),
    "sunflower": (_sunflower, 0.42, 10.0),
    "beet": (_beet, 0.3, 8.0),
    "potato": (_potato, 0.36, 8.0),
    "soy": (_soy, 0.22, 6.0),
    "grass": (_grass, 0.0, 5.0),
    "stubble": (_stubble, 0.0, 6.0),
    "reed": (_reed, 0.0, 5.0),
    "tree": (_tree, 0.0, 16.0),
}
#: Strokes for a full cover, where plants stand without rows or too dense to draw each.
STROKES = {"tree": 22, "reed": 60, "rape": 420, "grass": 750, "stubble": 520}
USUAL_STROKES = 700


def _in_rows(
    stand: Stand, camera: Camera, rng: np.random.Generator, along: float, reach: float
) -> list[Point]:
    """(lateral, distance) in metres of plants that stand in rows, in the view, beyond the clearing."""
    far = camera.clearing + reach
    rows = np.arange(-far, far, stand.spacing) + rng.uniform(0, stand.spacing)
    steps = np.arange(-far, far, along)
    u, v = np.meshgrid(rows, steps, indexing="ij")
    v = v + rng.normal(0, 0.15 * along, v.shape)
    u = u + rng.normal(0, 0.03, u.shape)
    turn = np.radians(camera.rows_azimuth - camera.azimuth)
    ahead = v * np.cos(turn) - u * np.sin(turn)
    lateral = v * np.sin(turn) + u * np.cos(turn)
    half = np.tan(np.radians(FIELD_OF_VIEW / 2)) * 1.06
    near = (ahead > camera.clearing) & (ahead < far) & (np.abs(lateral) < half * ahead + 0.4)
    near &= rng.random(near.shape) < 0.97
    return list(zip(lateral[near].tolist(), ahead[near].tolist(), strict=True))


def _scattered(stand: Stand, camera: Camera, rng: np.random.Generator, reach: float) -> Iterator[Point]:
    """(lateral, distance) in metres of plants without rows; each row of the picture gets as many."""
    count = round(STROKES.get(stand.plant, USUAL_STROKES) * (0.35 + 0.65 * stand.cover))
    near = max(camera.clearing, 1.5)
    ahead = 1 / rng.uniform(1 / (near + reach), 1 / near, count)
    half = np.tan(np.radians(FIELD_OF_VIEW / 2)) * 1.06
    lateral = rng.uniform(-half, half, count) * ahead
    return zip(lateral.tolist(), ahead.tolist(), strict=True)


def draw_plants(
    draw: ImageDraw.ImageDraw,
    rng: np.random.Generator,
    stand: Stand,
    camera: Camera,
    weather: Weather,
    shape: tuple[int, int],
) -> None:
    """Draw the stand from far to near; `shape` is (height, width) of the picture in pixels."""
    height, width = shape
    focal = width / 2 / np.tan(np.radians(FIELD_OF_VIEW / 2))
    painter, along, reach = PLANTS[stand.plant]
    places: list[Point]
    if along and stand.spacing:
        places = _in_rows(stand, camera, rng, along, reach)
    else:
        places = list(_scattered(stand, camera, rng, reach))
    brush = Brush(draw, rng, weather.light)
    for lateral, ahead in sorted(places, key=lambda place: -place[1]):
        scale = focal / ahead
        foot = (width / 2 + lateral * scale, camera.horizon * height + EYE * scale)
        painter(brush, stand, foot, scale)
