from __future__ import annotations

import pytest
import torch

from sits_engine.learning.segmentation.recipes import FLOOR, Recipe, recipe


def test_published_stairs():
    before, after = (recipe("unet3df", stage, published=True) for stage in ("pretrain", "finetune"))
    assert [before.rate(step, 10, 50) for step in (0, 9, 10, 25)] == pytest.approx(
        [1e-4, 1e-4, 0.975e-4, 0.975**2 * 1e-4]
    )
    assert [after.rate(step, 10, 50) for step in (0, 19, 20, 45)] == pytest.approx(
        [1e-4, 1e-4, 0.975e-4, 0.975**2 * 1e-4]
    )
    assert isinstance(after.optimizer([torch.nn.Parameter(torch.zeros(1))]), torch.optim.Adam)


def test_cosine_with_warm_up():
    rates = [recipe("tsvit", "finetune", published=True).rate(step, 10, 10) for step in range(100)]
    assert rates[0] == pytest.approx(1e-8)
    assert rates[10] == max(rates) == 1e-3
    assert rates[:11] == sorted(rates[:11])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] == pytest.approx(FLOOR)
    optimizer = recipe("tsvit", "finetune", published=True).optimizer([torch.nn.Parameter(torch.zeros(1))])
    assert isinstance(optimizer, torch.optim.AdamW)
    assert optimizer.defaults["weight_decay"] == 0


def test_default_of_short_runs_and_own_rate():
    ours = recipe("unet2d_clstm", "pretrain", published=False)
    assert max(ours.rate(step, 5, 8) for step in range(40)) == 1e-3
    assert recipe("unet3d", "finetune", published=False, rate=2e-4).rate(5, 10, 10) == 2e-4
    assert Recipe(1e-3, "cosine", warm_up=0).rate(0, 1, 1) == 1e-3
