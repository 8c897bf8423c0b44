"""mlp1 and pooling of a training step in C++, against PyTorch's operators in double precision."""

from itertools import pairwise

import pytest
import torch

from sits_engine.models import compiled, packed, pixel_stage
from sits_engine.models.layers import blocks
from sits_engine.models.pixel_training import Pixels, plan, pooled_features
from sits_engine.models.shared_norm import shared_statistics


@pytest.fixture
def library() -> packed.Library:
    found = packed.load()
    assert found is not None
    return found


def batch(n: int = 7, dates: int = 4, size: int = 70) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Sets of 1 to `size` pixels, clouded here and there; the first pairs and others have no pixel."""
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randn(n, dates, size, 5, generator=generator).transpose(2, 3)
    mask = torch.rand(n, dates, size, generator=generator) < 0.8
    mask[2, :, 1:] = False
    mask[3, :, 9:] = False
    mask[0, :2] = mask[5, 1] = mask[6, -1] = False
    dates_used = torch.ones(n, dates, dtype=torch.bool)
    dates_used[4, 2] = dates_used[1, 0] = False
    return pixels, mask, dates_used


def layers(widths: tuple[int, ...]) -> list[tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(2)
    return [
        (torch.randn(b, a, generator=generator) / a**0.5, torch.randn(b, generator=generator) / 4)
        for a, b in pairwise(widths)
    ]


def by_pair(pixels: Pixels, pooled: torch.Tensor) -> torch.Tensor:
    """Rows sorted by their number in (B T): the two forms order them differently."""
    return pooled[pixels.order.argsort()]


@pytest.mark.parametrize("rows", [16, 8192])
@pytest.mark.parametrize("widths", [(5, 32), (5, 32, 64), (5, 64, 32, 96)])
@pytest.mark.parametrize("kind", ["full", "dates", "pixels"])
def test_the_same_as_pytorchs_operators(library, monkeypatch, rows, widths, kind) -> None:
    monkeypatch.setattr(packed, "ROWS", rows)
    pixels, mask, dates = batch()
    if kind != "pixels":
        mask = torch.ones_like(mask)
    used = None if kind == "full" else dates
    fast = packed.pack(library, pixels, mask, used)
    slow = pixel_stage.plan(pixels.double(), mask, used)
    assert fast.count == slow.count
    folded = layers(widths)
    wide = [(w.double(), b.double()) for w, b in folded]
    for k in range(len(folded) + 1):
        for found, expected in zip(fast.moments(folded[:k]), slow.moments(wide[:k]), strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-2)
    pooled, expected = fast.pool(folded), slow.pool(wide)
    torch.testing.assert_close(by_pair(fast, pooled), by_pair(slow, expected).float(), rtol=1e-4, atol=1e-5)
    generator = torch.Generator().manual_seed(3)
    grad = torch.randn(pixels.shape[0] * pixels.shape[1], 2 * widths[-1], generator=generator)
    symmetric, (constant, *_) = torch.randn(2, widths[-1], widths[-1], generator=generator)
    symmetric = symmetric + symmetric.T
    pairs = [
        *zip(
            fast.gradients_of_pooled(folded, pooled, grad[fast.order]),
            slow.gradients_of_pooled(wide, expected, grad[slow.order].double()),
            strict=True,
        ),
        *zip(
            fast.gradients_of_outputs(folded, symmetric, constant),
            slow.gradients_of_outputs(wide, symmetric.double(), constant.double()),
            strict=True,
        ),
    ]
    for one, other in pairs:
        for a, b in zip(one, other, strict=True):
            assert a.shape == b.shape
            assert (a - b).norm() < 1e-4 * b.norm()


def step(pixels: torch.Tensor, mask: torch.Tensor, total=None) -> list[torch.Tensor]:
    """Features and all gradients of mlp1 for a loss that is no sum over pixels."""
    torch.manual_seed(0)
    mlp1 = blocks([pixels.shape[2], 32, 64]).train()
    chosen = plan([32, 64], pixels, mask, None)
    assert isinstance(chosen, packed.Packed)
    with shared_statistics(mlp1, total):
        features = pooled_features(list(mlp1), chosen)
        features.square().mean().backward()
    return [features.detach(), *(p.grad for p in mlp1.parameters())]


def test_bit_by_bit_the_same_on_any_number_of_threads(monkeypatch) -> None:
    monkeypatch.setattr(packed, "ROWS", 64)
    pixels, mask, _ = batch()
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.append(step(pixels, mask))
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


def test_statistics_are_those_of_all_processes() -> None:
    """Two processes with the same batch: all sums double, and each gets the gradients of one alone."""
    pixels, mask, _ = batch()
    asked = []

    def twice(own: torch.Tensor) -> torch.Tensor:
        asked.append(len(own))
        return 2 * own

    for a, b in zip(step(pixels, mask), step(pixels, mask, twice), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)
    assert asked == [1 + 5 + 25, 1 + 32 + 32**2, 32 + 32**2]


def test_equal_pixels_have_finite_gradients() -> None:
    pixels, mask, _ = batch()
    pixels = pixels[..., :1].expand(-1, -1, -1, 70)
    assert all(bool(t.isfinite().all()) for t in step(pixels, torch.ones_like(mask)))


def test_nothing_to_compute(library) -> None:
    pixels, mask, _ = batch()
    chosen = packed.pack(library, pixels, torch.zeros_like(mask), None)
    assert chosen.count == 0
    assert bool((chosen.pool(layers((5, 32)))[:, :32] == 0).all())
    for weight, bias in chosen.gradients_of_pooled(
        layers((5, 32)), torch.ones(len(chosen.order), 64), torch.ones(len(chosen.order), 64)
    ):
        assert not weight.any()
        assert not bias.any()


@pytest.mark.parametrize(("widths", "kind"), [([32, 60], torch.float32), ([32, 64], torch.float64)])
def test_other_widths_and_numbers_are_left_to_pytorch(widths, kind) -> None:
    pixels, mask, dates = batch()
    found = plan(widths, pixels.to(kind), mask, dates)
    assert isinstance(found, pixel_stage.Groups)


def test_the_published_statistics_of_padded_sets_are_left_to_pytorch() -> None:
    pixels, mask, _ = batch()
    assert isinstance(plan([32, 64], pixels, mask, None, padded_statistics=True), pixel_stage.Groups)
    full = torch.ones_like(mask)
    assert isinstance(plan([32, 64], pixels, full, None, padded_statistics=True), packed.Packed)


def test_a_library_with_wrong_numbers_is_not_used(library) -> None:
    def wrong(*given: object) -> None:
        library.pool(*given[:7], 1.0, given[8])  # another floor under the variance

    with torch.inference_mode():  # the trial needs gradients, whoever asks first
        assert packed._right(library)
    assert not packed._right(packed.Library(library.block, library.moments, wrong, library.gradients))


def test_without_a_compiler(monkeypatch) -> None:
    monkeypatch.setattr(compiled, "compilers", list)
    assert packed.load.__wrapped__() is None
