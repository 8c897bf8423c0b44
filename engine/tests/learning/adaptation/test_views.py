"""Batches of both regions in one call, and what the steps add up to."""

import numpy as np
import pytest
import torch
from networks import card, network, pixel_sets

from sits_engine.learning.adaptation.options import AdaptOptions
from sits_engine.learning.adaptation.settings import settle
from sits_engine.learning.adaptation.views import (
    Tally,
    joined,
    strong_view,
    take,
    weak_view,
    without_padding,
)
from sits_engine.learning.transforms import Collator, Sampling


def batch(dates, seed, n=8):
    sets = pixel_sets([3, 1, 5, 4] * 2, dates=dates, seed=seed)
    sampling = Sampling(pixels=5, dates=None, small_share=0.0)
    return Collator(sets, card().bands, sampling)(np.arange(n), np.random.default_rng(seed))


@pytest.mark.parametrize("dates", [(6, 6), (6, 9), (9, 4)])
@pytest.mark.parametrize("layout", ["as drawn", "contiguous"])
def test_joined_batches_answer_as_each_alone(dates, layout):
    a, b = batch(dates[0], 1), batch(dates[1], 2)
    if layout == "contiguous":
        a.pixels = a.pixels.contiguous()
    module = network()
    both = joined(a, b)
    assert both.pixels.shape == (16, max(dates), 3, 5)
    assert torch.equal(both.labels, torch.cat([a.labels, b.labels]))
    found = module(*both.inputs)
    torch.testing.assert_close(found, torch.cat([module(*a.inputs), module(*b.inputs)]), atol=1e-5, rtol=1e-5)


def test_joining_leaves_both_as_they_were():
    a, b = batch(4, 1), batch(9, 2)
    before = [x.clone() for x in a.inputs]
    both = joined(a, b)
    both.positions += 5
    assert all(torch.equal(x, old) for x, old in zip(a.inputs, before, strict=True))


def test_take():
    whole = batch(6, 1)
    keep = torch.tensor([True, False, False, True, False, False, False, True])
    part = take(whole, keep)
    assert len(part.labels) == 3
    for x, y in zip(part.inputs, whole.inputs, strict=True):
        assert torch.equal(x, y[[0, 3, 7]])


def test_shares_count_all_target_samples_and_classes_nobody_got():
    tally = Tally(classes=[torch.tensor([0, 2, 2]), torch.tensor([2])])
    assert tally.shares(4).tolist() == [0.25, 0, 0.75, 0]


@pytest.mark.parametrize("mask_dates", [True, False])
def test_weak_and_strong_views(mask_dates):
    """Strong: some pixels, some dates, a random shift. Weak: some pixels, all dates, no shift."""
    sets = pixel_sets([3, 1, 5, 4] * 2)
    options = AdaptOptions(pixels_per_set=4, dates_per_sample=5, shift_augmentation=30)
    settings = settle(options, sets, sets)
    strong = strong_view(settings, mask_dates=mask_dates)
    weak = weak_view(settings, mask_dates=mask_dates)
    assert (strong.pixels, strong.dates, strong.shift, strong.mask_dates) == (4, 5, 30, mask_dates)
    assert (weak.pixels, weak.dates, weak.shift, weak.mask_dates) == (4, None, 0, mask_dates)
    assert weak.small_share == 0


def test_as_many_dates_as_every_set_has():
    """Sets of two regions of 6 and 7 dates, and of one of 9: nothing is left to pad."""
    a, b = pixel_sets([3, 1, 5, 4], dates=7, regions=2), pixel_sets([3, 1], dates=9)
    view = Sampling(dates=30)
    assert without_padding(view, a, b).dates == 6
    assert without_padding(view, b).dates == 9
    assert without_padding(Sampling(dates=4), a, b).dates == 4
    assert without_padding(Sampling(dates=None), b).dates == 9
