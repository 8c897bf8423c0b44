"""Attention under many shifts at once against attention with the dates moved."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from networks import network

from sits_engine.learning.adaptation import shifted_attention
from sits_engine.learning.adaptation.shifted_attention import ShiftedAttention
from sits_engine.models import folded as form

SHIFTS = torch.tensor([-60, -7, 0, 1, 33])


def made(scale=1.0, **changes):
    """Multiplied-out network whose scores lie `scale` times as far apart."""
    module = network(**changes)
    folded = form.fold(module, torch.zeros(module.n_bands), torch.ones(module.n_bands))
    return replace(folded, score=(folded.score[0] * scale, folded.score[1]))


def given(n, width, dates=9):
    """Sequences, calendars of each set's own, and dates that count (none of set 2)."""
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.random((n, dates, width), dtype=np.float32))
    positions = np.sort(rng.permuted(np.tile(np.arange(-20, 340), (n, 1)), axis=1)[:, :dates], 1)
    valid = torch.from_numpy(rng.random((n, dates)) < 0.7)
    valid[:, 1], valid[2] = True, False
    return x, positions.astype(np.int32), valid


def direct(folded, x, positions, valid):
    """(n, D, K), one shift after the other."""
    width = x.shape[2]
    out = []
    for days in SHIFTS + folded.shift:
        dates = form.encode_positions(torch.from_numpy(positions).T + days, width)
        out.append(form.logits(folded, x.transpose(0, 1).clone(), dates, valid.T))
    return torch.stack(out, 1)


@pytest.mark.parametrize("changes", [{}, {"width": "standard"}, {"shift": 12}])
# at 1 the sums of products are far above the limit, at 200 products of float32 vanish
@pytest.mark.parametrize("scale", [1.0, 200.0])
def test_equal_to_attention_with_moved_dates(scale, changes):
    folded = made(scale, **changes)
    x, positions, valid = given(6, folded.score[0].shape[1])
    found = ShiftedAttention(folded, positions, SHIFTS).logits(x, torch.from_numpy(positions).float(), valid)
    seen = valid.any(1)
    torch.testing.assert_close(
        found[seen], direct(folded, x, positions, valid)[seen], atol=2e-5 * scale, rtol=0
    )
    assert torch.isfinite(found).all()
    torch.testing.assert_close(found[2], found[2, :1].expand(5, -1))


def test_both_ways_of_weighing_agree(monkeypatch):
    folded = made()
    x, positions, valid = given(6, folded.score[0].shape[1])
    attention = ShiftedAttention(folded, positions, SHIFTS)
    days = torch.from_numpy(positions).float()
    products = attention.logits(x, days, valid)
    place = torch.searchsorted(attention._days, days)
    own, _, _ = attention._weights(x, place, valid)
    assert len(own.unique()) > 2
    # a limit that no sum reaches: every batch is weighed after adding
    monkeypatch.setattr(shifted_attention, "SMALLEST_SUM", 1.0)
    monkeypatch.setattr(attention, "_factors", attention._factors * 1e-6)
    own, _, total = attention._weights(x, place, valid)
    assert own.unique().tolist() == [0, 1]
    assert total.unique().tolist() == [1]
    torch.testing.assert_close(attention.logits(x, days, valid), products, atol=1e-5, rtol=0)


def test_products_that_vanish_are_noticed():
    """The case of scale 200 above would give nonsense without the second way."""
    folded = made(200.0)
    x, positions, valid = given(6, folded.score[0].shape[1])
    attention = ShiftedAttention(folded, positions, SHIFTS)
    place = torch.searchsorted(attention._days, torch.from_numpy(positions).float())
    own, _, _ = attention._weights(x, place, valid)
    assert own.unique().tolist() == [0, 1]
