"""The fast training step gives the numbers of the plain one."""

import copy

import pytest
import torch
from networks import network

from sits_engine.models import packed, pixel_stage, pixel_training
from sits_engine.models.training_form import TrainingForm


@pytest.fixture(params=["plain", "compiled"])
def kernel(request, monkeypatch):
    """With PyTorch's operators, and with the C++ file (which takes float32)."""
    if request.param == "plain":
        monkeypatch.setattr(packed, "load", lambda: None)
    else:
        assert packed.load() is not None


def batch(kind, n=6, dates=5, bands=3, pixels=9):
    torch.manual_seed(3)
    values = torch.randn(n, dates, pixels, bands).transpose(2, 3)
    mask = torch.ones(n, dates, pixels, dtype=torch.bool)
    if kind == "padded":
        sizes = torch.tensor([9, 1, 4, 9, 2, 7])
        mask &= (torch.arange(pixels) < sizes[:, None])[:, None]
    if kind == "clouds":
        mask = torch.rand(n, dates, pixels) < 0.6
        mask[:, 2, :] = False
        mask[1, 0] = False
        mask[4, :, 1:] = False
        mask[3] = False
    positions = torch.randint(-30, 330, (n, dates)).float().sort(1).values
    return values, mask, positions


def one_step(run, module, given):
    torch.manual_seed(5)
    logits = run(*given)
    loss = (torch.softmax(logits, -1) * torch.arange(1.0, logits.shape[1] + 1)).square().sum()
    loss.backward()
    return logits.detach(), {name: p.grad for name, p in module.named_parameters()}, module.state_dict()


@pytest.mark.parametrize("rows", [8, 64, 100_000])
@pytest.mark.parametrize("kind", ["full", "padded", "clouds"])
@pytest.mark.parametrize("options", [{}, {"reference": True}, {"mlp1": [8, 8, 8], "mlp2": [16, 16]}])
def test_equal_to_the_plain_form(monkeypatch, rows, kind, options):
    """In double precision, where rounding can't hide a mistake and nothing can be blamed on it."""
    monkeypatch.setattr(pixel_stage, "ROWS_CPU", rows)
    plain = network(attention_dropout=0.0, dropout=0.0, **options).double().train()
    fast = copy.deepcopy(plain)
    values, *rest = batch(kind)
    given = (values.double(), *rest)
    expected = one_step(plain, plain, given)
    found = one_step(TrainingForm(fast), fast, given)
    torch.testing.assert_close(found[0], expected[0], atol=1e-9, rtol=1e-9)
    for kept, wanted in ((found[1], expected[1]), (found[2], expected[2])):
        for name, value in wanted.items():
            torch.testing.assert_close(
                kept[name], value, atol=1e-8, rtol=1e-7, msg=lambda text, n=name: f"{n}: {text}"
            )
    assert max(g.abs().max() for g in found[1].values()) > 1e-2


@pytest.mark.parametrize("kind", ["full", "padded", "clouds"])
@pytest.mark.parametrize("reference", [False, True])
def test_equal_to_the_plain_form_in_single_precision(kernel, kind, reference):
    plain = network(attention_dropout=0.0, dropout=0.0, reference=reference, width="standard").train()
    with torch.no_grad():
        plain.decoder[-1].weight.div_(5)
    fast = copy.deepcopy(plain)
    given = batch(kind, n=40 if kind == "full" else 6, pixels=64 if kind == "full" else 9)
    expected = one_step(plain, plain, given)
    found = one_step(TrainingForm(fast), fast, given)
    torch.testing.assert_close(found[0], expected[0], atol=1e-4, rtol=1e-4)
    for name, value in expected[1].items():
        # Rounding shows in proportion to the largest entry of a gradient, not to each entry.
        error = (found[1][name] - value).norm() / value.norm().clamp(min=1e-2)
        assert error < 1e-3, name
    for name, value in expected[2].items():
        torch.testing.assert_close(found[2][name], value, atol=1e-5, rtol=1e-4)


