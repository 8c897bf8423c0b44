"""Masks after sharpening: what of the given ones stays."""

from types import SimpleNamespace

import numpy as np
import torch

from sits_engine import device as devices
from sits_engine.learning.exact import masks
from sits_engine.learning.exact.refine import Refined, RefineSettings


def test_pixels_that_stay_keep_their_confidence(monkeypatch) -> None:
    shape = (1, 2, 2)
    given = masks.Masks(
        np.array([[[1, 0], [0, 2]]], np.int16), np.full(shape, 0.3, np.float32), torch.ones(1, 2, 1, 1), 0
    )
    found = Refined(
        np.array([[[1, 0], [2, 2]]], np.int16),
        np.array([[[0.9, 0.8], [0.1, 0.7]]], np.float32),
        np.array([[[True, False], [False, False]]]),
    )
    monkeypatch.setattr(masks, "refined_masks", lambda *_, **__: found)
    bags = SimpleNamespace(inside=np.ones(shape, bool))
    made = masks.sharpened(
        given, bags, [], RefineSettings(), devices.select("cpu"), seed=1, background=0.2, least_confidence=0.2
    )
    np.testing.assert_array_equal(made.labels, [[[1, 0], [-1, 2]]])
    np.testing.assert_allclose(made.confidence, [[[0.3, 0.8], [0.1, 0.7]]])
    assert made.kept == (1,)
    assert made.unlabelled == 1
    assert made.cam is given.cam


def test_scores_of_maps_are_shares_of_ticked_crops_and_background() -> None:
    cam = torch.tensor([[[[0.6, 0.6]], [[0.9, 0.9]]]])  # the second crop isn't ticked
    bags = SimpleNamespace(inside=np.ones((1, 2, 4), bool), present=np.array([[True, False]]))
    shares = masks.shares_of_maps(cam, bags, slice(0, 1), background=0.2)
    assert shares.shape == (1, 3, 2, 4)
    for place, share in enumerate((0.75, 0.0, 0.25)):
        torch.testing.assert_close(shares[0, place], torch.full((2, 4), share))
