"""UNet2D-CLSTM and its recurrent batch norm give the published numbers; dates that a window lacks."""

import copy

import pytest
import torch
from golden import EVAL, load
from procedural import weights

from sits_engine.models.segmentation.conv_lstm import ConvLSTM
from sits_engine.models.segmentation.published import (
    from_published,
    similarity_from_published,
    stacked_statistics,
)
from sits_engine.models.segmentation.recurrent_norm import RecurrentNorm
from sits_engine.models.segmentation.segmenter import Segmenter
from sits_engine.models.segmentation.similarity import SimilarityHead
from sits_engine.models.segmentation.unet2d_clstm import UNet2DCLSTM

FULL = {"atol": 1e-4, "rtol": 1e-4}


def network(seed=0, **changes):
    torch.manual_seed(seed)
    sizes = {"n_bands": 3, "n_classes": 5, "n_dates": 4, "features": 2, **changes}
    return UNet2DCLSTM(**sizes)


def inputs(*, batch=3, dates=4, bands=3, size=8, seed=0):
    torch.manual_seed(seed)
    positions = torch.arange(dates).mul(40).expand(batch, -1)
    return torch.randn(batch, dates, bands, size, size), positions, torch.ones(batch, dates, dtype=torch.bool)


def published(golden):
    state = weights(golden)
    hyper, own = from_published("unet2d_clstm", state, golden["config"])
    module = UNet2DCLSTM(**hyper).eval()
    module.load_state_dict(own)
    stack = golden["inputs"]["x"].permute(0, 1, 4, 2, 3)
    return module, state, stack, torch.ones(stack.shape[:2], dtype=torch.bool)


def test_golden_logits():
    golden = load("unet2d_clstm_proc")
    module, _, stack, mask = published(golden)
    assert sum(p.numel() for p in module.parameters()) == golden["n_trainable"]
    with torch.no_grad():
        logits = module.classify(module.encode(stack, mask))
    torch.testing.assert_close(logits, golden["outputs"]["logits"], **FULL)


def test_golden_similarity():
    golden = load("unet2d_clstm_cscl_proc")
    module, state, stack, mask = published(golden)
    head = SimilarityHead(module.embedding_channels)
    head.load_state_dict(similarity_from_published(state))
    with torch.no_grad():
        similarity = head(module.encode(stack, mask))
    torch.testing.assert_close(similarity, golden["outputs"]["sim"], **FULL)


def lstm_of(state, config):
    own = {name.removeprefix("cell_list.0."): value for name, value in stacked_statistics(state).items()}
    lstm = ConvLSTM(config["in_ch"], config["hidden"], config["timesteps"])
    lstm.load_state_dict(own)
    return lstm, own


def test_golden_recurrent_norm():
    golden = load("convlstm_recurrent_bn")
    x = golden["inputs"]["x"]
    used = torch.ones(x.shape[1], x.shape[0], dtype=torch.bool)
    lstm, _ = lstm_of(golden["state_dict"], golden["config"])
    _, after = lstm_of(golden["state_after"], golden["config"])

    def states():
        with torch.no_grad():
            return torch.stack([s for _, _, s in lstm.steps(x.transpose(0, 1).flatten(0, 1), used)], 1)

    torch.testing.assert_close(states(), golden["outputs"]["train"], **EVAL)
    for name, value in lstm.state_dict().items():
        torch.testing.assert_close(value, after[name], **EVAL)
    lstm.eval()
    torch.testing.assert_close(states(), golden["outputs"]["eval_after_train"], **EVAL)
    mean = lstm.mean(x.transpose(0, 1).flatten(0, 1), used)
    torch.testing.assert_close(mean, golden["outputs"]["eval_after_train"].mean(1), **EVAL)


