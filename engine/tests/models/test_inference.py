"""The fast forms of prediction give the probabilities of the plain network."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from networks import card, network, pixel_sets

from sits_engine.device import Device
from sits_engine.models import compiled, inference, pixel_kernel, set_pooling
from sits_engine.models.inference import Predictor
from sits_engine.models.model_file import save_model

CPU = Device(torch.device("cpu"), "CPU")


@pytest.fixture(autouse=True)
def no_compiler(monkeypatch):
    """PyTorch's operators; the compiled form has tests of its own (test_pixel_kernel)."""
    monkeypatch.setattr(pixel_kernel, "kernel_of", lambda folded: None)


def pixels(n=50, dates=6, bands=3, clear=0.6, dtype=np.uint16):
    rng = np.random.default_rng(0)
    valid = rng.random((dates, n)) < clear
    valid[:, 3] = False
    valid[:, 4] = True
    values = (rng.integers(0, 4000, (dates, bands, n)) * valid[:, None]).astype(dtype)
    scale = rng.uniform(1e-4, 2e-4, (dates, bands)).astype(np.float32)
    offset = rng.uniform(-0.1, 0, (dates, bands)).astype(np.float32)
    return values, valid, scale, offset, np.arange(dates, dtype=np.int32) * 20 - 30


def expected(module, description, physical, mask, positions):
    """Plain network, one set at a time: physical (T, C, S), mask (T, S)."""
    mean = torch.tensor([b.mean for b in description.bands])[:, None]
    std = torch.tensor([b.std for b in description.bands])[:, None]
    x = (torch.from_numpy(physical) - mean) / std
    ok = torch.from_numpy(mask)
    with torch.no_grad():
        logits = module(x[None], ok[None], torch.from_numpy(positions).float()[None])
    return torch.softmax(logits[0] / description.temperature, -1).numpy()


@pytest.mark.parametrize("width", ["small", "standard"])
@pytest.mark.parametrize(
    ("mask_dates", "reference"), [(True, False), (False, False), (False, True), (True, True)]
)
def test_pixels(width, mask_dates, reference):
    module = network(width=width, reference=reference)
    description = card(width=width, mask_dates=mask_dates, temperature=1.7, reference=reference)
    predictor = Predictor(module, description, CPU)
    predictor.batch_pixels = 16
    values, valid, scale, offset, positions = pixels()
    found = predictor.predict_pixels(values, valid, scale, offset, positions)
    physical = (values.astype(np.float32) * scale[..., None] + offset[..., None]) * valid[:, None]
    seen = valid if mask_dates and not reference else np.ones_like(valid)
    for i in range(values.shape[2]):
        if valid[:, i].any():
            wanted = expected(module, description, physical[..., i : i + 1], seen[:, i : i + 1], positions)
            np.testing.assert_allclose(found[i], wanted, atol=1e-5)
        else:
            assert (found[i] == 0).all()
    assert found.shape == (50, 4)
    assert found.std(0).max() > 0.02


def test_pixels_in_one_batch_or_many_and_of_floats_with_nan():
    predictor = Predictor(network(), card(), CPU)
    values, valid, scale, offset, positions = pixels(dtype=np.float32)
    whole = predictor.predict_pixels(values, valid, scale, offset, positions)
    predictor.batch_pixels = 7
    values[np.broadcast_to(~valid[:, None], values.shape)] = np.nan
    np.testing.assert_allclose(
        predictor.predict_pixels(values, valid, scale, offset, positions), whole, atol=1e-6
    )
    assert predictor.predict_pixels(values[..., :0], valid[:, :0], scale, offset, positions).shape == (0, 4)


def test_dates_on_which_a_whole_batch_is_clouded_are_skipped_without_a_trace():
    predictor = Predictor(network(), card(), CPU)
    values, valid, scale, offset, positions = pixels()
    valid[2] = False
    keep = np.arange(6) != 2
    short = predictor.predict_pixels(values[keep], valid[keep], scale[keep], offset[keep], positions[keep])
    whole = predictor.predict_pixels(values, valid, scale, offset, positions)
    np.testing.assert_allclose(whole, short, atol=1e-6)
    nothing = predictor.predict_pixels(values, np.zeros_like(valid), scale, offset, positions)
    assert (nothing == 0).all()


@pytest.mark.parametrize("regions", [1, 3])
@pytest.mark.parametrize("clear", [0.3, 2.0])
@pytest.mark.parametrize("mask_dates", [True, False])
@pytest.mark.parametrize("form", ["padded", "whole", "compiled"])
def test_sets(regions, clear, mask_dates, form, monkeypatch):
    monkeypatch.setattr(inference, "WHOLE_ROWS", 10**9 if form == "padded" else 0)
    monkeypatch.setattr(set_pooling, "mostly_partial", lambda *_: False)
    monkeypatch.setattr(compiled, "ROWS", 0 if form == "compiled" else 10**12)
    module, description = network(width="standard"), card(width="standard", mask_dates=mask_dates)
    sets = pixel_sets([1, 40, 3, 0, 12, 5, 1, 7], clear=clear, regions=regions)
    sets.valid[sets.offsets[2] : sets.offsets[3]] = False
    predictor = Predictor(module, description, CPU)
    found = predictor.predict_sets(sets)
    predictor.batch_rows = 30
    np.testing.assert_allclose(predictor.predict_sets(sets), found, atol=1e-6)
    for i in range(len(sets)):
        own = slice(*sets.offsets[i : i + 2])
        ok = sets.valid[own].T
        if not ok.any():
            assert (found[i] == 0).all()
            continue
        if not mask_dates:
            # Pixels that are never clear count as padding; the date that a region lacks does not exist.
            real = np.append(True, np.diff(sets.positions[i]) != 0)
            ok = np.broadcast_to(ok.any(0), ok.shape) & real[:, None]
        wanted = expected(module, description, sets.values[own].transpose(1, 2, 0), ok, sets.positions[i])
        np.testing.assert_allclose(found[i], wanted, atol=1e-5)


