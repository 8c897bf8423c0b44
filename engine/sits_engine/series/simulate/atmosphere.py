"""What lies between the ground and the sensor, and what the scene classification says of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from sits_engine.series.simulate.noise import Field, block_mean, repeat, smooth_field
from sits_engine.series.simulate.settings import PIXEL, Difficulty
from sits_engine.series.simulate.spectra import BANDS, CIRRUS, CLOUD, SKYLIGHT

#: Values of Sentinel-2's scene classification (Level-2A product definition).
NO_DATA, DARK, SHADOW, VEGETATION, BARE, WATER, UNCLASSIFIED, CLOUD_MEDIUM, CLOUD_HIGH, THIN_CIRRUS = (
    0,
    2,
    3,
    4,
    5,
    6,
    7,
    8,
    9,
    10,
)
#: Values that say 'the ground is not seen'.
NOT_CLEAR = (NO_DATA, 1, SHADOW, CLOUD_MEDIUM, CLOUD_HIGH, THIN_CIRRUS, 11)

FARTHEST_SHADOW = 120  # pixels
LATITUDE = 48.0


@dataclass(frozen=True)
class Sky:
    """The sky of one date on the 10 m grid, each (H, W) float32 in 0..1 unless said.

    Attributes:
        cloud: opacity of clouds.
        shadow: depth of their shadows.
        haze: reflectance in the blue of thin haze and cirrus.
        seen: (H, W) bool, inside the swath.
        missed_cloud, missed_shadow: (H, W) bool, what the mask will not show.
        cover: share of the image under cloud.
    """

    cloud: Field
    shadow: Field
    haze: Field
    seen: npt.NDArray[np.bool_]
    missed_cloud: npt.NDArray[np.bool_]
    missed_shadow: npt.NDArray[np.bool_]
    cover: float


def draw_sky(rng: np.random.Generator, size: int, day: int, difficulty: Difficulty) -> Sky:
    """Clouds of one date, their shadows by the height of the sun, haze, and the edge of the swath."""
    cover = float(rng.beta(0.9, 0.9 * (1 / difficulty.cloud - 1)))
    cover = 0.0 if cover < 0.03 else min(cover, 0.85)
    down, right = _shadow_offset(rng, day)
    scale = float(rng.choice([30.0, 70.0, 160.0], p=[0.3, 0.35, 0.35]))
    wide = smooth_field(rng, (size + FARTHEST_SHADOW, size + FARTHEST_SHADOW), scale, slope=3.4)
    seen = _swath(rng, size)
    haze = _haze(rng, size, difficulty)
    if cover == 0.0:
        clear = np.zeros((size, size), dtype=np.float32)
        nothing = np.zeros((size, size), dtype=bool)
        return Sky(clear, clear, haze, seen, nothing, nothing, 0.0)
    edge = np.float32(np.quantile(wide[::4, ::4], 1.0 - cover))
    opacity = np.clip((wide - edge) / np.float32(0.45) + np.float32(0.15), 0, 1)
    opacity = opacity * opacity * (3 - 2 * opacity)
    cloud = np.ascontiguousarray(opacity[:size, :size])
    shadow = np.ascontiguousarray(opacity[down : down + size, right : right + size]) * (1 - cloud)
    return Sky(
        cloud=cloud,
        shadow=shadow,
        haze=haze,
        seen=seen,
        missed_cloud=_missed(rng, cloud > 0.3, difficulty.missed),
        missed_shadow=_missed(rng, shadow > 0.4, difficulty.missed),
        cover=float(((cloud > 0.3) & seen).mean()),
    )


def _shadow_offset(rng: np.random.Generator, day: int) -> tuple[int, int]:
    """Rows and columns from a shadow to its cloud: the sun stands in the south-south-east at 10:30."""
    declination = 23.4 * np.sin(2 * np.pi * (day - 80) / 365)
    elevation = np.deg2rad(max(12.0, 0.93 * (90 - LATITUDE + declination)))
    length = rng.uniform(700, 2200) / np.tan(elevation) / PIXEL
    length = min(length, FARTHEST_SHADOW - 1)
    azimuth = np.deg2rad(20 + rng.uniform(-4, 4))  # east of south
    return round(length * np.cos(azimuth)), round(length * np.sin(azimuth))


def _swath(rng: np.random.Generator, size: int) -> npt.NDArray[np.bool_]:
    """All pixels, or on every tenth date those on one side of the swath's slanting edge."""
    if rng.random() >= 0.1:
        return np.ones((size, size), dtype=bool)
    position = size * rng.uniform(0.25, 0.8)
    rows, cols = np.ogrid[:size, :size]
    inside = cols + 0.22 * (rows - size / 2) < position
    return np.asarray(inside if rng.random() < 0.5 else ~inside)


