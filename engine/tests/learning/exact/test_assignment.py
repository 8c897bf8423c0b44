"""Sinkhorn for all classes at once, and the draws from its plan."""

import pytest
import torch

from sits_engine.learning.exact.assignment import assign, sinkhorn


def plainly(scores, epsilon=0.05, iterations=3):
    """One class, (n, m), as the specification says it."""
    plan = (scores.double() / epsilon).exp().T
    plan = plan / plan.sum()
    for _ in range(iterations):
        plan = plan / plan.sum(1, keepdim=True) / plan.shape[0]
        plan = plan / plan.sum(0, keepdim=True) / plan.shape[1]
    return (plan * plan.shape[1]).T.float()


def test_classes_with_different_numbers_of_pixels():
    torch.manual_seed(0)
    scores = torch.rand(4, 30, 3) * 2 - 1
    mask = torch.rand(4, 30) > 0.6
    mask[2] = False
    plan = sinkhorn(scores, mask)
    for k in (0, 1, 3):
        torch.testing.assert_close(plan[k][mask[k]], plainly(scores[k][mask[k]]), atol=1e-5, rtol=1e-4)
    assert (plan[~mask] == 0).all()
    torch.testing.assert_close(plan.sum(-1), mask.float())


def test_each_prototype_gets_a_share():
    # All pixels are closer to the first prototype; plain assignment would leave nothing to the second.
    torch.manual_seed(0)
    scores = torch.stack([torch.rand(200) * 0.2 + 0.6, torch.rand(200) * 0.2], 1)
    share = assign(sinkhorn(scores)).float().mean()
    assert scores.argmax(1).sum() == 0
    assert 0.4 < share < 0.6


def test_long_prototypes_do_not_overflow():
    plan = sinkhorn(torch.tensor([[40.0, -40.0], [30.0, -50.0], [-60.0, 60.0]]))
    assert torch.isfinite(plan).all()
    torch.testing.assert_close(plan.sum(-1), torch.ones(3))
    assert assign(plan).tolist()[2] == 1


def test_the_draw_is_seeded_and_nearly_a_coin():
    plan = torch.tensor([[0.9, 0.1]]).expand(20_000, 2)
    first, again = (assign(plan, "gumbel", torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first, again)
    # softmax(0.9, 0.1)
    assert float(first.float().mean()) == pytest.approx(0.31, abs=0.01)
    assert assign(plan).sum() == 0
    with pytest.raises(ValueError, match="draw"):
        assign(plan, "dice")
