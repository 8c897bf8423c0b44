import pytest
import torch
import torch.nn.functional as F
from golden import EVAL, load

from sits_engine.learning.focal import focal_loss


@pytest.mark.parametrize("gamma", [0, 1, 2])
def test_golden(gamma):
    golden = load("timematch_losses")
    loss = focal_loss(golden["inputs"]["logits"], golden["inputs"]["labels"], gamma)
    torch.testing.assert_close(loss, golden["outputs"][f"focal_gamma{gamma}"], **EVAL)


def test_gamma_zero_is_cross_entropy_and_weights_count():
    logits, labels = torch.randn(6, 3), torch.tensor([0, 1, 2, 0, 1, 2])
    torch.testing.assert_close(focal_loss(logits, labels, 0), F.cross_entropy(logits, labels))
    weight = torch.tensor([1.0, 1, 1, 0, 0, 0])
    torch.testing.assert_close(focal_loss(logits, labels, 1, weight), focal_loss(logits[:3], labels[:3], 1))


def test_a_certain_sample_has_a_finite_gradient():
    logits = torch.tensor([[80.0, -80.0]], requires_grad=True)
    focal_loss(logits, torch.tensor([0]), 0.5).backward()
    assert torch.isfinite(logits.grad).all()
