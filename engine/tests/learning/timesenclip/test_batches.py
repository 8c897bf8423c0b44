from __future__ import annotations

import numpy as np
import pytest
import torch
from support.photo_series import paired_places

from sits_engine.learning.timesenclip.batches import (
    PlaceSource,
    normalisation,
    published_normalisation,
)


def test_bands_lie_between_the_percentiles_of_the_training_places() -> None:
    pairs = paired_places(60, context=3)
    train = np.arange(40)
    bands = normalisation(pairs.composites, train, pairs.composites.bands)
    seen = pairs.composites.values[:40, :, :, 1, 1][pairs.composites.valid[:40]]
    for c, band in enumerate(bands):
        assert band.mean == pytest.approx(np.percentile(seen[:, c], 1), rel=1e-5)
        assert band.mean + band.std == pytest.approx(np.percentile(seen[:, c], 99), rel=1e-5)
    source = PlaceSource(pairs, train, bands, "none", torch.device("cpu"))
    batch = source.on_device(source.drawn(np.array([3, 1]), np.random.default_rng(0)))
    assert float(batch.images.min()) == 0.0
    assert float(batch.images.max()) == 1.0
    expected = (pairs.composites.values[3, 5, 2, 0, 0] - bands[2].mean) / bands[2].std
    assert float(batch.images[0, 5, 2, 0, 0]) == pytest.approx(np.clip(expected, 0, 1), abs=1e-5)


def test_published_constants_go_by_name() -> None:
    bands = published_normalisation(["B04", "B02"])
    assert [round(band.mean * 1e4, 2) for band in bands] == [93.27, 67]
    assert [round(band.std * 1e4, 2) for band in bands] == [3214.5, 2089]


def test_photos_of_a_place_stay_together() -> None:
    pairs = paired_places(20)
    source = PlaceSource(pairs, np.arange(20), normalisation(pairs.composites, np.arange(20), "abc"), "none",
                         torch.device("cpu"))  # fmt: skip
    index = np.array([19, 0, 7])
    raw = source.drawn(index, np.random.default_rng(0))
    assert raw.places.tolist() == [19, 0, 7]
    for i, place in enumerate(index):
        own = pairs.vectors[pairs.offsets[place] : pairs.offsets[place + 1]]
        np.testing.assert_array_equal(raw.photos[i][raw.there[i]].numpy(), own)
        assert not raw.photos[i][~raw.there[i]].any()
