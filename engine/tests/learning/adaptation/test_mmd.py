import pytest
import torch
from golden import EVAL, load

from sits_engine.learning.adaptation.mmd import ALPHAS, mmd_loss


@pytest.fixture(scope="module")
def golden():
    return load("timematch_losses")


def test_published_linear_loss_and_gradients(golden):
    source, target = (golden["inputs"][name].clone().requires_grad_() for name in ("f_s", "f_t"))
    loss = mmd_loss(source, target)
    loss.backward()
    expected = golden["outputs"]
    torch.testing.assert_close(loss.detach(), expected["mmd_linear"], **EVAL)
    torch.testing.assert_close(source.grad, expected["mmd_linear_grad_f_s"], atol=1e-7, rtol=1e-4)
    torch.testing.assert_close(target.grad, expected["mmd_linear_grad_f_t"], atol=1e-7, rtol=1e-4)


def test_published_quadratic_loss(golden):
    given = golden["inputs"]
    loss = mmd_loss(given["f_s"], given["f_t"], linear=False)
    torch.testing.assert_close(loss, golden["outputs"]["mmd_quadratic"], **EVAL)
    assert tuple(golden["config"]["mmd_alphas"]) == ALPHAS


@pytest.mark.parametrize("linear", [True, False])
def test_grows_with_the_distance_of_the_regions(linear):
    torch.manual_seed(0)
    source, target = torch.randn(2, 64, 8)
    near, far = (mmd_loss(source, target + move, linear=linear).item() for move in (0.0, 2.0))
    assert far > near + 0.5


@pytest.mark.parametrize("linear", [True, False])
def test_finite_where_all_features_are_equal(linear):
    source, target = (torch.ones(4, 3, requires_grad=True) for _ in range(2))
    loss = mmd_loss(source, target, linear=linear)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(source.grad).all()


@pytest.mark.parametrize(("n", "m"), [(4, 3), (1, 1)])
def test_sizes(n, m):
    with pytest.raises(ValueError, match="MMD needs two batches"):
        mmd_loss(torch.zeros(n, 2), torch.zeros(m, 2))