def test_a_pixel_and_a_set_of_that_pixel_agree():
    predictor = Predictor(network(), card(), CPU)
    sets = pixel_sets([1] * 9)
    values = sets.values.transpose(1, 2, 0)
    ones = np.ones(values.shape[:2], np.float32)
    found = predictor.predict_pixels(values, sets.valid.T, ones, 0 * ones, sets.positions[0])
    np.testing.assert_allclose(found, predictor.predict_sets(sets), atol=1e-6)


def test_another_network_runs_as_it_is():
    class Other(torch.nn.Module):
        def forward(self, x, mask, positions):
            count = mask.sum((1, 2)).float()
            return (
                torch.stack([count, (x * mask.unsqueeze(2)).sum((1, 2, 3)), positions.sum(1), count * 0], -1)
                * 0.01
            )

    predictor = Predictor(Other(), card(), CPU)
    sets = pixel_sets([3, 1, 2])
    for i, row in enumerate(predictor.predict_sets(sets)):
        own = slice(*sets.offsets[i : i + 2])
        wanted = expected(
            Other(), card(), sets.values[own].transpose(1, 2, 0), sets.valid[own].T, sets.positions[i]
        )
        np.testing.assert_allclose(row, wanted, atol=1e-5)


@pytest.mark.parametrize("clouds", ["none", "some", "whole dates", "all"])
def test_the_path_of_cards_gives_the_same(clouds):
    """On the processor: a device that says it is a card."""
    values, valid, scale, offset, positions = pixels(n=300)
    valid = {"none": valid | True, "some": valid, "all": valid & False}.get(clouds, valid.copy())
    if clouds == "whole dates":
        valid[1::2] = False
    wanted = Predictor(network(), card(), CPU).predict_pixels(values, valid, scale, offset, positions)
    there = Device(torch.device("cpu"), "a card")
    predictor = Predictor(network(), card(), there)
    predictor.device = SimpleNamespace(torch=there.torch, label="a card", is_cpu=False)
    predictor.batch_pixels = 64
    found = predictor.predict_pixels(values, valid, scale, offset, positions)
    np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_a_full_card_halves_the_batch_and_says_so(monkeypatch):
    said = []
    predictor = Predictor(network(), card(), CPU, notice=said.append)
    predictor.batch_pixels = 2048
    values, valid, scale, offset, positions = pixels(n=3000)
    wanted = predictor.predict_pixels(values, valid, scale, offset, positions)
    real = predictor._pixel_logits

    def crowded(numbers, *rest):
        if numbers.shape[2] > 600:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(numbers, *rest)

    monkeypatch.setattr(predictor, "_pixel_logits", crowded)
    found = predictor.predict_pixels(values, valid, scale, offset, positions)
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    assert predictor.batch_pixels == 512
    assert said == [
        "CPU: memory is full, going on with batches of 1024 instead of 2048.",
        "CPU: memory is full, going on with batches of 512 instead of 1024.",
    ]

    def hopeless(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(predictor, "_pixel_logits", hopeless)
    with pytest.raises(torch.OutOfMemoryError):
        predictor.predict_pixels(values, valid, scale, offset, positions)


def test_open_reads_a_file(tmp_path):
    save_model(tmp_path / "m.safetensors", network(), card())
    given = pixels()
    np.testing.assert_array_equal(
        Predictor.open(tmp_path / "m.safetensors", CPU).predict_pixels(*given),
        Predictor(network(), card(), CPU).predict_pixels(*given),
    )


@pytest.mark.parametrize("mask_dates", [True, False])
def test_a_built_in_shift_is_the_same_as_moved_dates(mask_dates, tmp_path):
    module, description = network(shift=-33), card(mask_dates=mask_dates, temperature=1.3, shift=-33)
    save_model(tmp_path / "shifted.safetensors", module, description)
    shifted = Predictor.open(tmp_path / "shifted.safetensors", CPU)
    plain = Predictor(network(), card(mask_dates=mask_dates, temperature=1.3), CPU)
    values, valid, scale, offset, positions = pixels()
    found = shifted.predict_pixels(values, valid, scale, offset, positions)
    wanted = plain.predict_pixels(values, valid, scale, offset, positions - 33)
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    unmoved = plain.predict_pixels(values, valid, scale, offset, positions)
    assert np.abs(unmoved - wanted).max() > 0.01
    for clear in (0.6, 1.0):
        sets = pixel_sets([1, 3, 60, 2, 17, 4], regions=2, clear=clear)
        moved = replace(sets, positions=sets.positions - np.int32(33))
        np.testing.assert_allclose(shifted.predict_sets(sets), plain.predict_sets(moved), atol=1e-6)
