import pytest
import torch
from networks import network

from sits_engine.errors import ModelError
from sits_engine.models.registry import WIDTHS, build, pseltae_hyperparameters


def batch(n=5, dates=7, bands=3, pixels=6, seed=0):
    torch.manual_seed(seed)
    mask = torch.rand(n, dates, pixels) < 0.7
    mask[:, 0, 0] = True
    positions = torch.arange(dates).float().mul(15).expand(n, -1)
    return torch.randn(n, dates, bands, pixels), mask, positions


def test_hidden_dates_don_t_matter():
    module = network()
    pixels, mask, positions = batch()
    mask[:, 3] = False
    changed, moved = pixels.clone(), positions.clone()
    changed[:, 3] = 100
    moved[:, 3] = -300
    torch.testing.assert_close(module(pixels, mask, positions), module(changed, mask, moved))
    _, attention = module.features(pixels, mask, positions)
    assert attention[:, :, 3].abs().max() == 0
    torch.testing.assert_close(attention.sum(-1), torch.ones(attention.shape[:2]))


def test_the_published_form_sees_all_dates():
    module = network(reference=True)
    pixels, mask, positions = batch()
    _, attention = module.features(pixels, mask, positions, mask.any(-1) & (positions < 40))
    assert attention.min() > 0


def test_a_sample_without_any_date_is_finite_in_value_and_gradient():
    module = network().train()
    pixels, mask, positions = batch()
    mask[2] = False
    logits = module(pixels, mask, positions)
    logits.sum().backward()
    assert torch.isfinite(logits).all()
    assert all(torch.isfinite(p.grad).all() for p in module.parameters())


def test_shifted_positions_change_the_answer():
    module = network()
    pixels, mask, positions = batch()
    moved = module(pixels, mask, positions + 30)
    assert (module(pixels, mask, positions) - moved).abs().max() > 1e-3


@pytest.mark.parametrize("width", list(WIDTHS))
def test_widths_and_their_cost(width):
    module = build("pseltae", pseltae_hyperparameters(10, 8, width=width)).eval()
    macs = 0

    def count(layer, given, out):
        nonlocal macs
        macs += out.numel() * layer.in_features

    for layer in module.modules():
        if isinstance(layer, torch.nn.Linear):
            layer.register_forward_hook(count)
    module(torch.rand(1, 24, 10, 1), torch.ones(1, 24, 1), torch.arange(24)[None])
    # Plain form: 4 MFLOP published; the small one stays below 0.8 (0.4 when multiplied out).
    assert (3.5e6 < 2 * macs < 4.5e6) if width == "standard" else (2 * macs < 0.8e6)


def test_a_network_that_is_not_known_or_can_t_be_built():
    with pytest.raises(ModelError, match="'resnet'"):
        build("resnet", {})
    with pytest.raises(ModelError, match="unexpected keyword"):
        build("pseltae", {"n_bands": 3, "n_classes": 2, "depth": 7})
    with pytest.raises(ModelError, match="multiple of n_head"):
        build("pseltae", pseltae_hyperparameters(3, 2, d_model=100))


def test_a_built_in_shift_is_the_same_as_moved_dates():
    pixels, mask, positions = batch()
    shifted = network(shift=30)
    torch.testing.assert_close(shifted(pixels, mask, positions), network()(pixels, mask, positions + 30))
    # it is a hyperparameter, not a weight: state dicts fit both
    assert shifted.state_dict().keys() == network().state_dict().keys()
