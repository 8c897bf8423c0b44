"""Pixels of a window: wanted ones are classified alike, whether they are picked or all are computed."""

import numpy as np
import pytest
from networks import card, network

from sits_engine.device import select
from sits_engine.mapping import classify as classification
from sits_engine.mapping.classify import PROBABILITY_NODATA, classify
from sits_engine.models.inference import Predictor
from sits_engine.series.types import Cube

POSITIONS = np.array([30, 90, 150, 210], np.int32)


def cube():
    rng = np.random.default_rng(0)
    bands = len(card().bands)
    values = rng.integers(0, 5000, (4, bands, 20, 25)).astype(np.uint16)
    valid = rng.random((4, 20, 25)) < 0.7
    valid[:, 3, 4:9] = False  # never seen
    scale, offset = np.full((4, bands), 1e-4, np.float32), np.zeros((4, bands), np.float32)
    return Cube(values, valid, valid, scale, offset)


@pytest.mark.parametrize("share", [0.0, 2.0])
def test_unwanted_pixels_stay_empty_and_the_others_are_the_same(share, monkeypatch):
    monkeypatch.setattr(classification, "MOST", share)  # 0: all are computed, 2: wanted ones are picked
    given = cube()
    inside = np.ones((20, 25), np.bool_)
    inside[10:, :7] = False
    counted = []
    found = classify(
        given,
        inside,
        Predictor(network(), card(), select("cpu")),
        POSITIONS,
        len(card().classes),
        want_probabilities=True,
        chunk=96,
        step=counted.append,
    )
    wanted = inside & given.valid.any(0)
    assert sum(counted) == wanted.size
    np.testing.assert_array_equal(found.classes > 0, wanted)
    np.testing.assert_array_equal(found.confidence > 0, wanted)
    shown = found.probabilities != PROBABILITY_NODATA
    np.testing.assert_array_equal(shown, np.broadcast_to(wanted, shown.shape))

    values = given.values.reshape(4, -1, 500)[:, :, wanted.reshape(-1)]
    valid = given.valid.reshape(4, 500)[:, wanted.reshape(-1)]
    predictor = Predictor(network(), card(), select("cpu"))
    alone = predictor.predict_pixels(values, valid, given.scale, given.offset, POSITIONS)
    np.testing.assert_array_equal(found.classes[wanted], alone.argmax(1) + 1)
