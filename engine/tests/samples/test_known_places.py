import json

import numpy as np
import pytest

from sits_engine.samples.known_places import KEY, overlap, remembered

PLACES = np.array([[5.12345678, 51.0], [-179.99999, -20.5], [5.2, 51.3]])
#: Degrees of latitude in a metre.
METRE = 1 / 111_195


@pytest.mark.parametrize(("metres", "found"), [(0, 3), (40, 3), (300, 0), (-40, 3)])
def test_places_near_the_rounded_ones_are_counted(metres, found) -> None:
    card = json.loads(json.dumps({KEY: remembered(PLACES)}))
    assert overlap(PLACES + np.array([0, metres * METRE]), card) == found


def test_a_place_without_a_position_lies_nowhere() -> None:
    asked = np.array([PLACES[0], [np.nan, np.nan]])
    assert overlap(asked, {KEY: remembered(PLACES)}) == 1
    assert overlap(asked[1:], {KEY: remembered(PLACES)}) is None


def test_what_is_written_down_stays_small() -> None:
    many = np.random.default_rng(0).uniform(-90, 90, (5000, 2))
    assert len(json.dumps(remembered(many))) < 100_000
    assert remembered(np.zeros((5001, 2))) == {"count": 5001}
    assert remembered(np.array([[np.nan, 3.0]])) == {"count": 1}


@pytest.mark.parametrize("provenance", [{}, {KEY: {"count": 7000}}, {KEY: "many"}])
def test_a_card_that_does_not_say_is_unknown(provenance) -> None:
    assert overlap(PLACES, provenance) is None


def test_positions_are_written_down_roughly() -> None:
    facts = remembered(PLACES)
    assert facts["lon"] == [5123, -180000, 5200]
    assert facts["lat"] == [51000, -20500, 51300]
