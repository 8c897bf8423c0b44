"""What the fields of a simulated region look like from the ground on a day: height, colour, rows, stage.

Colours and heights are round numbers of what such crops look like in photographs, none is measured. The
season is that of `growth`: the same parameters that make the satellite images make the photos.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sits_engine.series.simulate.crops import CROPS
from sits_engine.series.simulate.growth import FLOWER_DAYS, Fields, state
from sits_engine.series.simulate.landscape import BUILT, FOREST, MARGIN, OTHER, ROAD, WATER_BODY

Colour = tuple[int, int, int]
Values = npt.NDArray[np.float32]


def rgb(red: float, green: float, blue: float) -> Values:
    """A colour (3,) of 0..1."""
    return np.array([red, green, blue], dtype=np.float32)


#: What a field is like, for captions: index into these.
STAGES = ("bare", "cover crop", "young", "green", "flowering", "ripe", "stubble", "mown", "other")
BARE, COVER, YOUNG, GREEN, FLOWERING, RIPE, STUBBLE, MOWN, NO_STAGE = range(len(STAGES))

SOIL_DARK = (92, 70, 52)
SOIL_BRIGHT = (168, 138, 104)
STRAW = (206, 180, 120)
COVER_GREEN = (96, 138, 70)
POTATO_FLOWERS_AFTER = 36.0  # days after half the spring growth; too small for satellites


@dataclass(frozen=True)
class CropLook:
    """How one crop looks.

    Attributes:
        plant: kind of plant that is drawn near the camera (`photos_plants`).
        height: of the full-grown crop in metres.
        spacing: metres between rows.
        green, ripe, flower: colours of leaves, of the crop before harvest, of flowers.
    """

    plant: str
    height: float
    spacing: float
    green: Colour
    ripe: Colour
    flower: Colour = (0, 0, 0)


LOOKS: dict[str, CropLook] = {
    "winter wheat": CropLook("cereal", 0.85, 0.15, (74, 118, 72), (205, 164, 84)),
    "winter barley": CropLook("barley", 1.0, 0.15, (116, 152, 74), (228, 202, 132)),
    "winter rapeseed": CropLook("rape", 1.45, 0.3, (82, 128, 92), (170, 146, 96), (244, 218, 28)),
    "spring barley": CropLook("barley", 0.7, 0.15, (128, 162, 70), (222, 192, 118)),
    "maize": CropLook("maize", 2.6, 0.75, (62, 124, 46), (190, 166, 104), (206, 182, 112)),
    "sugar beet": CropLook("beet", 0.5, 0.5, (44, 132, 54), (96, 140, 62)),
    "potatoes": CropLook("potato", 0.6, 0.75, (58, 104, 56), (150, 138, 80), (238, 234, 246)),
    "soybean": CropLook("soy", 0.85, 0.5, (104, 160, 58), (172, 136, 78)),
    "sunflower": CropLook("sunflower", 1.75, 0.7, (80, 130, 54), (118, 96, 62), (250, 190, 22)),
    "grassland": CropLook("grass", 0.5, 0.0, (98, 152, 62), (168, 160, 96), (250, 246, 220)),
}
OTHER_LOOKS: dict[int, tuple[float, Colour]] = {  # height in metres, colour
    MARGIN: (0.35, (122, 150, 78)),
    FOREST: (17.0, (52, 88, 44)),
    BUILT: (0.15, (112, 142, 84)),
    ROAD: (0.0, (140, 138, 134)),
    WATER_BODY: (0.0, (92, 116, 132)),
}


@dataclass(frozen=True)
class Looks:
    """Every field on one day, then every surface of `OTHER`: arrays (P + 5,) or (P + 5, 3) of 0..1.

    Attributes:
        height: metres.
        plants, ground: colours of the canopy, and of what is between the plants.
        cover: share of the ground hidden by plants.
        spacing: metres between rows, 0 without rows.
        bloom: share of the canopy that is flowers, relative to full bloom, 0..1.
        ripe: 0 green to 1 dry.
        stage: index into `STAGES`.
    """

    height: Values
    plants: Values
    ground: Values
    cover: Values
    spacing: Values
    bloom: Values
    ripe: Values
    stage: npt.NDArray[np.int64]


def _rise(day: float, middle: Values, rate: Values | float) -> Values:
    return np.asarray(1.0 / (1.0 + np.exp(np.clip((middle - day) / rate, -60, 60))), dtype=np.float32)


def _colours(values: list[Colour]) -> Values:
    return np.array(values, dtype=np.float32) / 255.0


def looks(fields: Fields, day: float, soil: float, wet: float) -> Looks:
    """Looks of all fields and other surfaces.

    Args:
        fields: of a region.
        day: days since 1 January.
        soil: mean brightness of the region's soil, 0 dark to 1 bright.
        wet: 0 dry to 1 wet; wet soil is darker.
    """
    kinds = [LOOKS[crop.name] for crop in CROPS]
    crop = fields.crop
    grass = crop == _index("grassland")
    autumn = np.array([c.winter_area > 0 for c in CROPS])[crop]
    grown = _rise(day, fields.start, 1.25 * fields.start_rate)
    ripe = _rise(day, fields.end, fields.end_rate)
    standing = day < fields.harvest
    now = state(fields, day)
    before = fields.before_area * (1.0 - _rise(day, fields.before_end, fields.before_rate))
    after = fields.after_area * _rise(day, fields.after_start, 6.0)

    full = np.array([look.height for look in kinds], dtype=np.float32)[crop]
    height = full * np.clip(grown + 0.12 * autumn * (1 - grown), 0.02, 1)
    height = np.where(grass, full * np.clip(now.leaves / 3.4, 0.1, 1.3), height)
    # A cover crop before a spring crop, a catch crop after harvest: knee-high green of no particular kind.
    catch = np.where(standing, np.where(autumn, 0, before * (grown < 0.3)), after)
    height = np.where(standing, np.where(catch > 0.5, np.maximum(height, 0.2), height), 0.0)
    height = np.where(~standing & ~grass, np.maximum(0.12, 0.3 * np.clip(after / 2, 0, 1)), height)

    green = _colours([look.green for look in kinds])[crop]
    dry = _colours([look.ripe for look in kinds])[crop]
    # Yellowish or dark green as the satellite sees it: chlorophyll changes the green band of the canopy.
    tone = np.clip(fields.canopy[:, 1] / 0.055, 0.8, 1.25)[:, None]
    plants = green * tone
    plants = plants + (dry - plants) * np.where(grass, 0.3 * ripe, ripe)[:, None]
    caught = ((catch > 0.5) & ~grass)[:, None]
    plants = np.where(caught, _colours([COVER_GREEN])[0], plants)
    stubble = (~standing & (catch <= 0.5))[:, None]
    plants = np.where(stubble, _colours([STRAW])[0], plants)

    bright = np.clip(soil + fields.soil - 0.25 * wet, 0, 1)[:, None]
    dark, light = _colours([SOIL_DARK, SOIL_BRIGHT])
    ground = dark + (light - dark) * bright
    ground = ground + now.straw[:, None] * (_colours([STRAW])[0] - ground)
    ground = np.where(grass[:, None], 0.75 * plants, ground)
    cover = 1.0 - np.exp(-0.55 * np.clip(now.leaves - fields.weeds, 0, None))
    cover = np.where(stubble[:, 0], 0.55, np.where(grass, 0.95, cover))

    peak = np.where(crop == _index("potatoes"), fields.start + POTATO_FLOWERS_AFTER, fields.flower_day)
    flowers = (fields.flower_strength > 0) | (crop == _index("potatoes"))
    bloom = np.where(flowers & standing, np.exp(-0.5 * ((day - peak) / FLOWER_DAYS) ** 2), 0)
    # Tassels of maize stay until harvest; grass has its flower heads in early summer.
    tassels = (crop == _index("maize")) & standing & (day > fields.start + 25)
    bloom = np.where(tassels, 1.0, bloom)
    bloom = np.where(grass, 0.8 * np.exp(-0.5 * ((day - 145) / 25) ** 2), bloom)

    stage = np.full(len(crop), GREEN)
    stage[grown < 0.45] = YOUNG
    stage[(grown < 0.08) & ~autumn] = BARE
    stage[(grown < 0.3) & ~autumn & (catch > 0.5)] = COVER
    stage[(bloom > 0.4) & ~tassels & ~grass] = FLOWERING
    stage[(ripe > 0.5) & standing] = RIPE
    stage[~standing] = STUBBLE
    stage[~standing & (after > 0.5)] = COVER
    stage[grass] = GREEN
    since = day - fields.cuts
    stage[grass & ((since >= 0) & (since < 9)).any(axis=1)] = MOWN

    spacing = np.array([look.spacing for look in kinds], dtype=np.float32)[crop]
    spacing = np.where(caught[:, 0], 0.15, spacing)
    return _with_others(height, plants, ground, cover, spacing, bloom, ripe, stage, day)


def _index(name: str) -> int:
    return [crop.name for crop in CROPS].index(name)


def _with_others(
    height: Values,
    plants: Values,
    ground: Values,
    cover: Values,
    spacing: Values,
    bloom: Values,
    ripe: Values,
    stage: npt.NDArray[np.int64],
    day: float,
) -> Looks:
    """Append the surfaces that are no field. Broad-leaved trees are bare in winter, yellow in October."""
    leafy = float(1 / (1 + np.exp(-(day - 112) / 8)))
    autumn = float(1 / (1 + np.exp(-(day - 285) / 8)))
    others = _colours([OTHER_LOOKS[kind][1] for kind in range(len(OTHER))])
    trees = others[FOREST] * leafy + np.array([0.40, 0.34, 0.28], dtype=np.float32) * (1 - leafy)
    others[FOREST] = trees + autumn * (np.array([0.66, 0.46, 0.16], dtype=np.float32) - trees)
    zeros = np.zeros(len(OTHER), dtype=np.float32)
    heights = np.array([OTHER_LOOKS[kind][0] for kind in range(len(OTHER))], dtype=np.float32)

    def joined(values: Values, more: Values) -> Values:
        return np.concatenate([values, more]).astype(np.float32)

    return Looks(
        height=joined(height, heights),
        plants=np.clip(joined(plants, others), 0, 1),
        ground=np.clip(joined(ground, 0.85 * others), 0, 1),
        cover=joined(cover, zeros + 0.8),
        spacing=joined(spacing, zeros),
        bloom=joined(bloom, zeros),
        ripe=joined(ripe, zeros),
        stage=np.concatenate([stage, np.full(len(OTHER), NO_STAGE)]),
    )
