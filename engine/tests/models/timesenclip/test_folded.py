from __future__ import annotations

import pytest
import torch
from support.photo_series import satellite_encoder

from sits_engine.models import dense
from sits_engine.models.timesenclip.folded import encode, fold

TOLERANCE = {"atol": 2e-5, "rtol": 1e-4}


def both(module, steps=12, masked=True, n=7):
    torch.manual_seed(3)
    images = torch.rand(n, steps, module.n_bands, module.context, module.context)
    mask = torch.rand(n, steps) < 0.6 if masked else None
    if mask is not None:
        mask[:, 0] = True
    months = module.months_of(12)[:steps] if steps not in (4, 1) else module.months_of(steps)
    with torch.no_grad():
        plain = module(images, months.expand(n, -1), mask)
        fast = encode(fold(module, months), images.flatten(2), mask)
    return plain, fast


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("steps", [12, 7, 4, 1])
def test_the_same_numbers(steps, masked) -> None:
    # 3 heads of (3 bands + 13 tokens) are fewer than 96: the first layer is multiplied out
    module = satellite_encoder(dim=96)
    assert fold(module, module.months_of(12)).first is not None
    torch.testing.assert_close(*both(module, steps, masked), **TOLERANCE)


@pytest.mark.parametrize(
    "changes",
    [
        {"context": 5},
        {"depth": 1},
        {"depth": 2, "dim": 96},
        {"activation": "gelu", "head": "mlp", "dim": 96},
        {"dim": 96, "reference": True},
    ],
)
def test_every_form_of_the_network(changes) -> None:
    torch.testing.assert_close(*both(satellite_encoder(**changes)), **TOLERANCE)


def test_without_the_operator_of_onednn_and_in_half_precision(monkeypatch) -> None:
    module = satellite_encoder(dim=96)
    monkeypatch.setattr(dense, "onednn_works", lambda: False)
    plain, fast = both(module)
    torch.testing.assert_close(plain, fast, **TOLERANCE)
    # types fit together as on a card, where products are made in bfloat16
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = both(module)[1].float()
    cosine = torch.nn.functional.cosine_similarity(half, plain)
    assert float(cosine.min()) > 0.999
