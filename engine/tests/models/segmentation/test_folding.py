"""What maps are made with gives the same numbers as the network that was trained."""

import copy

import pytest
import torch
from support.trained_segmenters import NORMS, card_of, trained, windows
from torch import nn

from sits_engine.device import select
from sits_engine.models.registry import SEGMENTERS
from sits_engine.models.segment_inference import SegmentPredictor
from sits_engine.models.segmentation.folding import folded


@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize("name", list(SEGMENTERS))
def test_folded_networks_give_the_same_numbers_and_the_trained_one_stays(name, scale):
    module, _ = trained(name, scale)
    before = copy.deepcopy(module.state_dict())
    given = windows()
    with torch.no_grad():
        expected = module(*given)
        other = folded(module)
        found = other(*given)
    assert expected.std() > 0.005
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
    assert not any(isinstance(part, NORMS) for part in other.modules())
    for key, value in module.state_dict().items():
        assert torch.equal(value, before[key])


def test_what_has_nothing_to_fold_is_given_back():
    module, _ = trained("biconvgru")
    assert folded(module) is module
    without = nn.Sequential(nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2, track_running_stats=False)).eval()
    assert folded(without) is without


def test_norms_and_convolutions_without_parameters_of_their_own():
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(3, 4, 3, bias=False),
        nn.BatchNorm2d(4, affine=False),
        nn.ReLU(),
        nn.BatchNorm2d(4),  # follows no convolution: it stays
        nn.ConvTranspose2d(4, 5, 3, stride=2),
        nn.BatchNorm2d(5),
    )
    for part in module:
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_()
            part.running_var.uniform_(0.5, 2)
    module.eval()
    other = folded(module)
    assert [type(part) for part in other] == [nn.Conv2d, nn.ReLU, nn.BatchNorm2d, nn.ConvTranspose2d]
    x = torch.randn(2, 3, 9, 9)
    with torch.no_grad():
        torch.testing.assert_close(other(x), module(x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["unet2d_clstm", "biconvgru"])
def test_the_form_without_gradients_is_that_of_training(name):
    """Recurrent networks compute in another order where no gradient is wanted, on a processor."""
    module, _ = trained(name)
    given = windows()
    with torch.enable_grad():
        expected = module(*given)
    assert expected.requires_grad
    with torch.no_grad():
        found = module(*given)
        nothing = module(given[0] * 0, given[1], torch.zeros_like(given[2]))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    assert nothing.isfinite().all()


def test_maps_run_the_folded_network():
    module, numbers = trained("unet3d")
    predictor = SegmentPredictor(module, card_of("unet3d", numbers), select("cpu"), overlap=0)
    assert not any(isinstance(part, NORMS) for part in predictor.module.modules())
    (values,), (days,), (mask,) = (part.numpy() for part in windows(1))
    ones = torch.ones(6, 3).numpy()
    found = predictor.predict_cube(
        values, mask[:, None, None].repeat(8, 1).repeat(8, 2), ones, 0 * ones, days
    )
    with torch.no_grad():
        expected = module(*windows(1))[0].softmax(0)
    torch.testing.assert_close(torch.from_numpy(found), expected, atol=1e-5, rtol=1e-4)