def test_each_step_has_statistics_and_later_ones_use_the_last():
    torch.manual_seed(0)
    norm = RecurrentNorm(2, 3)
    batches = [torch.randn(64, 2, 4, 4) * (step + 1) + 10 * step for step in range(3)]
    for _ in range(80):
        for step, batch in enumerate(batches):
            norm(batch, step)
    norm.eval()
    for step, batch in enumerate(batches):
        out = norm(batch, step).detach()
        assert out.mean().abs() < 0.01
        assert out.std() == pytest.approx(0.1, abs=0.005)
    torch.testing.assert_close(norm(batches[2], 7), norm(batches[2], 2))
    assert (norm(batches[2], 1) - norm(batches[2], 2)).abs().min() > 0.1


def test_reference_moves_the_statistics_as_two_runs_do():
    own, reference = network(), network(reference=True)
    reference.load_state_dict(own.state_dict())
    before = copy.deepcopy(own.lstm)
    with torch.no_grad():
        own(*inputs())
        reference(*inputs())
    once = own.lstm.input_norm.running_mean - before.input_norm.running_mean
    twice = reference.lstm.input_norm.running_mean - before.input_norm.running_mean
    assert once.abs().min() > 0
    torch.testing.assert_close(twice, 1.9 * once)


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_shapes(scale):
    module = network(scale=scale).eval()
    assert isinstance(module, Segmenter)
    embedding = module.embed(*inputs())
    assert embedding.shape == (3, module.embedding_channels, 8 * scale, 8 * scale)
    assert module.classify(embedding).shape == (3, 5, 8 * scale, 8 * scale)
    torch.testing.assert_close(module(*inputs()), module.classify(embedding))


def test_padded_dates_change_nothing():
    module = network().eval()
    images, positions, mask = inputs()
    mask[0, 2:] = False
    mask[1, 3] = False
    with torch.no_grad():
        mixed = module(images, positions, mask)
        torch.testing.assert_close(mixed[:1], module(images[:1, :2], positions[:1, :2], mask[:1, :2]))
        torch.testing.assert_close(mixed[2:], module(images[2:], positions[2:], mask[2:]))
        rubbish = torch.where(mask[:, :, None, None, None], images, 9.0)
        torch.testing.assert_close(module(rubbish, positions, mask), mixed)


def test_padded_dates_stay_out_of_the_statistics_of_training():
    torch.manual_seed(0)
    x = torch.randn(5, 16, 4, 4)
    lstm, alone = ConvLSTM(16, 16, 2), ConvLSTM(16, 16, 2)
    alone.load_state_dict(lstm.state_dict())
    with torch.no_grad():
        list(lstm.steps(x, torch.tensor([[True, True, True], [False, True, True]])))
        alone.input_norm(alone.input_conv(x[3:]), 1)
    torch.testing.assert_close(lstm.input_norm.running_mean[1], alone.input_norm.running_mean[1])
    torch.testing.assert_close(lstm.input_norm.running_var[1], alone.input_norm.running_var[1])


def test_windows_without_any_date_are_finite():
    images, positions, mask = inputs()
    mask[1] = False
    module = network().eval()
    assert torch.isfinite(module(images, positions, mask)).all()
    assert torch.isfinite(module(images, positions, mask & False)).all()


def test_gradients_reach_every_parameter():
    module = network(scale=2)
    images, positions, mask = inputs()
    mask[0, 3] = False
    module(images, positions, mask).square().sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in module.parameters())


def test_the_form_for_export_takes_what_a_window_has():
    torch.manual_seed(0)
    x = torch.randn(3, 4, 24, 5, 6)
    used = torch.tensor([[True, True, False, True], [False, True, True, True], [False] * 4])
    lstm = ConvLSTM(24, 5, 4).eval()
    for norm in (lstm.input_norm, lstm.h_norm, lstm.cell_norm):
        norm.running_mean.normal_(0, 0.3)
        norm.running_var.uniform_(0.5, 1.5)
    with torch.no_grad():
        by_date = x.transpose(0, 1)[used.T]
        torch.testing.assert_close(lstm.mean_of_all(x, used), lstm.mean(by_date, used.T))
