"""UNet3D and UNet3Df give the published numbers; any number of dates; up-sampling."""

import pytest
import torch
from golden import EVAL, load
from procedural import weights

from sits_engine.models.segmentation.published import from_published, similarity_from_published
from sits_engine.models.segmentation.segmenter import Segmenter, with_day
from sits_engine.models.segmentation.similarity import SimilarityHead
from sits_engine.models.segmentation.unet3d import PooledConv, UNet3D, UNet3Df

FULL = {"atol": 1e-4, "rtol": 1e-4}
CLASSES = {"unet3d": UNet3D, "unet3df": UNet3Df}


def published(architecture, golden):
    state = golden.get("state_dict") or weights(golden)
    hyper, state = from_published(architecture, state, golden["config"])
    module = CLASSES[architecture](**hyper)
    missing, unexpected = module.load_state_dict(state, strict=False)
    assert not unexpected
    # A network of stage 0 comes without its class head.
    assert set(missing) <= {"head.weight", "head.bias"}
    assert bool(missing) == (golden["config"].get("train_stage") == 0)
    return module.eval()


def inputs(*, batch=2, dates=8, bands=3, height=8, width=12, seed=0):
    torch.manual_seed(seed)
    positions = torch.arange(dates).mul(30).expand(batch, -1)
    return (
        torch.randn(batch, dates, bands, height, width),
        positions,
        torch.ones(batch, dates, dtype=torch.bool),
    )


def stack_of(golden):
    return golden["inputs"]["x"].permute(0, 1, 4, 2, 3)


def test_unet3d_golden():
    golden = load("unet3d_full_proc")
    module = published("unet3d", golden)
    assert sum(p.numel() for p in module.parameters()) == golden["n_trainable"]
    with torch.no_grad():
        logits = module.classify(module.encode(stack_of(golden)))
    torch.testing.assert_close(logits, golden["outputs"]["logits"], **FULL)


def test_unet3df_golden():
    golden = load("unet3df_full_proc")
    module = published("unet3df", golden)
    assert sum(p.numel() for p in module.parameters()) == golden["n_trainable"]
    with torch.no_grad():
        embedding = module.encode(stack_of(golden))
        logits = module.classify(embedding)
    torch.testing.assert_close(embedding, golden["outputs"]["embedding"], **FULL)
    torch.testing.assert_close(logits, golden["outputs"]["logits"], **FULL)


def test_unet3df_golden_narrow_with_class_head():
    golden = load("unet3df_stage2_mag1")
    module = published("unet3df", golden)
    with torch.no_grad():
        embedding = module.encode(stack_of(golden))
        logits = module.classify(embedding)
    torch.testing.assert_close(embedding, golden["outputs"]["embedding"], **EVAL)
    torch.testing.assert_close(logits, golden["outputs"]["out"], **EVAL)


@pytest.mark.parametrize("magnification", [1, 4])
def test_unet3df_golden_similarity(magnification):
    golden = load(f"unet3df_stage0_mag{magnification}")
    module = published("unet3df", golden)
    assert module.scale == magnification
    head = SimilarityHead(module.embedding_channels, golden["config"]["attn_channels"])
    head.load_state_dict(similarity_from_published(golden["state_dict"]))
    with torch.no_grad():
        embedding = module.encode(stack_of(golden))
        similarity = head(embedding)
    if magnification == 1:
        torch.testing.assert_close(embedding, golden["outputs"]["embedding"], **EVAL)
    torch.testing.assert_close(similarity, golden["outputs"]["out"], **EVAL)


def test_pooled_convolution_is_the_convolution_then_the_weighted_sum():
    torch.manual_seed(0)
    layer = PooledConv(3, 4, 5)
    x = torch.randn(2, 3, 5, 6, 7, requires_grad=True)
    plain = layer.dates(layer.conv(x).permute(0, 1, 3, 4, 2)).squeeze(-1)
    wanted = torch.autograd.grad(plain.square().sum(), [x, *layer.parameters()])
    own = layer.convolve(layer.pool(x))
    torch.testing.assert_close(own, plain)
    found = torch.autograd.grad(own.square().sum(), [x, *layer.parameters()])
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("network", [UNet3D, UNet3Df])
@pytest.mark.parametrize("scale", [1, 2, 4])
def test_shapes(network, scale):
    module = network(n_bands=3, n_classes=5, n_dates=8, scale=scale, features=2).eval()
    assert isinstance(module, Segmenter)
    embedding = module.embed(*inputs())
    assert embedding.shape == (2, module.embedding_channels, 8 * scale, 12 * scale)
    assert module.classify(embedding).shape == (2, 5, 8 * scale, 12 * scale)
    torch.testing.assert_close(module(*inputs()), module.classify(embedding))


@pytest.mark.parametrize("network", [UNet3D, UNet3Df])
def test_dates_that_are_no_multiple_of_four_and_fewer_than_the_network_was_made_for(network):
    module = network(n_bands=3, n_classes=2, n_dates=6, features=2).eval()
    images, positions, mask = inputs(dates=6)
    mask[:, 4:] = False
    short = module(images[:, :4], positions[:, :4], mask[:, :4])
    torch.testing.assert_close(module(images, positions, mask), short)
    with pytest.raises(ValueError, match="at most 6 dates"):
        module(*inputs(dates=7))


def test_the_day_matters_and_is_zero_where_the_date_is_padding():
    images, positions, mask = inputs(dates=4)
    mask[1, 3] = False
    stack = with_day(images, positions, mask)
    torch.testing.assert_close(stack[0, :, -1, 0, 0], positions[0] / 365.0001)
    assert stack[1, 3].abs().max() == 0
    module = UNet3D(n_bands=3, n_classes=2, n_dates=4, features=2).eval()
    assert (module(images, positions, mask) - module(images, positions - 60, mask)).abs().max() > 1e-6


@pytest.mark.parametrize(
    ("change", "words"),
    [({"bands": 4}, "images must be"), ({"height": 6}, "multiples of 4")],
)
def test_wrong_windows_are_refused(change, words):
    module = UNet3D(n_bands=3, n_classes=2, n_dates=8, features=2)
    with pytest.raises(ValueError, match=words):
        module(*inputs(**change))


def test_wrong_numbers_are_refused():
    with pytest.raises(ValueError, match="scale 3"):
        UNet3Df(n_bands=3, n_classes=2, n_dates=8, scale=3)
    with pytest.raises(ValueError, match="at least one band"):
        UNet3Df(n_bands=0, n_classes=2, n_dates=8)
