from types import SimpleNamespace

import numpy as np
import pytest
from support.maps import grid

from sits_engine.errors import InputError, ModelError
from sits_engine.mapping.compat import check_resolution, date_warnings, match_bands, pixel_metres
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


def sized(resolution, scale, where="provenance"):
    return card([1.0]).model_copy(
        update={
            "provenance": {"resolution": resolution} if where == "provenance" else {},
            "hyperparameters": {"scale": scale}
            | ({} if where == "provenance" else {"resolution": resolution}),
        }
    )


def test_pixel_size_in_metres_of_projected_and_geographic_grids():
    assert pixel_metres(grid(10, 10, pixel=20.0)) == pytest.approx(20)
    feet = grid(10, 10, pixel=10.0, crs="EPSG:2277")  # US survey feet
    assert pixel_metres(feet) == pytest.approx(3.048, rel=1e-3)
    degrees = grid(10, 10, pixel=0.0001, crs="EPSG:4326")
    place = degrees.transform.translation(4.0, 0.0) * degrees.transform.scale(0.0001, -0.0001)
    degrees = type(degrees)(degrees.crs, place, 10, 10)
    assert pixel_metres(degrees) == pytest.approx(11.1, rel=0.01)


@pytest.mark.parametrize("where", ["provenance", "hyperparameters"])
def test_sharpening_images_of_another_size_is_refused_others_are_warned(where):
    assert check_resolution("mine", grid(9, 9), sized(10.0, 2, where)) == []
    assert check_resolution("mine", grid(9, 9, pixel=10.4), sized(10, 2, where)) == []
    with pytest.raises(ModelError, match=r"maps of 5 m from images of 10 m; the series 'mine' has .* 20 m"):
        check_resolution("mine", grid(9, 9, pixel=20.0), sized(10.0, 2, where))
    (said,) = check_resolution("mine", grid(9, 9, pixel=20.0), sized(10.0, 1, where))
    assert "images of 10 m, the series 'mine' has pixels of 20 m" in said


def test_nothing_is_said_where_the_card_does_not_know():
    assert check_resolution("mine", grid(9, 9), card([1.0])) == []
