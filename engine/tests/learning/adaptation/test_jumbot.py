import math

import pytest
import torch
from golden import EVAL, load

from sits_engine.learning.adaptation.jumbot import jumbot_loss, transport_cost, transport_plan


@pytest.fixture(scope="module")
def golden():
    return load("timematch_losses")


def batch(golden):
    given = golden["inputs"]
    return given["f_s"], given["jumbot_labels_s"], given["f_t"], given["jumbot_logits_t"]


def test_published_cost(golden):
    torch.testing.assert_close(transport_cost(*batch(golden)), golden["outputs"]["jumbot_M"], **EVAL)


@pytest.mark.parametrize("reference", ["entropy", "kl"])
def test_published_plan_and_loss(golden, reference):
    expected = golden["outputs"]
    plan = transport_plan(transport_cost(*batch(golden)), reference=reference)
    torch.testing.assert_close(plan, expected[f"jumbot_pi_{reference}"], atol=1e-7, rtol=1e-3)
    assert plan.sum().item() == pytest.approx(expected[f"jumbot_mass_{reference}"].item(), abs=1e-6)
    loss = jumbot_loss(*batch(golden), reference=reference)
    assert loss.item() == pytest.approx(expected[f"jumbot_transfer_{reference}"].item(), abs=1e-6)


@pytest.mark.parametrize("largest", [0.01, 1.0, 10.0, 100.0])
def test_finite_and_optimal_up_to_large_costs(largest):
    torch.manual_seed(0)
    eps, tau = 0.01, 0.5
    cost = largest * torch.rand(12, 9)
    plan = transport_plan(cost, eps=eps, tau=tau)
    assert torch.isfinite(plan).all()
    # First-order condition of <M, P> + eps sum P (log P - 1) + tau (KL(rows | 1/n) + KL(columns | 1/m)).
    slope = cost.double() + eps * plan.log()
    slope = slope + tau * (plan.sum(1) * 12).log()[:, None] + tau * (plan.sum(0) * 9).log()
    used = plan > 1e-200
    assert used.any()
    torch.testing.assert_close(slope[used], torch.zeros_like(slope[used]), atol=1e-5, rtol=0)


def test_one_cell_has_its_closed_form():
    # eps log p + 2 tau log p + M = 0 for marginals of 1.
    plan = transport_plan(torch.tensor([[100.0]]))
    assert plan.item() == pytest.approx(math.exp(-100 / 1.01), rel=1e-4)


def test_gradient_does_not_pass_the_plan(golden):
    source, labels, target, logits = batch(golden)
    source = source.clone().requires_grad_()
    jumbot_loss(source, labels, target, logits).backward()
    plan = transport_plan(transport_cost(*batch(golden))).float()
    wanted = 0.02 * (plan.sum(1)[:, None] * source.detach() - plan @ target)
    torch.testing.assert_close(source.grad, wanted, atol=1e-6, rtol=1e-4)


def test_certainly_wrong_predictions_stay_finite():
    logits = torch.tensor([[0.0, 300.0], [300.0, 0.0]], requires_grad=True)
    loss = jumbot_loss(torch.zeros(2, 3), torch.tensor([0, 0]), torch.zeros(2, 3), logits)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(logits.grad).all()
