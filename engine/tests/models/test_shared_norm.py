"""Shared statistics of one process alone are those of PyTorch; of two, see learning/test_distributed.py."""

import copy

import pytest
import torch
from networks import network
from torch import nn

from sits_engine.models import packed
from sits_engine.models.segmentation.conv_lstm import ConvLSTM
from sits_engine.models.segmentation.recurrent_norm import RecurrentNorm
from sits_engine.models.shared_norm import SharedBatchNorm, over_all, shared_statistics
from sits_engine.models.training_form import TrainingForm


@pytest.mark.parametrize(
    ("norm", "shape"),
    [
        (nn.BatchNorm1d(3), (20, 3)),
        (nn.BatchNorm1d(3), (6, 3, 5)),
        (nn.BatchNorm2d(3, eps=1e-3, momentum=0.3), (4, 3, 5, 6)),
        (nn.BatchNorm3d(3), (2, 3, 4, 5, 6)),
    ],
)
def test_one_process_is_pytorch(norm, shape) -> None:
    torch.manual_seed(1)
    for parameter in norm.parameters():
        nn.init.uniform_(parameter, 0.5, 1.5)
    shared = SharedBatchNorm(copy.deepcopy(norm), lambda tensor: tensor)
    for _ in range(3):
        x = torch.randn(shape) * 2 + 5
        a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
        y, z = norm(a), shared(b)
        grad = torch.randn(shape)
        y.backward(grad)
        z.backward(grad)
        assert torch.allclose(y, z, atol=1e-5)
        assert torch.allclose(a.grad, b.grad, atol=1e-5)
    assert torch.allclose(norm.weight.grad, shared.weight.grad, rtol=1e-4)
    for name, buffer in norm.named_buffers():
        assert torch.allclose(buffer, dict(shared.named_buffers())[name], rtol=1e-5)
    x = torch.randn(shape)
    assert torch.allclose(norm.eval()(x), shared.eval()(x), atol=1e-5)


def test_a_recurrent_norm_alone_is_as_ever() -> None:
    torch.manual_seed(1)
    norm, shared = RecurrentNorm(3, 2), RecurrentNorm(3, 2)
    for step in (0, 1, 1, 5):
        x = torch.randn(4, 3, 5, 6) * 2 + 1
        a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
        grad, y = torch.randn_like(x), norm(a, step)
        with shared_statistics(shared, lambda tensor: tensor):
            z = shared(b, step)
            z.backward(grad)
        y.backward(grad)
        assert torch.allclose(y, z, atol=1e-5)
        assert torch.allclose(a.grad, b.grad, atol=1e-5)
    assert torch.allclose(norm.weight.grad, shared.weight.grad, rtol=1e-4)
    for name, buffer in norm.named_buffers():
        assert torch.allclose(buffer, dict(shared.named_buffers())[name], rtol=1e-5)
    assert shared.total is None


def test_a_date_that_another_process_has_is_gone_through() -> None:
    """Else the other would wait for this one's sums: both call for as many, with gradients for as many."""
    calls = []

    def total(tensor):
        calls.append(tensor)
        return tensor + 1 if tensor.dtype == torch.int64 else tensor

    torch.manual_seed(1)
    layer = ConvLSTM(2, 3, 4)
    used = torch.tensor([[True, True], [False, True], [False, False], [False, False]])
    x = torch.rand(3, 2, 4, 4)
    expected = layer.mean(x, used)
    with shared_statistics(layer, total):
        found = layer.mean(x, used)
        assert len(calls) == 1 + 3 * 4
        found.sum().backward()
        assert len(calls) == 1 + 2 * 3 * 4
    assert torch.allclose(found, expected, atol=1e-5)
    assert all(p.grad.isfinite().all() for p in layer.parameters())
    assert all(value.isfinite().all() for value in layer.state_dict().values())


def test_two_halves_have_the_statistics_of_the_whole() -> None:
    """The other process is played by its sums, which are known."""
    whole = torch.randn(10, 3) * 0.1 + 1000
    halves = whole[:4], whole[4:]

    def sums(x):
        return torch.cat([torch.tensor([float(len(x))]), x.sum(0), x.square().sum(0)]).double()

    other = sums(halves[1].double())
    norm = SharedBatchNorm(nn.BatchNorm1d(3), lambda tensor: tensor + other)
    own = halves[0]
    count, mean, variance = over_all(norm, torch.tensor(4), own.mean(0), own.var(0, correction=0))
    assert float(count) == 10
    assert torch.allclose(mean, whole.mean(0))
    assert torch.allclose(variance, whole.var(0, correction=0), rtol=1e-2)


@pytest.mark.parametrize("compiled", [True, False])
def test_a_share_without_any_clear_date_takes_part(compiled, monkeypatch) -> None:
    if not compiled:
        monkeypatch.setattr(packed, "possible", lambda *given: False)
    module = network().train()
    with shared_statistics(module, lambda tensor: tensor.clone()):
        nothing = torch.zeros(3, 6, 4, dtype=torch.bool)
        logits = TrainingForm(module)(
            torch.rand(3, 6, 3, 4), nothing, torch.arange(6.0).repeat(3, 1), nothing.any(2)
        )
        logits.sum().backward()
    assert logits.shape == (3, 4)
    assert all(p.grad is None or p.grad.isfinite().all() for p in module.parameters())
    assert all(value.isfinite().all() for value in module.state_dict().values())


def test_the_block_leaves_the_network_as_it_was_but_trained() -> None:
    module = network()
    names = list(module.state_dict())
    parameters = list(module.parameters())
    with shared_statistics(module, lambda tensor: tensor):
        assert any(isinstance(one, SharedBatchNorm) for one in module.modules())
        assert not any(isinstance(one, nn.BatchNorm1d) for one in module.modules())
        assert list(module.state_dict()) == names
        assert all(a is b for a, b in zip(module.parameters(), parameters, strict=True))
        before = module.decoder[0].norm.running_mean.clone()
        module.train()
        module(torch.rand(6, 5, 3, 4), torch.ones(6, 5, 4), torch.arange(5.0).repeat(6, 1))
    assert not any(isinstance(one, SharedBatchNorm) for one in module.modules())
    assert module.decoder[0].norm.training
    assert not torch.equal(module.decoder[0].norm.running_mean, before)
    with shared_statistics(module, None):
        assert isinstance(module.decoder[0].norm, nn.BatchNorm1d)
