import pytest
import torch

from sits_engine.models import dense


@pytest.mark.parametrize("onednn", [True, False])
@pytest.mark.parametrize("relu", [True, False])
def test_affine(monkeypatch, onednn, relu):
    if not onednn:
        monkeypatch.setattr(dense, "onednn_works", lambda: False)
    torch.manual_seed(0)
    x, weight, bias = torch.randn(7, 3, 5), torch.randn(4, 5), torch.randn(4)
    expected = x.double() @ weight.T.double() + bias.double()
    expected = expected.relu() if relu else expected
    torch.testing.assert_close(
        dense.affine(x, weight, bias, relu=relu).double(), expected, atol=1e-5, rtol=1e-5
    )
    assert dense.affine(x.double(), weight.double()).dtype == torch.float64


def test_a_missing_operator_is_noticed(monkeypatch):
    dense.onednn_works.cache_clear()
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert dense.onednn_works() is False
    dense.onednn_works.cache_clear()
