"""Pooling of whole sets, plain and compiled, against the plain definition."""

import shutil
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from sits_engine.models import compiled, set_pooling
from sits_engine.models.pixel_set import pool_mean_std


@pytest.fixture(params=["plain", "compiled"])
def kernel(request: pytest.FixtureRequest) -> compiled.Kernel | None:
    if request.param == "plain":
        return None
    found = compiled.load()
    assert found is not None
    return found


def layers(bands: int = 10) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    widths = [bands, 32, 64]
    return [
        (torch.randn(b, a, generator=generator) / a**0.5, torch.randn(b, generator=generator) / 4)
        for a, b in pairwise(widths)
    ]


def expected(values: np.ndarray, valid: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    found = []
    for start, end in pairwise(offsets):
        h = torch.from_numpy(values[start:end]).double()
        for weight, bias in layers():
            h = torch.relu(h @ weight.double().T + bias.double())
        mask = torch.from_numpy(valid[start:end])
        pooled = pool_mean_std(h.transpose(0, 1), mask.T)
        found.append(pooled[mask.any(0)])
    return torch.cat(found).numpy()


@pytest.mark.parametrize("clear", ["all", "dates", "pixels"])
@pytest.mark.parametrize("sizes", [(64, 64, 64), (1, 2, 7, 300, 13), (5000, 3)])
def test_the_same_as_the_definition(
    kernel: compiled.Kernel | None, sizes: tuple[int, ...], clear: str
) -> None:
    rng = np.random.default_rng(1)
    offsets = np.cumsum([0, *sizes])
    dates = 6
    values = rng.random((offsets[-1], dates, 10), dtype=np.float32)
    valid = np.ones(values.shape[:2], np.bool_)
    if clear == "dates":
        valid &= np.repeat(rng.random((len(sizes), dates)) < 0.6, sizes, 0)
    if clear == "pixels":
        valid &= rng.random(valid.shape) < 0.7
    counts = set_pooling.count(valid, offsets)
    bounds = np.stack([offsets[:-1], offsets[1:]], 1)
    with torch.no_grad():
        mean, deviation = set_pooling.pool(layers(), values, valid, bounds, counts, kernel)
    found = torch.cat([mean, deviation], 1).numpy()
    np.testing.assert_allclose(found, expected(values, valid, offsets), atol=1e-5)


def test_equal_pixels_have_no_deviation(kernel: compiled.Kernel | None) -> None:
    values = np.full((500, 3, 10), 0.3, np.float32)
    valid = np.ones((500, 3), np.bool_)
    counts = set_pooling.count(valid, np.array([0, 500]))
    with torch.no_grad():
        _, deviation = set_pooling.pool(layers(), values, valid, np.array([[0, 500]]), counts, kernel)
    assert float(deviation.max()) < 1e-5


def test_sets_in_any_order_and_empty_ones_are_left_out(kernel: compiled.Kernel | None) -> None:
    rng = np.random.default_rng(2)
    values = rng.random((30, 4, 10), dtype=np.float32)
    valid = np.ones((30, 4), np.bool_)
    offsets = np.array([0, 10, 10, 30, 30])
    counts = set_pooling.count(valid, offsets)
    assert counts.tolist() == [[10] * 4, [0] * 4, [20] * 4, [0] * 4]
    order = np.array([2, 0])
    bounds = np.stack([offsets[order], offsets[order + 1]], 1)
    with torch.no_grad():
        mean, deviation = set_pooling.pool(layers(), values, valid, bounds, counts[order], kernel)
    plain = expected(values, valid, np.array([0, 10, 30]))
    found = torch.cat([mean, deviation], 1).numpy()
    np.testing.assert_allclose(found, np.concatenate([plain[4:], plain[:4]]), atol=1e-5)


def test_compiled_only_when_it_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []
    monkeypatch.setattr(compiled, "_rows", 0)
    monkeypatch.setattr(compiled, "load", lambda: asked.append(True))
    assert compiled.kernel(1000, [32, 64]) is None
    assert not asked
    compiled.kernel(compiled.ROWS, [32, 64])
    assert asked


def test_other_widths_are_not_for_the_compiled_form(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "_rows", compiled.ROWS)
    assert compiled.kernel(1, [32, 64]) is not None
    assert compiled.kernel(1, [32, 60]) is None


def test_a_compiler_that_fails_is_no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    false = shutil.which("false")
    if false is None:
        pytest.skip("no command `false`")
    monkeypatch.setenv("CXX", false)
    assert compiled.load.__wrapped__() is None
