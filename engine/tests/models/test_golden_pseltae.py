"""The network that the jobs build gives the published numbers."""

import pytest
import torch
from golden import EVAL, GRADIENT, load

from sits_engine.learning.focal import focal_loss
from sits_engine.models.ltae import LTAE, encode_positions
from sits_engine.models.registry import build, pseltae_hyperparameters
from sits_engine.models.training_form import TrainingForm


@pytest.fixture(scope="module")
def golden():
    return load("timematch_pseltae")


def make(golden, **changes):
    config = golden["config"]
    hyper = pseltae_hyperparameters(
        config["input_dim"], config["num_classes"], reference=True, attention_dropout=0.0, dropout=0.0
    )
    assert hyper["mlp1"] == config["mlp1"][1:]
    assert hyper["mlp2"] == config["mlp2"][1:]
    assert hyper["mlp3"] == config["mlp3"][1:]
    assert hyper["mlp4"] == config["mlp4"][1:]
    assert (hyper["n_head"], hyper["d_k"], hyper["d_model"]) == (
        config["n_head"],
        config["d_k"],
        config["d_model"],
    )
    module = build("pseltae", {**hyper, **changes})
    module.load_state_dict(golden["state_dict"])
    return module


def inputs(golden):
    given = golden["inputs"]
    return given["pixels"], given["valid_pixels"], given["positions"]


def test_published_state_dict_loads_and_has_the_published_size(golden):
    module = make(golden)
    assert sum(p.numel() for p in module.parameters()) == golden["n_trainable"]
    own = set(module.state_dict())
    assert own == set(golden["state_dict"]) - {"temporal_encoder.positional_enc.weight"}


def test_position_encoding_is_the_published_table(golden):
    table = golden["state_dict"]["temporal_encoder.positional_enc.weight"]
    torch.testing.assert_close(encode_positions(torch.arange(-100, 465), 256), table, **EVAL)


def test_positions_outside_the_published_table_are_encoded():
    far = encode_positions(torch.tensor([-150.0, 500.0]), 256)
    assert torch.isfinite(far).all()
    assert (far[0] - far[1]).abs().max() > 0.1


def test_eval_mode(golden):
    module = make(golden).eval()
    expected = golden["outputs"]
    with torch.no_grad():
        spatial = module.spatial_encoder(*inputs(golden)[:2])
        features, attention = module.features(*inputs(golden))
        logits = module(*inputs(golden))
    torch.testing.assert_close(spatial, expected["spatial_feats"], **EVAL)
    torch.testing.assert_close(features, expected["temporal_feats"], **EVAL)
    torch.testing.assert_close(attention.unsqueeze(2), expected["attention"], **EVAL)
    torch.testing.assert_close(logits, expected["logits"], **EVAL)


@pytest.mark.parametrize("form", ["plain", "fast"])
def test_train_mode(golden, form):
    module = make(golden).train()
    run = module if form == "plain" else TrainingForm(module)
    expected = golden["train"]
    logits = run(*inputs(golden))
    loss = focal_loss(logits, expected["labels"], gamma=1)
    loss.backward()
    torch.testing.assert_close(logits, expected["logits"], **GRADIENT)
    torch.testing.assert_close(loss.detach(), expected["focal_loss_gamma1"], **EVAL)
    norms = {name: p.grad.norm() for name, p in module.named_parameters()}
    assert norms.keys() == expected["grad_norms"].keys()
    for name, norm in norms.items():
        wanted = torch.as_tensor(expected["grad_norms"][name])
        torch.testing.assert_close(norm, wanted, **GRADIENT, msg=lambda m, n=name: f"{n}: {m}")
    state = module.state_dict()
    for name, wanted in expected["running_after"].items():
        torch.testing.assert_close(state[name], wanted, **EVAL, msg=lambda m, n=name: f"{n}: {m}")


def test_ltae_alone():
    golden = load("timematch_ltae")
    config = golden["config"]
    module = LTAE(
        config["in_channels"],
        n_head=config["n_head"],
        d_k=config["d_k"],
        d_model=config["d_model"],
        mlp=config["n_neurons"][1:],
        reference=True,
    )
    module.load_state_dict(golden["state_dict"])
    with torch.no_grad():
        y, attention = module.eval()(golden["inputs"]["x"], golden["inputs"]["positions"])
    torch.testing.assert_close(y, golden["outputs"]["y"], **EVAL)
    torch.testing.assert_close(attention.unsqueeze(2), golden["outputs"]["attention"], **EVAL)
