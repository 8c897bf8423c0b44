from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch
from support.field_windows import field_windows

from sits_engine import device
from sits_engine.context import JobContext
from sits_engine.errors import Cancelled
from sits_engine.learning.segmentation.inference import predict_windows
from sits_engine.learning.segmentation.options import SegmentOptions
from sits_engine.learning.segmentation.run import train_segmentation
from sits_engine.models.model_file import load_model, save_model
from sits_engine.models.segment_inference import SegmentPredictor

CPU = device.select("cpu")
OPTIONS = SegmentOptions(
    architecture="unet3df",
    width="small",
    effort="quick",
    min_pixels=20,
    n_dates=4,
    window=8,
    cscl=True,
    cscl_epochs=2,
    epochs=3,
    steps_per_epoch=4,
    season_year=2020,
    pixel_size=10.0,
    provenance={"series": "a"},
    seed=2,
)


def run(n=16, size=8, ctx=None, scale=1, **changes):
    windows = field_windows(n=n, size=size, dates=5, bands=3, scale=scale, field=4)
    options = dataclasses.replace(OPTIONS, **changes)
    return windows, train_segmentation(windows, options, CPU, ctx or JobContext())


def test_a_whole_run_with_pretraining(tmp_path):
    shares, lines = [], []

    def send(kind, fields):
        if kind == "progress":
            shares.append(fields["percent"])
        lines.append(fields.get("text", ""))

    windows, result = run(ctx=JobContext(send))
    report, card = result.report, result.card
    assert (len(report.pretraining), len(report.epochs)) == (2, 3)
    assert report.epochs[-1].train_loss < report.epochs[0].train_loss
    assert report.split_kind == "blocks"
    assert report.confusion.sum() == sum(row.pixels["test"] for row in report.classes) > 0
    assert report.scores["accuracy"] == pytest.approx(np.trace(report.confusion) / report.confusion.sum())
    assert [zone.zone for zone in report.zones] == ["all", "boundary", "interior"]
    assert report.zones[0].pixels == report.zones[1].pixels + report.zones[2].pixels
    assert [border.distance for border in report.borders] == [1, 2]
    assert report.scores["boundary_f1_1px"] <= report.scores["boundary_f1_2px"]
    assert report.pixel_size == 10.0
    assert "CSCL" in report.similarity_of
    assert 1 <= len(report.examples) <= 4
    example = report.examples[0]
    assert example.picture.shape == (8, 8, 3)
    assert example.truth.shape == example.found.shape == example.similarity.shape == (8, 8)
    assert np.abs(example.similarity).max() <= 1.001
    assert sum(row.parcels for row in report.classes) == len(np.unique(windows.parcels)) - 1
    json.dumps(report.as_json(), allow_nan=False)
    assert shares == sorted(shares)
    assert any("Crops of 8 pixels, 4 dates" in line for line in lines)
    # profiles of the training side, in the card as in the report
    assert card.profiles == report.profiles.as_json() == report.as_json()["profiles"]
    assert np.shape(card.profiles["mean"]) == (len(card.classes), 5, 3)
    # the card opens in the class that maps, and gives the same answer as the trained module
    assert card.temperature == report.temperature
    assert (card.hyperparameters["window"], card.hyperparameters["n_dates"]) == (8, 4)
    save_model(tmp_path / "m.safetensors", result.module, card)
    module, read = load_model(tmp_path / "m.safetensors")
    assert read.architecture == "unet3df"
    assert read.scores["per_class_iou"].keys() == {"crop 0", "crop 1", "crop 2"}
    found = predict_windows(module, read, windows.subset([3]), CPU)[0]
    ones = np.ones((5, 3), np.float32)
    mapped = SegmentPredictor(module, read, CPU).predict_cube(
        windows.values[3], windows.valid[3], ones, 0 * ones, windows.positions[3]
    )
    assert found == pytest.approx(mapped, abs=1e-4)


def test_same_seed_gives_the_same_model():
    a, b = (run(epochs=1, cscl_epochs=1, steps_per_epoch=2)[1] for _ in range(2))
    assert all(
        torch.equal(x, y)
        for x, y in zip(a.module.state_dict().values(), b.module.state_dict().values(), strict=True)
    )
    assert np.array_equal(list(a.report.scores.values()), list(b.report.scores.values()), equal_nan=True)


def test_one_image_finer_labels_and_no_pretraining():
    windows, result = run(n=1, size=32, scale=2, cscl=False, epochs=1)
    report = result.report
    assert report.split_kind == "tiles"
    assert any("too good" in note for note in report.notes)
    assert any("too good" in warning for warning in report.warnings)
    assert report.pretraining == []
    assert "embedding" in report.similarity_of
    assert report.scale == result.card.hyperparameters["scale"] == 2
    assert report.pixel_size == 5.0
    # only test pixels are counted
    assert report.confusion.sum() < (windows.labels >= 0).sum() / 2
    assert report.examples[0].truth.shape == (64, 64)


def test_tiles_with_pretraining_hide_the_other_sides():
    _, result = run(n=1, size=32, epochs=1, cscl_epochs=1, steps_per_epoch=2)
    assert result.report.parameters["cscl"]["hidden"]
    assert np.isfinite(result.report.pretraining[0].train_loss)


def test_too_little_on_the_test_side_gives_no_score(monkeypatch):
    from sits_engine.learning.segmentation import evaluate

    monkeypatch.setattr(evaluate, "enough", lambda labels: False)
    ctx = JobContext()
    _, result = run(ctx=ctx, cscl=False, epochs=1, steps_per_epoch=1)
    assert np.isnan(result.report.scores["miou"])
    assert result.report.temperature == 1.0
    assert result.report.zones == []
    assert any("no accuracy is given" in text for text in ctx.warnings)
    json.dumps(result.report.as_json(), allow_nan=False)


def test_a_speckled_map_is_warned_of(monkeypatch):
    from sits_engine.learning.segmentation import boundary

    monkeypatch.setattr(boundary, "SPECKLED", -1.0)  # any map is, then
    _, result = run(cscl=False, epochs=1, steps_per_epoch=1)
    near = result.report.borders[0]
    assert near.true > 0
    assert any("times as many border pixels as the truth" in text for text in result.report.warnings)


def test_cancelled_anywhere():
    for share in (20, 40, 90):
        ctx = JobContext()
        ctx._send = lambda kind, fields, ctx=ctx, share=share: (
            ctx.cancel() if kind == "progress" and fields["percent"] >= share else None
        )
        with pytest.raises(Cancelled):
            run(ctx=ctx, epochs=1, cscl_epochs=1, steps_per_epoch=2)


@pytest.mark.parametrize("architecture", ["tsvit", "unet3d", "unet2d_clstm", "biconvgru"])
def test_every_network_goes_through(architecture):
    _, result = run(n=14, architecture=architecture, epochs=1, cscl_epochs=1, steps_per_epoch=1, batch_size=2)
    assert np.isfinite(result.report.epochs[0].train_loss)
    assert result.card.architecture == architecture
