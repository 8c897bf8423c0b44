"""What people might write under the drawn photos: captions in several wordings, some kept for tests."""

from __future__ import annotations

import calendar
import datetime
from dataclasses import dataclass

import numpy as np

from sits_engine.series.simulate.crops import CROP_NAMES
from sits_engine.series.simulate.landscape import BUILT, FOREST, OTHER, WATER_BODY
from sits_engine.series.simulate.photos_look import (
    BARE,
    COVER,
    FLOWERING,
    GREEN,
    MOWN,
    NO_STAGE,
    RIPE,
    STUBBLE,
    YOUNG,
)

#: Classes of places with photos, in the order of the truth map.
PHOTO_CLASSES = (*CROP_NAMES, OTHER[FOREST], OTHER[BUILT], OTHER[WATER_BODY])
NAMES: dict[str, tuple[str, ...]] = {
    "winter wheat": ("winter wheat", "wheat"),
    "winter barley": ("winter barley",),
    "winter rapeseed": ("winter rapeseed", "rapeseed", "oilseed rape", "rape", "canola"),
    "spring barley": ("spring barley",),
    "maize": ("maize", "corn"),
    "sugar beet": ("sugar beet", "sugar beets", "beets"),
    "potatoes": ("potatoes", "potato"),
    "soybean": ("soybean", "soybeans", "soya"),
    "sunflower": ("sunflower", "sunflowers"),
    "grassland": ("grassland", "meadow", "pasture", "grass"),
    "forest": ("forest", "woodland", "trees"),
    "built-up area": ("built-up area", "village", "houses"),
    "water": ("water", "pond", "lake"),
}
STAGE_WORDS = {
    BARE: ("bare soil before emergence", "nothing has come up yet"),
    COVER: ("green catch crop", "green cover crop"),
    YOUNG: ("young plants", "small plants in rows"),
    GREEN: ("green plants", "tall green plants"),
    FLOWERING: ("in flower", "flowers in bloom"),
    RIPE: ("ripe and dry", "ready for harvest"),
    STUBBLE: ("stubble after harvest", "the harvest is over"),
    MOWN: ("just mown", "short after mowing"),
}
OTHER_WORDS = {
    "forest": ("tall trees", "trunks and leaves"),
    "built-up area": ("houses and gardens", "roofs and walls"),
    "water": ("calm water", "ripples and reeds"),
}
WEATHER_WORDS = {
    "sunny": ("sunny day", "blue sky"),
    "partly cloudy": ("some clouds", "white clouds"),
    "overcast": ("overcast sky", "grey sky"),
    "foggy": ("fog", "foggy day"),
    "evening": ("evening light", "low sun"),
}
#: No wording is the bare name or a usual prompt ("a photo of maize"): those are new to who learns these.
TRAIN = (
    "a photo of a field of {name}, {stage}",
    "{name} in {month}, {stage}",
    "{name}, {stage}, {weather}",
    "a picture of {name} taken in {month}",
    "land covered by {name}, {weather}",
    "a {name} field in {month}",
    "view over {name}",
)
TRAIN_OTHER = (
    "a photo of the {name}, {stage}",
    "{name} in {month}, {stage}",
    "{name}, {stage}, {weather}",
    "a picture of {name} taken in {month}",
    "land covered by {name}, {weather}",
    "the {name} in {month}",
    "view over {name}",
)
TEST = ("what is here is {name}", "the surveyor stood before {name}", "this place shows {name}, {stage}")
WORDINGS_EACH = 3


@dataclass(frozen=True)
class Caption:
    """One sentence for one photo; `split` is 'train' or 'test' by its wording."""

    wording: str
    split: str
    text: str


def captions(
    rng: np.random.Generator, kind: str, stage: int, date: datetime.date, weather: str
) -> list[Caption]:
    """`WORDINGS_EACH` captions to learn from and one to test with."""
    train = TRAIN if kind in CROP_NAMES else TRAIN_OTHER
    words = OTHER_WORDS[kind] if stage == NO_STAGE else STAGE_WORDS[stage]

    def fill(wording: str) -> str:
        return wording.format(
            name=_one(rng, NAMES[kind]),
            stage=_one(rng, words),
            month=calendar.month_name[date.month],
            weather=_one(rng, WEATHER_WORDS[weather]),
        )

    chosen = rng.choice(len(train), WORDINGS_EACH, replace=False)
    found = [Caption(f"train {index}", "train", fill(train[index])) for index in chosen]
    index = int(rng.integers(len(TEST)))
    return [*found, Caption(f"test {index}", "test", fill(TEST[index]))]


def _one(rng: np.random.Generator, words: tuple[str, ...]) -> str:
    return words[int(rng.integers(len(words)))]