def _haze(rng: np.random.Generator, size: int, difficulty: Difficulty) -> Field:
    """Smooth haze on every date, streaks of cirrus on every fourth."""
    field = smooth_field(rng, (size, size), size / 3)
    haze = difficulty.haze * np.clip(0.4 * rng.standard_normal() + 0.35 * field, -0.5, 2.0)
    if rng.random() < 0.25:
        streaks = smooth_field(rng, (size, size), 90.0, slope=3.0)
        haze = haze + 2.5 * difficulty.haze * np.clip(streaks, 0, 2)
    return np.asarray(haze, dtype=np.float32)


def _missed(rng: np.random.Generator, objects: npt.NDArray[np.bool_], share: float) -> npt.NDArray[np.bool_]:
    """Whole connected objects that the mask overlooks; large ones are never overlooked."""
    labels, count = ndimage.label(objects)
    if count == 0:
        return np.zeros_like(objects)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    overlooked = (rng.random(count + 1) < share) & (sizes < 600)
    overlooked[0] = False
    return np.asarray(overlooked[labels])


def through_the_air(
    rng: np.random.Generator, reflectance: npt.NDArray[np.float32], sky: Sky, difficulty: Difficulty
) -> None:
    """Change ground reflectance (10, H, W) in place to what the sensor's product shows.

    Errors of the atmospheric correction and of view angles (a gain of each band and date and a slope across
    the swath), haze, shadows, clouds, noise.
    """
    size = reflectance.shape[-1]
    common = rng.normal(0, difficulty.gain)
    gains = 1 + common + rng.normal(0, 0.5 * difficulty.gain, len(BANDS))
    slope = rng.normal(0, 0.5 * difficulty.gain)
    across = np.linspace(-slope, slope, size, dtype=np.float32)
    texture = None
    cloudy = bool(sky.cloud.any())
    if cloudy:
        texture = 1 + 0.10 * smooth_field(rng, (size, size), 12.0, slope=3.0)
        brightness = np.float32(rng.uniform(0.75, 1.15))
    for band in range(len(BANDS)):
        layer = reflectance[band]
        layer *= np.float32(gains[band]) + across
        layer += sky.haze * CIRRUS[band]
        if cloudy and texture is not None:
            layer *= 1 - sky.shadow * (1 - SKYLIGHT[band])
            layer += sky.cloud * (CLOUD[band] * brightness * texture - layer)
        noise = rng.standard_normal(layer.shape, dtype=np.float32)
        layer *= 1 + np.float32(difficulty.sensor_noise) * noise
        layer += np.float32(0.0015) * rng.standard_normal(layer.shape, dtype=np.float32)


def scene_classification(
    rng: np.random.Generator,
    reflectance: npt.NDArray[np.float32],
    sky: Sky,
    water: npt.NDArray[np.bool_],
) -> npt.NDArray[np.uint16]:
    """The mask (H, W) as a product would carry it: made at 20 m, with its usual mistakes.

    Args:
        rng: random numbers.
        reflectance: (10, H, W) as the sensor's product shows it.
        sky: the truth about the sky.
        water: (H / 2, W / 2) bool, water on the ground.
    """
    red, near = (block_mean(reflectance[BANDS.index(band)], 2) for band in ("B04", "B08"))
    blue = block_mean(reflectance[0], 2)
    ndvi = (near - red) / np.maximum(near + red, 0.01)
    classes = np.where(ndvi > 0.35, VEGETATION, BARE).astype(np.uint16)
    classes[near < 0.09] = DARK
    classes[water] = WATER
    classes[rng.random(classes.shape) < 0.004] = UNCLASSIFIED
    # Bright roofs look like clouds now and then.
    classes[(blue > 0.16) & (rng.random(classes.shape) < 0.25)] = CLOUD_MEDIUM
    # Of thin cirrus only the thickest is noticed.
    classes[block_mean(sky.haze, 2) > 0.10] = THIN_CIRRUS
    cloud = block_mean(np.where(sky.missed_cloud, 0, sky.cloud).astype(np.float32), 2)
    shadow = block_mean(np.where(sky.missed_shadow, 0, sky.shadow).astype(np.float32), 2)
    classes[shadow > 0.4] = SHADOW
    classes[cloud > 0.3] = CLOUD_MEDIUM
    classes[cloud > 0.7] = CLOUD_HIGH
    full = np.asarray(repeat(classes, 2), dtype=np.uint16)
    full[~sky.seen] = NO_DATA
    return full
