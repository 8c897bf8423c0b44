from types import SimpleNamespace

import numpy as np
import pytest

from sits_engine.errors import InputError, ModelError
from sits_engine.mapping.compat import date_warnings, match_bands
from sits_engine.models.card import BandCard, ClassCard, ModelCard


def card(positions, n_classes=2):
    return ModelCard(
        architecture="pseltae",
        hyperparameters={},
        bands=[BandCard(name="B02"), BandCard(name="B11")],
        classes=[ClassCard(name=str(i), color="#000000") for i in range(n_classes)],
        season_year=2023,
        positions=positions,
    )


def series(positions):
    def match(wanted):
        raise InputError("no")

    return SimpleNamespace(
        title="mine", bands=("B02", "B03"), season_year=2023, positions=np.array(positions), match_bands=match
    )


def test_dates_like_in_training_say_nothing():
    assert date_warnings(series([55, 100, 210]), card([60.0, 120.0, 200.0])) == []


def test_dates_far_outside_are_counted():
    (said,) = date_warnings(series([20, 60, 120, 200]), card([60.0, 120.0, 200.0]))
    assert said.startswith("1 of 4 dates")
    assert "day 60 to 200" in said


def test_half_a_season_is_said():
    (said,) = date_warnings(series([60, 90, 120]), card([60.0, 120.0, 200.0]))
    assert "covers 60 days" in said
    assert "140" in said


def test_missing_band_names_both_lists():
    with pytest.raises(ModelError, match=r"needs B02, B11; the series has B02, B03"):
        match_bands(series([1]), card([1.0]))


def test_too_many_classes_for_a_byte():
    with pytest.raises(ModelError, match="256 classes"):
        match_bands(series([1]), card([1.0], 256))
