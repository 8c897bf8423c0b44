from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from support.photo_series import paired_places

from sits_engine.context import JobContext
from sits_engine.device import select
from sits_engine.errors import Cancelled, InputError
from sits_engine.learning.timesenclip.batches import PairedPlaces
from sits_engine.learning.timesenclip.options import PhotoOptions, settle
from sits_engine.learning.timesenclip.run import train_photo_model
from sits_engine.models.model_file import load_model, save_model
from sits_engine.models.photo_inference import EmbeddingPredictor

CPU = select("cpu")
CLIP = {"name": "tiny", "fingerprint": "ab", "dim": 16, "path": "/nowhere"}
SHORT = PhotoOptions(epochs=16, batch_size=16, split="places", seed=6)


def train(pairs, options=SHORT, ctx=None):
    return train_photo_model(pairs, CLIP, options, CPU, ctx or JobContext())


@pytest.fixture(scope="module")
def made():
    pairs = paired_places(150)
    return pairs, train(pairs)


def test_partners_are_found_far_more_often_than_by_chance(made) -> None:
    report = made[1].report
    assert sum(report.counts) == 150
    assert report.counts[0] > report.counts[2] > 15
    assert set(report.steps) == {12, 4, 1}
    # a third of the places are of the same kind, and look nearly alike
    assert report.steps[12].recall[2] > 2.5 * 10 / report.counts[2]
    assert report.steps[1].n == report.counts[2]
    first, last = report.epochs[0], report.epochs[-1]
    assert last.loss < first.loss
    assert 1 <= report.best_epoch <= len(report.epochs)
    best = max(row.reciprocal for row in report.epochs)
    assert report.epochs[report.best_epoch - 1].reciprocal > 0.6 * best
    assert report.as_json()["places"]["training"] == report.counts[0]


def test_card_and_file(made, tmp_path) -> None:
    pairs, result = made
    save_model(tmp_path / "m.safetensors", result.module, result.card)
    module, card = load_model(tmp_path / "m.safetensors")
    assert card.architecture == "timesenclip"
    assert card.band_names == ["B02", "B04", "B08"]
    assert card.classes == []
    assert card.positions == [float(m) for m in range(12)]
    assert card.provenance["clip"] == CLIP
    assert card.hyperparameters["dim"] == 128
    assert 1 <= float(module.logit_scale.detach().exp()) <= 100.001
    run = EmbeddingPredictor(module, card, CPU)
    found = run.embed(pairs.composites)
    keys = np.stack([pairs.photos(np.array([i]))[0][0].mean(0) for i in range(len(pairs))])
    # images and photos of all places lie together, training ones included
    assert (found * keys).sum(1).mean() > (found * np.roll(keys, 1, 0)).sum(1).mean() + 0.1


def test_the_same_seed_gives_the_same_model(made) -> None:
    short = replace(SHORT, epochs=2)
    pairs = made[0]
    first, second = train(pairs, short), train(pairs, short)
    for name, value in first.module.state_dict().items():
        torch.testing.assert_close(value, second.module.state_dict()[name], rtol=0, atol=0)


@pytest.mark.parametrize(
    "changes",
    [
        {"published": True, "pooling": "attention", "queue": 64},
        {"masking": "spectral", "form": "paper", "split": "none"},
        {"masking": "all", "normalisation": "published", "batch_size": 8192},
    ],
)
def test_published_forms_and_other_options_train(made, changes) -> None:
    report = train(made[0], replace(SHORT, **{"epochs": 2, **changes})).report
    assert np.isfinite(report.epochs[-1].loss)
    if changes.get("split") == "none":
        assert report.steps == {}
        assert report.best_epoch == 2
        assert report.counts == (150, 0, 0)
    if changes.get("batch_size"):
        assert report.parameters["batch_size"] == report.counts[0]


def test_too_few_places_and_bands_without_constants_are_named(made) -> None:
    pairs = made[0]
    few = PairedPlaces(pairs.composites.subset(np.arange(5)), pairs.vectors, pairs.offsets[:6])
    with pytest.raises(InputError, match="Only 5 places have both a photo and a clear pixel; 20 are needed"):
        train(few)
    pairs = replace(pairs, composites=replace(pairs.composites, bands=("B02", "NDVI", "B08")))
    with pytest.raises(InputError, match="no published constants for NDVI"):
        train(pairs, replace(SHORT, normalisation="published"))


def test_it_stops_when_asked(made) -> None:
    ctx = JobContext()
    sent = []

    def send(kind, fields):
        sent.append(kind)
        if sent.count("metric") > 4:
            ctx.cancel()

    ctx._send = send
    with pytest.raises(Cancelled):
        train(made[0], ctx=ctx)


def test_settings_follow_size_and_device() -> None:
    small = settle(PhotoOptions(), 10, 1, 512, 300, on_processor=True)
    assert (small.hyperparameters["dim"], small.batch_size, small.queue) == (128, 256, 44)
    assert small.steps_per_epoch * small.epochs == 1500
    large = settle(PhotoOptions(effort="thorough"), 10, 1, 512, 140_000, on_processor=False)
    assert (large.hyperparameters["dim"], large.queue, large.learning_rate) == (512, 2048, 1e-4)
    assert (large.epochs, large.steps_per_epoch) == (200, 140_000 // 256)
    rates = [large.recipe.rate(step, 546, 200) for step in (0, 546 * 10, 546 * 200 - 1)]
    assert rates[1] == pytest.approx(1e-4)
    assert rates[0] < 1e-6 > rates[2] - 5e-6
