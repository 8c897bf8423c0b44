"""The compiled network for single pixels gives the probabilities of the folded one."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from networks import card, network

from sits_engine.device import Device
from sits_engine.models import pixel_kernel
from sits_engine.models.inference import Predictor

CPU = Device(torch.device("cpu"), "CPU")


def pixels(n=173, dates=7, bands=3, clear=0.6, dtype=np.uint16):
    """One pixel without any date, one with all, one date clouded for all; padding around the numbers."""
    rng = np.random.default_rng(0)
    valid = rng.random((dates, n + 5)) < clear
    valid[:, 3] = False
    valid[:, 4] = True
    valid[2] = False
    values = rng.integers(0, 4000, (dates, bands + 1, n + 5)).astype(dtype)
    scale = rng.uniform(1e-4, 2e-4, (dates, bands)).astype(np.float32)
    offset = rng.uniform(-0.1, 0, (dates, bands)).astype(np.float32)
    return values[:, :bands, :n], valid[:, :n], scale, offset, np.arange(dates) * 20 - 30


def both(module, description, given):
    """Probabilities without and with the compiled form."""
    plain, fast = Predictor(module, description, CPU), Predictor(module, description, CPU)
    plain.__dict__["_pixel_kernel"] = None
    assert fast._pixel_kernel is not None
    return plain.predict_pixels(*given), fast.predict_pixels(*given)


@pytest.mark.parametrize("dtype", [np.uint16, np.int16, np.float32])
@pytest.mark.parametrize("width", ["fast", "small", "standard"])
def test_the_same_probabilities(width, dtype):
    module = network(width=width)
    given = pixels(dtype=dtype)
    plain, fast = both(module, card(width=width, temperature=1.7), given)
    np.testing.assert_allclose(fast, plain, atol=2e-5)
    assert (fast[3] == 0).all()
    np.testing.assert_allclose(np.delete(fast, 3, 0).sum(1), 1, atol=1e-5)
    assert fast.std(0).max() > 0.02


def test_widths_that_fill_no_block_a_shift_and_far_scores():
    changes = {"mlp1": (9, 5), "mlp2": (7, 11), "n_head": 3, "d_model": 18, "mlp3": (13,), "mlp4": (3,)}
    module = network(classes=6, width="fast", shift=25, **changes)
    with torch.no_grad():
        module.temporal_encoder.attention_heads.query.mul_(40)  # softmax over scores far apart
    description = card(classes=6, width="fast", shift=25, **changes)
    plain, fast = both(module, description, pixels())
    np.testing.assert_allclose(fast, plain, atol=1e-4)


def test_what_does_not_count_may_be_anything():
    given = pixels(dtype=np.float32)
    module = network(width="fast")
    wanted, _ = both(module, card(width="fast"), given)
    values = given[0].copy()
    values[np.broadcast_to(~given[1][:, None], values.shape)] = np.inf
    values[:, :, 10] = np.where(given[1][:, None, 10], values[:, :, 10], np.nan)
    fast = Predictor(module, card(width="fast"), CPU).predict_pixels(values, *given[1:])
    np.testing.assert_allclose(fast, wanted, atol=2e-5)


def test_a_pixel_has_the_same_numbers_in_whatever_company():
    """So tiles, windows and resumed maps agree to the last bit."""
    values, valid, *rest = pixels()
    predictor = Predictor(network(width="fast"), card(width="fast"), CPU)
    whole = predictor.predict_pixels(values, valid, *rest)
    for part in (slice(0, 1), slice(1, 50), slice(50, 173)):
        alone = predictor.predict_pixels(values[:, :, part], valid[:, part], *rest)
        assert (alone == whole[part]).all()
    index = np.random.default_rng(1).permutation(173)
    for chosen in (index, slice(None, None, 2)):
        found = predictor.predict_pixels(values[:, :, chosen], valid[:, chosen], *rest)
        assert (found == whole[chosen]).all()


def test_numbers_and_models_that_it_does_not_take_are_left_to_pytorch(monkeypatch):
    used = []
    monkeypatch.setattr(pixel_kernel.PixelKernel, "predict", lambda *given: used.append(1))
    values, valid, *rest = pixels()
    predictor = Predictor(network(width="fast"), card(width="fast"), CPU)
    predictor.predict_pixels(values.astype(np.int32), valid, *rest)
    Predictor(network(width="fast"), card(mask_dates=False), CPU).predict_pixels(values, valid, *rest)
    assert not used
    predictor.predict_pixels(values, valid, *rest)
    assert used


def test_no_compiler_or_a_wrong_one_leaves_the_work_to_pytorch(monkeypatch):
    folded = Predictor(network(), card(), CPU)._folded
    try:
        pixel_kernel.load.cache_clear()
        monkeypatch.setenv("CXX", "no-such-compiler")
        assert pixel_kernel.kernel_of(folded) is None
        monkeypatch.delenv("CXX")
        pixel_kernel.load.cache_clear()
        real = pixel_kernel._pack
        monkeypatch.setattr(
            pixel_kernel,
            "_pack",
            lambda *given: replace(real(*given), weights=real(*given).weights + 0.1),
        )
        assert pixel_kernel.kernel_of(folded) is None
    finally:
        pixel_kernel.load.cache_clear()


def test_a_network_too_large_for_the_cache_is_left_to_pytorch(monkeypatch):
    monkeypatch.setattr(pixel_kernel, "MOST_WEIGHTS", 100)
    assert pixel_kernel.kernel_of(Predictor(network(), card(), CPU)._folded) is None
