"""BiConvGRU gives the published numbers; dates that a window lacks."""

import pytest
import torch
from golden import EVAL, load

from sits_engine.models.segmentation.biconvgru import BiConvGRU, ConvGRU
from sits_engine.models.segmentation.published import from_published
from sits_engine.models.segmentation.segmenter import Segmenter, used_dates


def network(seed=0, **changes):
    torch.manual_seed(seed)
    sizes = {"n_bands": 3, "n_classes": 5, "n_dates": 4, "features": 4, "hidden": 6, **changes}
    return BiConvGRU(**sizes).eval()


def inputs(*, batch=3, dates=4, bands=3, size=6, seed=0):
    torch.manual_seed(seed)
    positions = torch.arange(dates).mul(40).expand(batch, -1)
    return torch.randn(batch, dates, bands, size, size), positions, torch.ones(batch, dates, dtype=torch.bool)


def test_golden():
    golden = load("biconvgru")
    hyper, state = from_published("biconvgru", golden["state_dict"], golden["config"])
    module = BiConvGRU(**hyper).eval()
    module.load_state_dict(state)
    lengths = golden["inputs"]["seq_lengths"]

    def side(name):
        stack = golden["inputs"][name].permute(0, 1, 4, 2, 3)
        x, used = used_dates(stack, torch.arange(stack.shape[1]) < lengths[:, None])
        return module.inconv(x), used

    # The file reverses the series before the end is cut off, so each direction gets its own input here.
    assert not torch.equal(lengths, lengths.max().expand_as(lengths))
    with torch.no_grad():
        both = torch.cat([module.ahead(*side("forward")), module.back(*side("backward"))], 1)
        logits = module.classify(both)
    torch.testing.assert_close(logits, golden["outputs"]["log_probs"], **EVAL)
    full = golden["inputs"]["forward"][:1].permute(0, 1, 4, 2, 3)
    with torch.no_grad():
        own = module.classify(module.encode(full, torch.ones(full.shape[:2], dtype=torch.bool)))
    torch.testing.assert_close(own, golden["outputs"]["log_probs"][:1], **EVAL)


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_shapes(scale):
    module = network(scale=scale)
    assert isinstance(module, Segmenter)
    embedding = module.embed(*inputs())
    assert embedding.shape == (3, module.embedding_channels, 6 * scale, 6 * scale)
    logits = module.classify(embedding)
    assert logits.shape == (3, 5, 6 * scale, 6 * scale)
    torch.testing.assert_close(module(*inputs()), logits)
    logits.square().sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in module.parameters())


def test_padded_dates_change_nothing():
    module = network()
    images, positions, mask = inputs()
    mask[0, 2:] = False
    mask[1, 1] = False
    with torch.no_grad():
        mixed = module(images, positions, mask)
        torch.testing.assert_close(mixed[:1], module(images[:1, :2], positions[:1, :2], mask[:1, :2]))
        kept = [0, 2, 3]
        torch.testing.assert_close(
            mixed[1:2], module(images[1:2, kept], positions[1:2, kept], mask[1:2, kept])
        )
        rubbish = torch.where(mask[:, :, None, None, None], images, 9.0)
        torch.testing.assert_close(module(rubbish, positions, mask), mixed)
        assert torch.isfinite(module(images, positions, mask & False)).all()


def test_published_form_gives_log_probabilities():
    own, reference = network(), network(reference=True)
    with torch.no_grad():
        torch.testing.assert_close(
            reference(*inputs()).exp().sum(1), torch.ones(3, 6, 6), atol=1e-5, rtol=1e-5
        )
        torch.testing.assert_close(reference(*inputs()), own(*inputs()).log_softmax(1))


def test_wrong_numbers_are_refused():
    with pytest.raises(ValueError, match="at least 1"):
        network(hidden=0)


def test_backwards_is_forwards_on_the_reversed_series():
    module = network()
    images, _, mask = inputs(bands=4)
    mask[0, 3] = False
    x, used = used_dates(images, mask)
    y, reversed_used = used_dates(images.flip(1), mask.flip(1))
    with torch.no_grad():
        torch.testing.assert_close(
            module.back(module.inconv(x), used, backwards=True), module.back(module.inconv(y), reversed_used)
        )


@pytest.mark.parametrize("backwards", [False, True])
def test_the_form_for_export_takes_what_a_window_has(backwards):
    torch.manual_seed(0)
    x = torch.randn(3, 4, 5, 6, 7)
    used = torch.tensor([[True, True, False, True], [False, True, True, True], [False] * 4])
    unit = ConvGRU(5, 6).eval()
    with torch.no_grad():
        wanted = unit(x.transpose(0, 1)[used.T], used.T, backwards=backwards)
        torch.testing.assert_close(unit.last_of_all(x, used, backwards=backwards), wanted)
