from __future__ import annotations

import golden
import numpy as np
import pytest
import torch
from models.timesenclip.test_encoder import published
from support.photo_series import satellite_encoder

from sits_engine.learning.timesenclip.masking import (
    MEDIAN,
    QUARTER,
    RANDOM,
    WHOLE,
    Draw,
    batchwise,
    draw,
    masked,
)
from sits_engine.models.timesenclip.steps import YEAR

NOTHING = torch.ones(5, 12, dtype=torch.bool)


def dropped(start):
    keep = NOTHING.clone()
    keep[:, start : start + 3] = False
    return keep


@pytest.mark.parametrize(
    ("name", "kind", "keep"),
    [
        ("train_full", WHOLE, NOTHING),
        ("train_median", MEDIAN, NOTHING),
        ("train_drop_start0", QUARTER, dropped(0)),
        ("train_drop_start5", QUARTER, dropped(5)),
        ("train_drop_start9", QUARTER, dropped(9)),
    ],
)
def test_branches_of_training_are_the_published_ones(name, kind, keep) -> None:
    data, module = published()
    chance = Draw(torch.full((5,), kind), keep)
    with torch.no_grad():
        out = module.encode(*batchwise(module, data["inputs"]["x"], NOTHING, chance))
    torch.testing.assert_close(out, data["outputs"][name], **golden.EVAL)
    if kind != MEDIAN:
        # by place: months stay where they are, hidden instead of cut out
        with torch.no_grad():
            own = module(*masked(data["inputs"]["x"], NOTHING, chance))
        torch.testing.assert_close(own, data["outputs"][name], **golden.EVAL)


def test_the_median_of_training_is_the_one_of_inference() -> None:
    module = satellite_encoder()
    images = torch.rand(5, 12, 3, 1, 1)
    used = torch.rand(5, 12) < 0.6
    used[:, 7] = True
    shown, positions, mask = masked(images, used, Draw(torch.full((5,), MEDIAN), NOTHING))
    assert positions[:, 0].tolist() == [YEAR] * 5
    assert mask.sum(1).tolist() == [1] * 5
    for i in range(5):
        torch.testing.assert_close(shown[i, 0], images[i, used[i]].median(0).values)
    with torch.no_grad():
        torch.testing.assert_close(
            module(shown, positions, mask), module(shown[:, :1], module.months_of(1).expand(5, -1))
        )


def test_each_place_draws_for_itself() -> None:
    chance = draw("mixed", 4000, 3, np.random.default_rng(0))
    shares = [float((chance.kind == kind).float().mean()) for kind in (WHOLE, MEDIAN, QUARTER, RANDOM)]
    assert shares == pytest.approx([0.5, 0.25, 0.25, 0], abs=0.03)
    quarters = chance.keep[chance.kind == QUARTER]
    assert set(quarters.sum(1).tolist()) == {9}
    starts = (~quarters).int().argmax(1)
    assert set(starts.tolist()) == set(range(10))  # 0 and 9 as well
    assert bool(chance.keep[chance.kind != QUARTER].all())
    everything = draw("all", 6000, 3, np.random.default_rng(0))
    shares = [float((everything.kind == kind).float().mean()) for kind in (WHOLE, MEDIAN, QUARTER, RANDOM)]
    assert shares == pytest.approx([1 / 2, 1 / 6, 1 / 6, 1 / 6], abs=0.03)
    assert set(everything.keep[everything.kind == RANDOM].sum(1).tolist()) == set(range(1, 12))
    assert set(draw("none", 50, 3, np.random.default_rng(0)).kind.tolist()) == {WHOLE}


def test_bands_are_hidden_as_zeros_and_the_first_three_never() -> None:
    chance = draw("spectral", 3000, 10, np.random.default_rng(0))
    assert chance.bands is not None
    assert set(chance.kind.tolist()) == {RANDOM}
    assert bool(chance.bands[:, :3].all())
    kept = chance.bands.sum(1)
    assert set(kept.tolist()) == set(range(3, 11))
    assert float((kept == 10).float().mean()) == pytest.approx(0.3 + 0.7 / 8, abs=0.03)
    images = torch.rand(3000, 12, 10, 1, 1) + 0.1
    shown = masked(images, torch.ones(3000, 12, dtype=torch.bool), chance)[0]
    assert torch.equal((shown > 0).all(1)[..., 0, 0], chance.bands)


def test_a_place_that_would_lose_all_its_months_stays_whole() -> None:
    used = torch.zeros(5, 12, dtype=torch.bool)
    used[:, 6] = True
    mask = masked(torch.rand(5, 12, 3, 1, 1), used, Draw(torch.full((5,), QUARTER), dropped(5)))[2]
    assert torch.equal(mask, used)
