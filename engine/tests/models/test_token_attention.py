"""Attention among few tokens: compiled and PyTorch's form give what soft-max and products give."""

import pytest
import torch

from sits_engine.models import token_attention
from sits_engine.models.token_attention import attention


@pytest.fixture(params=["plain", "compiled"])
def used(request, monkeypatch):
    """Whether the compiled function was called."""
    calls = []
    if request.param == "plain":
        monkeypatch.setattr(token_attention, "load", lambda: None)
    else:
        function, lanes = token_attention.load()
        monkeypatch.setattr(
            token_attention, "load", lambda: (lambda *given: calls.append(1) or function(*given), lanes)
        )
    yield calls
    assert bool(calls) == (request.param == "compiled")


def plain(query, key, value, hidden=None, scale=None):
    scores = query @ key.transpose(2, 3) * (query.shape[-1] ** -0.5 if scale is None else scale)
    if hidden is not None:
        scores = scores.masked_fill(hidden[:, None, None], -torch.inf)
    return (torch.softmax(scores, -1) @ value).transpose(1, 2)


@pytest.mark.parametrize("tokens", [1, 2, 13, 16, 33, 144])
@pytest.mark.parametrize("queries", [1, 5, 27])
def test_gives_what_soft_max_and_products_give(used, tokens, queries):
    torch.manual_seed(0)
    query = torch.randn(3, 4, queries, 24) * 3
    key, value = torch.randn(3, 4, tokens, 24), torch.randn(3, 4, tokens, 48)
    found = attention(query, key, value)
    assert found.shape == (3, queries, 4, 48)
    assert found.is_contiguous()
    torch.testing.assert_close(found, plain(query, key, value))


def test_hidden_tokens_count_for_nothing(used):
    torch.manual_seed(0)
    query, key, value = torch.randn(6, 2, 20, 8), torch.randn(6, 2, 20, 8), torch.randn(6, 2, 20, 16)
    hidden = torch.rand(6, 20) < 0.6
    hidden[:, 3] = False
    hidden[0, :] = True
    hidden[0, 7] = False
    key[hidden[:, None].expand(-1, 2, -1)] = 1e4
    value[hidden[:, None].expand(-1, 2, -1)] = 1e4
    found = attention(query, key, value, hidden, 0.2)
    torch.testing.assert_close(found, plain(query, key, value, hidden, 0.2))


def test_parts_of_larger_tensors_and_heads_that_share_rows(used):
    torch.manual_seed(0)
    both = torch.randn(4, 11, 3, 2, 16)
    query, key, value = both.permute(2, 0, 3, 1, 4)
    torch.testing.assert_close(attention(query, key, value), plain(query, key, value))
    shared = torch.randn(4, 11, 32).unsqueeze(1)
    expected = plain(query, key, shared.expand(-1, 2, -1, -1))
    torch.testing.assert_close(attention(query, key, shared), expected)
    turned = torch.randn(4, 2, 16, 11).transpose(2, 3)  # numbers of a row lie apart
    torch.testing.assert_close(attention(query, turned, value), plain(query, turned, value))


def test_a_query_far_from_all_keys_still_sums_to_one(used):
    query, key = torch.full((1, 1, 1, 8), 50.0), torch.full((1, 1, 5, 8), -50.0)
    found = attention(query, key, torch.ones(1, 1, 5, 16))
    torch.testing.assert_close(found, torch.ones(1, 1, 1, 16))


def test_training_half_precision_and_odd_widths_are_pytorchs(monkeypatch):
    monkeypatch.setattr(token_attention, "_compute", lambda *given: pytest.fail("compiled form used"))
    torch.manual_seed(0)
    query, key, value = (torch.randn(2, 2, 5, 16, requires_grad=True) for _ in range(3))
    attention(query, key, value).sum().backward()
    assert query.grad is not None
    with torch.no_grad():
        attention(*(one.bfloat16() for one in (query, key, value)))
        attention(query, key, value[..., :7])
        many = torch.randn(1, 1, token_attention.MOST_TOKENS + 1, 16)
        attention(query[:1, :1], many, many)
