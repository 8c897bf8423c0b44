"""Products by oneDNN are those of PyTorch's public operators, with their gradients."""

import pytest
import torch
import torch.nn.functional as F

from sits_engine.models.segmentation import products
from sits_engine.models.segmentation.transformer import Transformer


@pytest.fixture
def small_pieces(monkeypatch):
    monkeypatch.setattr(products, "ROWS", 4)


@pytest.fixture
def without(monkeypatch):
    """As if PyTorch had no such operator."""
    monkeypatch.setattr(products, "available", lambda: False)


def numbers(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).requires_grad_()


def same(found, wanted, given):
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-4)
    # other weights for each number, so that none of them can hide behind the others
    weights = numbers(*wanted.shape, seed=9).detach()
    found, wanted = (torch.autograd.grad((y * weights).sum(), given) for y in (found, wanted))
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(5, 6), (3, 7, 6), (2, 1, 3, 6)])
def test_linear(shape, bias):
    x, weight = numbers(*shape), numbers(4, 6, seed=1)
    given = [x, weight, *([numbers(4, seed=2)] if bias else [])]
    same(products.linear(*given), F.linear(*given), given)


def test_linear_of_what_lies_apart_in_memory():
    x, weight = numbers(7, 6, 3), numbers(5, 9, seed=1)
    given = [x, weight]
    same(
        products.linear(x.transpose(1, 2)[:, :2], weight[2:, 1:7]),
        F.linear(x.mT[:, :2], weight[2:, 1:7]),
        given,
    )


def test_linear_gives_gradients_to_what_needs_them_only():
    x, weight = numbers(5, 6).detach(), numbers(4, 6, seed=1)
    products.linear(x, weight).square().sum().backward()
    assert x.grad is None
    plain = torch.autograd.grad(F.linear(x, weight).square().sum(), weight)
    torch.testing.assert_close(weight.grad, plain[0], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("rows", [1, 4, 11])
def test_mlp_in_pieces(rows, small_pieces):
    given = [numbers(*shape, seed=i) for i, shape in enumerate([(3, rows, 6), (8, 6), (8,), (5, 8), (5,)])]
    x, w1, b1, w2, b2 = given
    wanted = F.linear(F.gelu(F.linear(x, w1, b1)), w2, b2)
    same(products.mlp(x, (w1, b1), (w2, b2)), wanted, given)


def test_a_transformer_is_the_same_with_and_without(monkeypatch, small_pieces):
    torch.manual_seed(0)
    module = Transformer(8, 2, 2, 4, 16)
    given = [numbers(3, 7, 8), *module.parameters()]
    for rows in (None, 2):
        found = module(given[0], rows=rows)
        with monkeypatch.context() as patch:
            patch.setattr(products, "available", lambda: False)
            wanted = module(given[0], rows=rows)
        same(found, wanted, given)


def test_public_operators_without_it_for_other_types_and_for_nothing(without):
    x, weight, bias = numbers(5, 6), numbers(6, 6, seed=1), numbers(6, seed=2)
    assert torch.equal(products.linear(x, weight, bias), F.linear(x, weight, bias))
    found = products.mlp(x, (weight, bias), (weight, bias))
    assert torch.equal(found, F.linear(F.gelu(F.linear(x, weight, bias)), weight, bias))


def test_what_suits():
    x, weight = numbers(5, 6), numbers(4, 6)
    assert products.suits(x, weight) == products.available()
    assert not products.suits(x.double(), weight.double())
    assert not products.suits(x[:0], weight)
    with torch.autocast("cpu", torch.bfloat16):
        assert not products.suits(x, weight)


@pytest.mark.parametrize("broken", ["wrong", "missing"])
def test_an_operator_that_is_wrong_or_missing_is_not_used(monkeypatch, broken):
    def product(x, weight, bias=None, then="none"):
        if broken == "missing":
            raise AttributeError("no such operator")
        return F.linear(x, weight, bias)  # forgets GELU

    monkeypatch.setattr(products, "_product", product)
    assert not products.available.__wrapped__()
