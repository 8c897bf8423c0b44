"""One simulated region: its ground, and its images date by date."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from affine import Affine

from sits_engine.series.simulate import spectra
from sits_engine.series.simulate.acquisition import overpasses
from sits_engine.series.simulate.atmosphere import Sky, draw_sky, scene_classification, through_the_air
from sits_engine.series.simulate.crops import CROPS
from sits_engine.series.simulate.growth import Fields, State, draw_fields, state
from sits_engine.series.simulate.landscape import (
    BUILT,
    FOREST,
    MARGIN,
    OTHER,
    ROAD,
    WATER_BODY,
    Landscape,
    make_landscape,
)
from sits_engine.series.simulate.noise import Field, repeat, smooth_field
from sits_engine.series.simulate.settings import (
    FINE,
    PIXEL,
    YEAR,
    Difficulty,
    RegionSetting,
    generator,
)

STRIP = 128  # fine rows computed at a time: small enough for the processor's cache
OPAQUE = 60.0  # leaf area that hides the ground entirely
#: Relative brightness differences between neighbouring fine pixels: field, then as `OTHER`.
TEXTURE = (0.03, 0.08, 0.14, 0.30, 0.08, 0.03)

# Steps that have random numbers of their own (see `settings.generator`).
LANDSCAPE, FIELDS, MAPS, DATES, SKY, AIR, MASK, WEATHER, SHIFT = range(9)


@dataclass(frozen=True)
class Region:
    """The ground of a region; all maps (2 H, 2 W) on the fine grid.

    Attributes:
        setting, difficulty, seed, size: as asked for; `size` is the pixels a side of the images.
        shift: (crops,) days that each crop is earlier than in the calendar of `crops.CROPS`.
        landscape: polygons and their raster.
        fields: what grows on the parcels.
        rows: index into the parcels, or parcels + kind for other surfaces.
        vigour: relative leaf area inside fields.
        lag: days that parts of fields are late.
        soil: brightness of bare soil, 0..1.
        wetness: relative moisture, hollows against ridges.
        texture: brightness factor.
        dates: sorted.
    """

    setting: RegionSetting
    difficulty: Difficulty
    seed: int
    size: int
    shift: npt.NDArray[np.float64]
    landscape: Landscape
    fields: Fields
    rows: npt.NDArray[np.int32]
    vigour: Field
    lag: Field
    soil: Field
    wetness: Field
    texture: Field
    dates: tuple[datetime.date, ...]

    @property
    def transform(self) -> Affine:
        """Pixel to CRS at 10 m."""
        x, y = self.setting.origin
        return Affine(PIXEL, 0, x, 0, -PIXEL, y)

    def rng(self, *keys: int) -> np.random.Generator:
        """Random numbers of one step of this region."""
        return generator(self.seed, self.setting.index, *keys)


def make_region(
    setting: RegionSetting, difficulty: Difficulty, seed: int, size: int, dates: int, shift_days: float
) -> Region:
    """Lay out a region of `size` x `size` pixels of 10 m (`size` even) with `dates` days of images."""
    x, y = setting.origin
    bounds = (x, y - size * PIXEL, x + size * PIXEL, y)
    landscape = make_landscape(generator(seed, setting.index, LANDSCAPE), bounds)
    shift = np.zeros(len(CROPS))
    if shift_days:
        deviations = generator(seed, setting.index, SHIFT).normal(0, difficulty.shift_spread, len(CROPS))
        # The mean over the crops is the shift that was asked for, exactly.
        shift = shift_days + deviations - deviations.mean()
    count = len(landscape.parcels)
    fields = draw_fields(
        generator(seed, setting.index, FIELDS), count, setting.shares, setting.variety_tilt, shift, difficulty
    )
    rows = np.where(landscape.ids >= 0, landscape.ids, count - 1 - landscape.ids).astype(np.int32)
    fine = (round(2 * size), round(2 * size))
    rng = generator(seed, setting.index, MAPS)
    meters = 1.0 / FINE
    mean, spread = setting.soil
    soil_of_field = np.append(fields.soil, np.zeros(len(OTHER), dtype=np.float32))
    soil = mean + spread * (
        0.8 * smooth_field(rng, fine, 900 * meters) + 0.5 * smooth_field(rng, fine, 120 * meters)
    )
    strength = np.append(np.full(count, TEXTURE[0]), TEXTURE[1:]).astype(np.float32)
    texture = 1 + strength[rows] * rng.standard_normal(fine, dtype=np.float32)
    inside = difficulty.within
    return Region(
        setting=setting,
        difficulty=difficulty,
        seed=seed,
        size=size,
        shift=shift,
        landscape=landscape,
        fields=fields,
        rows=rows,
        vigour=np.clip(
            1
            + inside
            * (
                0.8 * smooth_field(rng, fine, 60 * meters)
                + 0.5 * smooth_field(rng, fine, 300 * meters)
                + 0.3 * rng.standard_normal(fine, dtype=np.float32)
            ),
            0.2,
            2.0,
        ).astype(np.float32),
        lag=(12 * inside * smooth_field(rng, fine, 100 * meters)).astype(np.float32),
        soil=np.clip(soil + soil_of_field[rows], 0, 1).astype(np.float32),
        wetness=smooth_field(rng, fine, 250 * meters),
        texture=np.clip(texture, 0.3, 1.9).astype(np.float32),
        dates=tuple(
            overpasses(generator(seed, setting.index, DATES), dates, setting.first_orbit),
        ),
    )


def _day(date: datetime.date) -> int:
    return (date - datetime.date(YEAR, 1, 1)).days


def _others(day: float) -> State:
    """The surfaces of `OTHER` on a day (region A's calendar; they don't follow the crops' shift)."""
    leafy = float(1 / (1 + np.exp(-(day - 112) / 8)) * (1 - 1 / (1 + np.exp(-(day - 300) / 9))))
    surface = np.zeros((len(OTHER), len(spectra.BANDS)), dtype=np.float32)
    surface[MARGIN] = 0.75 * spectra.GREEN + 0.25 * spectra.DRY
    broadleaved = leafy * spectra.GREEN + (1 - leafy) * spectra.BARE_TWIGS
    surface[FOREST] = 0.65 * broadleaved + 0.35 * spectra.CONIFERS
    surface[BUILT] = 0.8 * spectra.BUILT + 0.2 * (leafy * spectra.GREEN + (1 - leafy) * spectra.DRY)
    surface[ROAD] = spectra.ASPHALT
    surface[WATER_BODY] = spectra.WATER
    leaves = np.full(len(OTHER), OPAQUE, dtype=np.float32)
    leaves[MARGIN] = 1.2 + 1.6 * leafy
    nothing = np.zeros(len(OTHER), dtype=np.float32)
    return State(leaves, nothing, surface, nothing)


def _seen_by_sensor(values: Field, factor: int) -> Field:
    """Average fine rows and columns (with one of margin on each side) to pixels of `factor`.

    Neighbours bleed into each other as in a real sensor: the pixel's square, widened by (1, 2, 1) / 4.
    (factor * h + 2, factor * w + 2) -> (h, w).
    """
    weights = np.convolve(np.full(factor, 1.0 / factor), [0.25, 0.5, 0.25]).astype(np.float32)
    height = (values.shape[0] - 2) // factor
    width = (values.shape[1] - 2) // factor
    rows = np.zeros((height, values.shape[1]), dtype=np.float32)
    for offset, weight in enumerate(weights):
        rows += weight * values[offset : offset + factor * height : factor][:height]
    out = np.zeros((height, width), dtype=np.float32)
    for offset, weight in enumerate(weights):
        out += weight * rows[:, offset : offset + factor * width : factor][:, :width]
    return out


def _nothing() -> None:
    """No check for cancellation."""


def ground_reflectance(
    region: Region, index: int, check: Callable[[], None] = _nothing
) -> npt.NDArray[np.float32]:
    """Reflectance (10, H, W) of the ground on date `index`, mixed as the sensor mixes it, without sky.

    `check` is called between strips and may raise to cancel.
    """
    day = float(_day(region.dates[index]))
    crops, others = state(region.fields, day), _others(day)
    leaves = np.append(crops.leaves, others.leaves)
    change = np.append(crops.change, others.change)
    straw = np.append(crops.straw, others.straw)
    surface = np.ascontiguousarray(np.vstack([crops.surface, others.surface]).T)
    rain = float(region.rng(WEATHER, index).uniform(0, 1))
    out = np.empty((len(spectra.BANDS), region.size, region.size), dtype=np.float32)
    for top in range(0, 2 * region.size, STRIP):
        check()
        bottom = min(top + STRIP, 2 * region.size)
        # One fine pixel of margin around the strip; at the image's edge the edge is repeated.
        take = np.clip(np.arange(top - 1, bottom + 1), 0, 2 * region.size - 1)
        rows = region.rows[take]
        area = leaves[rows] - change[rows] * region.lag[take]
        area *= region.vigour[take]
        np.clip(area, 0, None, out=area)
        soil = region.soil[take]
        wet = np.clip(rain + np.float32(0.15) * region.wetness[take], 0, 1)
        stubble = straw[rows]
        texture = region.texture[take]
        through: dict[float, Field] = {}
        for band, name in enumerate(spectra.BANDS):
            extinction = float(spectra.EXTINCTION[band])
            if extinction not in through:
                through[extinction] = np.exp(np.float32(-extinction) * area)
            dark, bright = spectra.SOIL_DARK[band], spectra.SOIL_BRIGHT[band]
            ground = dark + (bright - dark) * soil
            ground *= 1 - spectra.WETTING[band] * wet
            ground += stubble * (spectra.STRAW[band] - ground)
            values = surface[band][rows]
            values += (ground - values) * through[extinction]
            values *= texture
            padded = np.pad(values, ((0, 0), (1, 1)), mode="edge")
            lines = slice(top // 2, bottom // 2)
            if name in spectra.BANDS_10M:
                out[band, lines] = _seen_by_sensor(padded, 2)
            else:
                out[band, lines] = repeat(_seen_by_sensor(padded, 4), 2)
    return out


def image(
    region: Region, index: int, check: Callable[[], None] = _nothing
) -> tuple[npt.NDArray[np.uint16], Sky]:
    """Digital numbers (11, H, W) of date `index`, ten bands and the mask, and the true sky."""
    day = _day(region.dates[index])
    values = ground_reflectance(region, index, check)
    sky = draw_sky(region.rng(SKY, index), region.size, day, region.difficulty)
    check()
    through_the_air(region.rng(AIR, index), values, sky, region.difficulty)
    water = region.rows[::4, ::4] == len(region.fields) + WATER_BODY
    check()
    mask = scene_classification(region.rng(MASK, index), values, sky, water)
    out = np.empty((len(spectra.BANDS) + 1, region.size, region.size), dtype=np.uint16)
    # 0 means 'no data', so the darkest pixel is 1.
    out[:-1] = np.clip(np.rint(values * 10_000), 1, 20_000)
    out[:-1, ~sky.seen] = 0
    out[-1] = mask
    return out, sky


def write_images(
    region: Region, folder: Path, progress: Callable[[float], None], check: Callable[[], None]
) -> Iterator[tuple[Path, float]]:
    """Write one GeoTIFF a date; yields its path and cloud cover. Two dates at a time are in memory.

    Args:
        region: what to show.
        folder: made if missing.
        progress: gets the finished share after each date.
        check: called often, from several threads; may raise to cancel.
    """
    folder.mkdir(parents=True, exist_ok=True)

    def one(index: int) -> tuple[Path, float]:
        values, sky = image(region, index, check)
        path = folder / f"S2_{region.dates[index]:%Y%m%d}.tif"
        write_image(path, values, region.transform, region.setting.epsg, region.dates[index])
        return path, sky.cover

    with ThreadPoolExecutor(2) as pool:
        try:
            for done, result in enumerate(pool.map(one, range(len(region.dates))), start=1):
                progress(done / len(region.dates))
                yield result
        finally:
            # After a cancellation the dates that wait are not begun.
            pool.shutdown(wait=True, cancel_futures=True)


def layout(values: npt.NDArray[Any], transform: Affine, epsg: int) -> dict[str, Any]:
    """How rasterio is to write (C, H, W) numbers of the simulation: tiled, compressed, 0 = no data."""
    return {
        "driver": "GTiff",
        "width": values.shape[2],
        "height": values.shape[1],
        "count": values.shape[0],
        "dtype": values.dtype.name,
        "crs": f"EPSG:{epsg}",
        "transform": transform,
        "nodata": 0,
        "tiled": True,
        "blockxsize": 256,
        "blockysize": 256,
        "compress": "deflate",
    }


def write_image(
    path: Path, values: npt.NDArray[np.uint16], transform: Affine, epsg: int, date: datetime.date
) -> None:
    """One date as a GeoTIFF with named bands."""
    with rasterio.open(path, "w", **layout(values, transform, epsg), predictor=2, zlevel=4) as file:
        file.write(values)
        file.descriptions = (*spectra.BANDS, "SCL")
        file.update_tags(
            TIFFTAG_DATETIME=f"{date:%Y:%m:%d} 10:30:00",
            TIFFTAG_IMAGEDESCRIPTION="Simulated by SITS for QGIS; not a measurement",
        )
