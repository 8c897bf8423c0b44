"""The fast answers in eval mode are those of the module."""

import numpy as np
import pytest
import torch
from networks import card, network, pixel_sets

from sits_engine.learning.transforms import Collator, Sampling
from sits_engine.models import eval_form


def batch_of(sizes, **options):
    """One batch of all sets, each with its pixels and dates as they are."""
    sets = pixel_sets(sizes, **options)
    sets.valid[sets.offsets[1] : sets.offsets[2]] = False  # a set without any date
    rule = Sampling(pixels=max(sizes), dates=None, small_share=0)
    return Collator(sets, card().bands, rule)(np.arange(len(sizes)), np.random.default_rng(0))


@pytest.mark.parametrize("sizes", [[1, 9, 4, 1, 30, 2, 17], [1] * 7, [5, 5]])
@pytest.mark.parametrize("changes", [{}, {"width": "standard", "shift": -9}, {"reference": True}])
@pytest.mark.parametrize("days", [0, -31])
def test_as_the_module(sizes, changes, days, monkeypatch):
    monkeypatch.setattr(eval_form, "SETS", 3)
    module = network(**changes).eval()
    batch = batch_of(sizes, regions=2, clear=0.5)
    before = batch.pixels.clone()
    pixels, mask, positions, date_mask = batch.inputs
    given = pixels, mask, positions + days, date_mask
    found = eval_form.logits(module, *given)
    with torch.no_grad():
        expected = module(*given)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    assert torch.equal(batch.pixels, before)
    assert not found.requires_grad


def test_changed_weights_count_at_once():
    module = network().eval()
    batch = batch_of([4, 3, 5])
    before = eval_form.logits(module, *batch.inputs)
    with torch.no_grad():
        module.decoder[-1].bias += 1
    torch.testing.assert_close(eval_form.logits(module, *batch.inputs), before + 1)


def test_another_network_is_called():
    class Sum(torch.nn.Module):
        def forward(self, pixels, pixel_mask, positions, date_mask):
            return pixels.sum((1, 2, 3)).unsqueeze(1) + positions.sum(1, keepdim=True)

    inputs = batch_of([4, 3]).inputs
    torch.testing.assert_close(eval_form.logits(Sum(), *inputs), Sum()(*inputs))
