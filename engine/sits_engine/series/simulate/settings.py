"""What makes the demo easy or hard, and how the two regions differ."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

#: Metres of a fine pixel; reflectance is computed on these and averaged to the sensor's 10 and 20 m.
FINE = 5.0
PIXEL = 10.0
YEAR = 2023


@dataclass(frozen=True)
class Difficulty:
    """Strengths of everything that confuses a classifier. All spreads are standard deviations.

    Attributes:
        variety_spread: factor on how far the varieties of a crop lie apart.
        timing_days: spread of sowing and harvest between fields of a variety.
        vigour: relative spread of the leaf area between fields.
        within: relative variation of leaf area inside a field; parts of it also lag by 12 times as many days.
        leaf: relative spread of leaf colour, structure and water between fields.
        weeds: mean leaf area of weeds and volunteers on fields without a crop.
        catch_crops: factor on the share of fields with a green crop before or after the main crop.
        sensor_noise: noise of each band and pixel, relative.
        gain: error of the atmospheric correction of each date and band, relative.
        haze: reflectance of thin haze and cirrus in the blue that no mask shows.
        cloud: mean cloud cover.
        missed: share of small clouds that the mask doesn't show.
        shift_spread: days by which single crops deviate from the shift of region B.
    """

    variety_spread: float
    timing_days: float
    vigour: float
    within: float
    leaf: float
    weeds: float
    catch_crops: float
    sensor_noise: float
    gain: float
    haze: float
    cloud: float
    missed: float
    shift_spread: float


DIFFICULTIES: dict[str, Difficulty] = {
    "easy": Difficulty(
        variety_spread=0.6,
        timing_days=3.0,
        vigour=0.08,
        within=0.10,
        leaf=0.03,
        weeds=0.10,
        catch_crops=0.5,
        sensor_noise=0.02,
        gain=0.02,
        haze=0.01,
        cloud=0.20,
        missed=0.05,
        shift_spread=1.0,
    ),
    "standard": Difficulty(
        variety_spread=1.0,
        timing_days=5.0,
        vigour=0.15,
        within=0.18,
        leaf=0.05,
        weeds=0.25,
        catch_crops=1.0,
        sensor_noise=0.03,
        gain=0.04,
        haze=0.02,
        cloud=0.30,
        missed=0.15,
        shift_spread=2.0,
    ),
    "hard": Difficulty(
        variety_spread=1.4,
        timing_days=9.0,
        vigour=0.22,
        within=0.25,
        leaf=0.09,
        weeds=0.40,
        catch_crops=1.4,
        sensor_noise=0.05,
        gain=0.06,
        haze=0.035,
        cloud=0.42,
        missed=0.35,
        shift_spread=4.0,
    ),
}


@dataclass(frozen=True)
class RegionSetting:
    """Place and character of a region.

    Attributes:
        name: 'region_a' or 'region_b', also the folder's name.
        index: 0 or 1; part of every seed.
        epsg: CRS of the images and parcels.
        origin: (x, y) in metres of the upper left corner, a multiple of 20 m.
        shares: share of the parcels of each crop, in the order of `crops.CROPS`.
        variety_tilt: 0: the first variety is the most grown, 1: the last one.
        soil: (mean, spread) of soil brightness, 0 dark to 1 bright.
        first_orbit: day of the first overpass of the year.
    """

    name: str
    index: int
    epsg: int
    origin: tuple[float, float]
    shares: tuple[float, ...]
    variety_tilt: float
    soil: tuple[float, float]
    first_orbit: int


REGION_A = RegionSetting(
    name="region_a",
    index=0,
    epsg=32631,
    origin=(611_000.0, 5_635_000.0),
    shares=(0.20, 0.11, 0.10, 0.09, 0.15, 0.10, 0.08, 0.05, 0.05, 0.07),
    variety_tilt=0.25,
    soil=(0.35, 0.18),
    first_orbit=3,
)
REGION_B = RegionSetting(
    name="region_b",
    index=1,
    epsg=32632,
    origin=(548_000.0, 5_012_000.0),
    shares=(0.12, 0.07, 0.05, 0.06, 0.24, 0.06, 0.05, 0.14, 0.09, 0.12),
    variety_tilt=0.75,
    soil=(0.50, 0.20),
    first_orbit=1,
)


def generator(seed: int, *keys: int) -> np.random.Generator:
    """Independent random numbers for one purpose: (region, step, date ...) are the keys.

    Each step has its own stream, so that dates can be computed in any order and by several threads,
    and a change in one step leaves the random numbers of the others alone.
    """
    return np.random.default_rng([seed, *keys])
