from __future__ import annotations

import numpy as np
import pytest
import torch
from networks import card as other_card
from networks import network
from support.photo_series import lonlat, satellite_card, satellite_encoder, year_series

from sits_engine.device import select
from sits_engine.errors import ModelError
from sits_engine.models import photo_inference
from sits_engine.models.model_file import save_model
from sits_engine.models.photo_inference import EmbeddingPredictor
from sits_engine.models.timesenclip import place_encoder
from sits_engine.samples.composites import cut_composites, months_of

CPU = select("cpu")
TOLERANCE = {"atol": 2e-5, "rtol": 1e-4}


def predictor(context=1, steps=12, **changes) -> EmbeddingPredictor:
    module = satellite_encoder(context=context, **changes)
    return EmbeddingPredictor(module, satellite_card(module), CPU, steps=steps)


def places(context, n=9):
    series = year_series(clear=0.3)
    rng = np.random.default_rng(1)
    rows, cols = rng.integers(0, 40, n), rng.integers(0, 50, n)
    rows[0] = cols[0] = 0
    return series, rows, cols, cut_composites(series, lonlat(series, rows, cols), series.bands, context)


@pytest.mark.parametrize("steps", [12, 4, 1])
@pytest.mark.parametrize("context", [1, 3])
@pytest.mark.parametrize("compiled", [False, True])
def test_vectors_are_those_of_the_encoder(compiled, steps, context, monkeypatch) -> None:
    calls = []
    function, tile = place_encoder.load()
    count = lambda *given: calls.append(given) or function(*given)  # noqa: E731
    monkeypatch.setattr(place_encoder, "load", lambda: (count, tile) if compiled else None)
    wide = {"feedforward": 24}
    run = predictor(context, steps, **wide)
    composites = places(context)[3]
    found = run.embed(composites)
    assert bool(calls) == compiled
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    module = satellite_encoder(context=context, **wide)
    for i in range(len(composites)):
        # one place at a time, the months that it has: nothing to hide
        mean = torch.tensor([0.0, 0.01, 0.02])[:, None, None]
        std = torch.tensor([0.4, 0.45, 0.5])[:, None, None]
        months = np.flatnonzero(composites.valid[i])
        x = ((torch.from_numpy(composites.values[i]) - mean) / std).clamp(0, 1)
        if steps == 12:
            images, at = x[months], torch.from_numpy(months)
        elif steps == 4:
            groups = [g for g in range(4) if (months // 3 == g).any()]
            images = torch.stack([x[months[months // 3 == g]].median(0).values for g in groups])
            at = torch.tensor(groups) + 12
        else:
            images, at = x[months].median(0, keepdim=True).values, torch.tensor([16])
        with torch.no_grad():
            expected = torch.nn.functional.normalize(module(images[None], at[None]), dim=1)
        np.testing.assert_allclose(found[i], expected[0].numpy(), **TOLERANCE)


@pytest.mark.parametrize("context", [1, 5])
def test_a_tile_is_what_its_places_are(context, monkeypatch) -> None:
    monkeypatch.setattr(photo_inference, "CHUNK", 7 * 50)
    run = predictor(context)
    run.batch = 64
    series, rows, cols, composites = places(context)
    weights = torch.randn(16, 4, generator=torch.Generator().manual_seed(0))
    whole = series.read(series.grid.whole, series.bands)
    tile = run.predict_cube(
        whole.values, whole.valid, whole.scale, whole.offset, months_of(series.dates), lambda v: v @ weights
    )
    assert tile.shape == (4, 40, 50)
    at = composites.rows
    expected = run.embed(composites) @ weights.numpy()
    np.testing.assert_allclose(tile[:, rows[at], cols[at]].T, expected, **TOLERANCE)


def test_a_margin_gives_the_context_of_the_neighbours() -> None:
    run = predictor(3)
    series = year_series(clear=0.7)
    whole = series.read(series.grid.whole, series.bands)
    given = (whole.scale, whole.offset, months_of(series.dates), lambda v: v[:, :2])
    full = run.predict_cube(whole.values, whole.valid, *given)
    margin = 2
    part = np.s_[..., 10 - margin : 20 + margin, 5 - margin : 17 + margin]
    tile = run.predict_cube(whole.values[part], whole.valid[part], *given, margin=margin)
    np.testing.assert_allclose(tile, full[:, 10:20, 5:17], **TOLERANCE)
    bare = run.predict_cube(whole.values[..., 10:20, 5:17], whole.valid[..., 10:20, 5:17], *given)
    assert np.abs(bare - tile)[:, 0].max() > 1e-3
    np.testing.assert_allclose(bare[:, 1:-1, 1:-1], tile[:, 1:-1, 1:-1], **TOLERANCE)


def test_nothing_clear_gives_zeros() -> None:
    run = predictor()
    series = year_series(height=6, width=5)
    series.clear[:, 2, 3] = False
    cube = series.read(series.grid.whole, series.bands)
    given = (cube.scale, cube.offset, months_of(series.dates), lambda v: v[:, :3] + 9)
    tile = run.predict_cube(cube.values, cube.valid, *given)
    assert tile[:, 2, 3].tolist() == [0, 0, 0]
    assert (np.delete(tile.reshape(3, -1), 13, 1) != 0).all()
    assert not run.predict_cube(cube.values, np.zeros_like(cube.valid), *given).any()


def test_a_model_file_is_opened_and_others_are_refused(tmp_path) -> None:
    module = satellite_encoder()
    save_model(tmp_path / "a.safetensors", module, satellite_card(module))
    run = EmbeddingPredictor.open(tmp_path / "a.safetensors", CPU, steps=4)
    assert (run.steps, run.context, run.dim) == (4, 1, 16)
    assert run.scale == pytest.approx(float(module.logit_scale.detach().exp()))
    save_model(tmp_path / "b.safetensors", network(), other_card())
    with pytest.raises(ModelError, match="knows no photos"):
        EmbeddingPredictor.open(tmp_path / "b.safetensors", CPU)
