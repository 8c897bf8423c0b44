"""Does this model fit this series? Bands must; dates and season should."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from sits_engine.errors import InputError, ModelError
from sits_engine.models.card import ModelCard

#: Days by which a date may lie outside the model's training dates before it is called unusual.
MARGIN_DAYS = 15
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
