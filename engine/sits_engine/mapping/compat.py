"""Does this model fit this series? Bands must, pixel size for super-resolution; dates and season should."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from sits_engine.errors import InputError, ModelError
from sits_engine.mapping.areas import pixel_area_ha
from sits_engine.models.card import ModelCard
from sits_engine.series.types import Grid, Window

#: Days by which a date may lie outside the model's training dates before it is called unusual.
MARGIN_DAYS = 15
#: Share by which the pixel size may differ from that of the training images.
SAME_SIZE = 0.1
#: A map stores classes as 1..255.
MAX_CLASSES = 255


class HasBands(Protocol):
    """The part of a time series that is looked at here."""

    @property
    def title(self) -> str: ...  # noqa: D102
    @property
    def bands(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def season_year(self) -> int: ...  # noqa: D102
    @property
    def positions(self) -> npt.NDArray[np.int32]: ...  # noqa: D102
    def match_bands(self, wanted: Sequence[str]) -> list[str]: ...  # noqa: D102


def match_bands(series: HasBands, card: ModelCard) -> list[str]:
    """The series' own names of the model's bands, in the model's order.

    Raises:
        ModelError: a band is missing; both lists are named.
    """
    if len(card.classes) > MAX_CLASSES:
        raise ModelError(
            f"The model has {len(card.classes)} classes; a map holds at most {MAX_CLASSES}.",
            "Train a model with fewer classes.",
        )
    try:
        return series.match_bands(card.band_names)
    except InputError as error:
        raise ModelError(
            f"The model and the series '{series.title}' have different bands. "
            f"The model needs {', '.join(card.band_names)}; the series has {', '.join(series.bands)}.",
            "Use a model trained on these bands, or build the series with the bands of the model.",
            model=card.band_names,
            series=list(series.bands),
        ) from error


def date_warnings(series: HasBands, card: ModelCard) -> list[str]:
    """Sentences about dates that the model has not been trained for; empty if all is well."""
    days = np.asarray(series.positions, dtype=float)
    trained = np.asarray(card.positions, dtype=float)
    if len(trained) == 0:
        return []
    first, last = trained.min(), trained.max()
    found = []
    outside = (days < first - MARGIN_DAYS) | (days > last + MARGIN_DAYS)
    if outside.any():
        found.append(
            f"{int(outside.sum())} of {len(days)} dates lie more than {MARGIN_DAYS} days outside the dates "
            f"that the model was trained on (day {first:.0f} to {last:.0f} of its season; the series has day "
            f"{days.min():.0f} to {days.max():.0f} of {series.season_year}). The map may be poor there: "
            "check the season year, or use a series of the same season."
        )
    length, wanted = days.max() - days.min(), last - first
    if wanted > 0 and length < 0.6 * wanted:
        found.append(
            f"The series covers {length:.0f} days, the model was trained on {wanted:.0f}. Crops that differ "
            "only in the missing part of the season will be confused."
        )
    return found


def pixel_metres(grid: Grid) -> float:
    """Side of a square with the area of a pixel in the middle of the grid, in metres."""
    middle = Window(grid.height // 2, grid.width // 2, 1, 1)
    one = Grid(grid.crs, grid.window_transform(middle), 1, 1)
    return float(np.sqrt(pixel_area_ha(one)[0] * 1e4))


def check_resolution(title: str, grid: Grid, card: ModelCard) -> list[str]:
    """Sentences about images of another pixel size than those a segmentation model was trained on.

    Models of pixels don't look at neighbours: for them the size says nothing. The card may not know it
    (imported weights): then nothing is said.

    Args:
        title: of the series.
        grid: its grid.
        card: `resolution` (metres) in its hyperparameters or provenance, `scale` in its hyperparameters.

    Raises:
        ModelError: another size, and the model sharpens: the size of its output would be wrong.
    """
    trained = card.hyperparameters.get("resolution", card.provenance.get("resolution"))
    if not isinstance(trained, int | float) or trained <= 0:
        return []
    own = pixel_metres(grid)
    if abs(own / trained - 1) <= SAME_SIZE:
        return []
    scale = int(card.hyperparameters.get("scale", 1))
    if scale > 1:
        raise ModelError(
            f"The model makes maps of {trained / scale:.3g} m from images of {trained:.3g} m; the series "
            f"'{title}' has pixels of {own:.3g} m. Its fields would be of another size than those the model "
            "learnt to sharpen.",
            f"Build the series with a pixel size of {trained:.3g} m, or use a model trained on images of "
            f"{own:.3g} m.",
            model=float(trained),
            series=own,
        )
    return [
        f"The model was trained on images of {trained:.3g} m, the series '{title}' has pixels of "
        f"{own:.3g} m. It judges a pixel by its neighbours: fields of another size in pixels may be mapped "
        "poorly."
    ]