def test_the_same_on_several_threads_and_twice(kernel, monkeypatch):
    monkeypatch.setattr(pixel_stage, "ROWS_CPU", 16)
    monkeypatch.setattr(packed, "ROWS", 16)
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 2):
            torch.set_num_threads(threads)
            module = network().train()
            results.append(one_step(TrainingForm(module), module, batch("clouds")))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert torch.equal(results[1][0], results[2][0])
    for name, gradient in results[1][1].items():
        assert torch.equal(gradient, results[2][1][name])
        # PyTorch's own layers behind the pooling round in another way on more threads.
        error = (gradient - results[0][1][name]).norm() / gradient.norm().clamp(min=1e-2)
        assert error < 1e-4, name


def test_without_onednn_the_plain_operators_work(monkeypatch):
    expected = network().train()
    module = copy.deepcopy(expected)
    wanted = one_step(TrainingForm(expected), expected, batch("padded"))
    monkeypatch.setattr("sits_engine.models.dense.onednn_works", lambda: False)
    found = one_step(TrainingForm(module), module, batch("padded"))
    torch.testing.assert_close(found[0], wanted[0], atol=1e-5, rtol=1e-5)


def test_dates_that_are_hidden_though_all_pixels_are_clear():
    plain = network(attention_dropout=0.0, dropout=0.0).double().train()
    fast = copy.deepcopy(plain)
    values, mask, positions = batch("full")
    date_mask = torch.rand(positions.shape) < 0.5
    given = values.double(), mask, positions, date_mask
    # The plain form takes hidden dates out of the pixels' statistics by their mask.
    expected = plain(values.double(), mask & date_mask.unsqueeze(2), positions, date_mask)
    torch.testing.assert_close(TrainingForm(fast)(*given), expected, atol=1e-9, rtol=1e-9)


def test_eval_mode_and_other_networks_run_as_they_are():
    module = network()
    given = batch("padded")
    assert torch.equal(TrainingForm(module)(*given), module(*given))
    other = torch.nn.Linear(2, 2)
    other.forward = lambda *inputs: len(inputs)
    assert TrainingForm(other)(*given) == 4


def test_a_gradient_check_of_the_pixel_stage_in_double():
    module = network().double().train()
    given = batch("clouds")
    blocks = list(module.spatial_encoder.mlp1)
    groups = pixel_training.plan([32, 32], given[0].double(), given[1], given[1].any(-1))
    parameters = [blocks[0].linear.weight, blocks[0].norm.weight, blocks[1].linear.weight]

    def run(*_):
        return pixel_training.pooled_features(blocks, groups)

    assert torch.autograd.gradcheck(run, parameters, atol=1e-5, rtol=1e-3, fast_mode=True)


@pytest.mark.parametrize("kind", ["full", "clouds"])
def test_features_and_a_built_in_shift_are_those_of_the_plain_form(kind):
    plain = network(attention_dropout=0.0, dropout=0.0, shift=-17).double().train()
    fast = copy.deepcopy(plain)
    values, mask, positions = batch(kind)
    expected = plain.features(values.double(), mask, positions)[0]
    form = TrainingForm(fast)
    found = form.features(values.double(), mask, positions)
    torch.testing.assert_close(found, expected, atol=1e-9, rtol=1e-9)
    # the same as an unshifted network on moved dates
    other = network(attention_dropout=0.0, dropout=0.0).double().train()
    moved = TrainingForm(other).features(values.double(), mask, positions - 17)
    torch.testing.assert_close(found, moved, atol=1e-9, rtol=1e-9)
    torch.testing.assert_close(fast.classify(found), plain.classify(expected), atol=1e-9, rtol=1e-9)
    fast.eval()
    plain.eval()
    torch.testing.assert_close(
        form.features(values.double(), mask, positions), plain.features(values.double(), mask, positions)[0]
    )


def test_features_of_another_network_are_refused():
    with pytest.raises(TypeError, match="Linear has no features"):
        TrainingForm(torch.nn.Linear(2, 2)).features(torch.zeros(1), torch.zeros(1), torch.zeros(1))
