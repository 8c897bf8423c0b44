"""Masks that a classifier of single pixels has learned and drawn anew."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from sits_engine import device as devices
from sits_engine.context import JobContext
from sits_engine.errors import Cancelled
from sits_engine.learning.exact.refine import RefineSettings, daily_series, refined_masks
from sits_engine.models.card import BandCard
from sits_engine.samples.bags import Bags
from sits_engine.samples.windows import WindowSet

BANDS = [BandCard(name="B04", mean=0.2, std=0.1), BandCard(name="B08", mean=0.4, std=0.2)]
DAYS = np.array([0, 10, 20, 40], np.int32)


def bags(n=12, side=8, seed=0):
    """Windows of two crops and other land; the left part of each window has its crop. And the truth."""
    rng = np.random.default_rng(seed)
    truth = np.full((n, side, side), 2, np.int16)
    present = np.zeros((n, 2), bool)
    for i in range(n):
        truth[i, :, : 3 + i % 3] = i % 2
        present[i, i % 2] = True
    series = rng.normal(0, 1, (3, 4, 2))
    values = series[truth].transpose(0, 3, 4, 1, 2) + rng.normal(0, 0.3, (n, 4, 2, side, side))
    valid = rng.random((n, 4, side, side)) < 0.8
    valid[:, 0] = True
    values = np.where(valid[:, :, None], values, 0).astype(np.float32)
    blank = (n, side, side)
    windows = WindowSet(
        bands=("B04", "B08"), values=values, valid=valid, positions=np.tile(DAYS, (n, 1)),
        labels=np.full(blank, -1, np.int16), parcels=np.zeros(blank, np.int32),
        mixed=np.zeros(blank, np.uint8), scale=1, classes=(), xy=np.zeros((n, 2)),
        region=np.zeros(n, np.int16), rows=np.zeros(n, np.int32), cols=np.zeros(n, np.int32),
    )  # fmt: skip
    ids = np.array([str(i) for i in range(n)])
    inside = np.ones(blank, bool)
    return Bags(windows, ("wheat", "maize"), present, np.arange(n, dtype=np.int32), inside, ids), truth


def noisy(truth, present, seed=1):
    """A third of the pixels has another answer: the ticked crop or background."""
    rng = np.random.default_rng(seed)
    own = np.where(present[:, 0], 0, 1)[:, None, None]
    other = np.where(truth == 2, own, 2)
    return np.where(rng.random(truth.shape) < 0.33, other, truth).astype(np.int16)


QUICK = RefineSettings(rounds=2, n_days=4, hidden=16)


def test_errors_of_single_masks_are_not_learned():
    given, truth = bags()
    labels = noisy(truth, given.present)
    before = (labels == truth).mean()
    made = refined_masks(labels, given, BANDS, QUICK, devices.select("cpu"), seed=1)
    found, confidence = made.labels, made.confidence
    assert not made.kept.any()
    assert before < 0.72
    assert (found == truth).mean() > 0.9
    assert confidence.min() >= 0
    assert confidence.max() <= 1
    again = refined_masks(labels, given, BANDS, QUICK, devices.select("cpu"), seed=1)
    np.testing.assert_array_equal(found, again.labels)


def test_maps_have_a_say_where_pixels_look_alike():
    given, truth = bags()
    # both kinds of land look the same: only the maps know where the crop lies
    given.windows.values[:] = np.random.default_rng(3).normal(0, 1, given.windows.values.shape)
    labels = noisy(truth, given.present)
    shares = torch.full((len(truth), 3, 8, 8), 0.1)
    shares.scatter_(1, torch.from_numpy(truth.astype(np.int64))[:, None], 0.8)
    asked = []

    def scores(here: slice) -> torch.Tensor:
        asked.append(here)
        return shares[here]

    right = {}
    for weight in (0.0, 1.0):
        settings = replace(QUICK, maps=weight)
        made = refined_masks(labels, given, BANDS, settings, devices.select("cpu"), seed=1, scores=scores)
        right[weight] = (made.labels == truth).mean()
        assert made.confidence.max() <= 1
    assert right[0.0] < 0.75
    assert right[1.0] > 0.95
    assert asked


def test_only_ticked_crops_win_and_nothing_lies_outside():
    given, truth = bags()
    given.inside[:, 6:] = False
    labels = np.where(given.inside, 1 - truth.clip(0, 1), -1).astype(np.int16)  # the crop that isn't ticked
    made = refined_masks(labels, given, BANDS, QUICK, devices.select("cpu"), seed=1)
    found, confidence = made.labels, made.confidence
    assert (found[:, 6:] == -1).all()
    assert (confidence[:, 6:] == 0).all()
    for own, ticks in zip(found, given.present, strict=True):
        assert set(np.unique(own[:6])) <= {int(np.flatnonzero(ticks)[0]), 2}


def with_rare_crop(given, truth, series):
    """A third crop, ticked in the first two windows only, in four pixels of each."""
    present = np.c_[given.present, np.arange(len(truth)) < 2]
    truth = np.where(truth == 2, 3, truth)
    truth[:2, 6:, 6:] = 2
    rare = given.windows.values[:2, :, :, 6:, 6:]
    rare[:] = series[None, :, :, None, None] * given.windows.valid[:2, :, None, 6:, 6:]
    given.present, given.classes = present, ("wheat", "maize", "flax")
    return given, truth


def test_rare_crop_that_looks_like_itself_is_learned():
    rng = np.random.default_rng(5)
    given, truth = with_rare_crop(*bags(), rng.normal(0, 1.5, (4, 2)))
    for least_kept in (0.0, 0.25):
        settings = replace(QUICK, rounds=3, least_kept=least_kept)
        made = refined_masks(truth, given, BANDS, settings, devices.select("cpu"), seed=1)
        assert (made.labels[:2, 6:, 6:] == 2).mean() > 0.7
        assert not made.kept.any()


def test_rare_crop_that_the_network_would_lose_keeps_its_pixels():
    given, truth = bags()
    # it looks like the land around it: the network can't tell it from background
    other = given.windows.values[:2, :, :, 6:, 6:].mean((0, 3, 4))
    given, truth = with_rare_crop(given, truth, other)
    made = {}
    for least_kept in (0.0, 0.25):
        settings = replace(QUICK, evenness=0.0, least_kept=least_kept)
        made[least_kept] = refined_masks(truth, given, BANDS, settings, devices.select("cpu"), seed=1)
    assert (made[0.0].labels == 2).sum() < 2
    assert not made[0.0].kept.any()
    assert (made[0.25].labels[:2, 6:, 6:] == 2).all()
    np.testing.assert_array_equal(made[0.25].kept, truth == 2)
    # the guard touches no other crop
    elsewhere = ~made[0.25].kept
    assert (made[0.25].labels[elsewhere] == truth[elsewhere]).mean() > 0.9


def test_series_on_common_days():
    given, _ = bags(n=2)
    given.windows.valid[0, :, 0, 0] = False
    given.windows.valid[0, :, 0, 1] = [False, False, True, False]
    given.windows.values[0, :, :, 0, 0] = 0
    found = daily_series(given, BANDS, 3)
    assert found.shape == (2, 8, 8, 6)
    assert torch.equal(found[0, 0, 0], torch.zeros(6, dtype=torch.float16))  # never clear
    only = (given.windows.values[0, 2, :, 0, 1] - [0.2, 0.4]) / [0.1, 0.2]
    np.testing.assert_allclose(found[0, 0, 1].float().view(3, 2), np.tile(only, (3, 1)), rtol=2e-3)
    # a clear date on the day itself weighs more than its neighbours: close to the weighted mean by hand
    weights = np.exp(-(((20 - DAYS) / 20) ** 2) / 2) * given.windows.valid[1, :, 3, 3]
    mean = (weights[:, None] * given.windows.values[1, :, :, 3, 3]).sum(0) / weights.sum()
    np.testing.assert_allclose(
        found[1, 3, 3].float().view(3, 2)[1], (mean - [0.2, 0.4]) / [0.1, 0.2], rtol=5e-3, atol=5e-3
    )


def test_it_can_be_stopped():
    given, truth = bags()
    ctx = JobContext()
    ctx.cancel()
    with pytest.raises(Cancelled):
        refined_masks(truth, given, BANDS, QUICK, devices.select("cpu"), seed=1, progress=ctx.progress)
