import pytest
import torch
from golden import load

from sits_engine.learning.adaptation.reversal import coefficient, reverse


def test_published_coefficients():
    golden = load("timematch_losses")["outputs"]
    steps = golden["grl_coeff_iters"].tolist()
    assert [coefficient(step) for step in steps] == pytest.approx(golden["grl_coeff"].tolist(), abs=1e-12)


@pytest.mark.parametrize("share", [0.0, 0.03, 0.5, 1.0])
def test_shorter_runs_walk_the_same_way(share):
    assert coefficient(int(200 * share), 200) == pytest.approx(coefficient(int(10_000 * share)))


def test_alda_rises_ten_times_faster():
    assert coefficient(100, 1_000) == pytest.approx(coefficient(1_000))


def test_gradient_is_reversed_and_scaled():
    x = torch.tensor([1.0, -2.0], requires_grad=True)
    y = reverse(x, 0.25)
    assert torch.equal(y, x)
    (y * torch.tensor([2.0, 4.0])).sum().backward()
    assert x.grad.tolist() == [-0.5, -1.0]
