"""TSViT gives the published numbers in its reference form, and better ones in its own."""

import pytest
import torch
import torch.nn.functional as F
from golden import EVAL, GRADIENT, load

from sits_engine.models.segmentation.patches import cut, join, join_as_published
from sits_engine.models.segmentation.published import from_published
from sits_engine.models.segmentation.segmenter import Segmenter
from sits_engine.models.segmentation.temporal_stage import day_rows, published_day_rows
from sits_engine.models.segmentation.transformer import Transformer
from sits_engine.models.segmentation.tsvit import TSViT
from sits_engine.models.segmentation.tsvit_classifier import TSViTClassifier

SMALL = {"dim": 16, "temporal_depth": 2, "spatial_depth": 1, "heads": 2, "head_dim": 8, "mlp_ratio": 2}


def network(*, classes=3, dates=6, seed=0, **changes):
    torch.manual_seed(seed)
    return TSViT(
        **{"n_bands": 4, "n_classes": classes, "n_dates": dates, "window": 8, **SMALL, **changes}
    ).eval()


def inputs(*, batch=2, dates=6, bands=4, size=8, seed=0):
    torch.manual_seed(seed)
    positions = torch.arange(dates).mul(40).expand(batch, -1)
    return torch.randn(batch, dates, bands, size, size), positions, torch.ones(batch, dates, dtype=torch.bool)


def published_inputs(x):
    """(B, T, H, W, C) with the day as the last channel -> images, positions, mask."""
    images = x[..., :-1].permute(0, 1, 4, 2, 3)
    positions = torch.round(x[:, :, 0, 0, -1] * 365.0001).to(torch.int64)
    return images, positions, x.flatten(2).abs().amax(-1) > 0


@pytest.mark.parametrize("name", ["tsvit_dense_deepsat_p2", "tsvit_dense_deepsat_p3"])
def test_golden(name):
    golden = load(name)
    hyper, state = from_published("tsvit", golden["state_dict"], golden["config"])
    module = TSViT(**hyper)
    module.load_state_dict(state)
    given = published_inputs(golden["inputs"]["x"])
    torch.testing.assert_close(given[1].float(), golden["inputs"]["doy"])
    with torch.no_grad():
        torch.testing.assert_close(module.eval()(*given), golden["outputs"]["logits"], **EVAL)
    loss = F.cross_entropy(module.train()(*given), golden["inputs"]["target"])
    torch.testing.assert_close(loss, golden["train"]["loss"], **EVAL)
    loss.backward()
    norms = {n: p.grad.norm() for n, p in module.named_parameters()}
    wanted = from_published_names(golden["train"]["grad_norms"], golden)
    assert set(norms) == set(wanted)
    for parameter, norm in norms.items():
        torch.testing.assert_close(norm, wanted[parameter].to(norm.dtype), **GRADIENT)


def from_published_names(values, golden):
    """Numbers by published parameter name -> by ours: each fills its own tensor, and that is converted."""
    filled = {n: torch.full_like(t, float(values[n])) for n, t in golden["state_dict"].items()}
    _, state = from_published("tsvit", filled, golden["config"])
    return {n: t.flatten()[0] for n, t in state.items()}


def test_padding_is_in_the_golden_file():
    assert not published_inputs(load("tsvit_dense_deepsat_p2")["inputs"]["x"])[2].all()


def test_scene_classifier_golden():
    golden = load("tsvit_cls_deepsat")
    hyper, state = from_published("tsvit_classifier", golden["state_dict"], golden["config"])
    module = TSViTClassifier(**hyper).eval()
    module.load_state_dict(state)
    with torch.no_grad():
        logits = module(*published_inputs(golden["inputs"]["x"]))
    torch.testing.assert_close(logits, golden["outputs"]["logits"], **EVAL)


def test_published_size():
    module = TSViT(n_bands=10, n_classes=19, n_dates=60)
    assert sum(p.numel() for p in module.parameters()) == 1_657_476


@pytest.mark.parametrize("patch", [2, 3])
def test_joined_patches_are_the_image_again(patch):
    image = torch.arange(36.0 * 4).view(1, 1, 1, 12, 12)
    values = cut(image, patch).view(1, 1, -1, patch * patch)
    torch.testing.assert_close(join(values, (12, 12)), image[0])
    assert not torch.equal(join_as_published(values, (12, 12)), image[0])


def test_share_of_values_at_home_in_the_published_order():
    # Pitfalls 3.1: 8.3 % with a window of 24 and patches of 2.
    patch_of = torch.arange(144.0).view(1, 1, 144, 1).expand(1, 1, 144, 4)
    at_home = join(patch_of, (24, 24)) == join_as_published(patch_of, (24, 24))
    assert float(at_home.float().mean()) == pytest.approx(0.083, abs=0.001)


def test_a_pixel_depends_on_its_own_patch_most_unless_the_published_order_is_asked_for():
    for reference in (False, True):
        module = network(reference=reference)
        # Without attention over space only the token itself speaks.
        for layer in module.spatial.layers:
            torch.nn.init.zeros_(layer.project.weight)
        images, positions, mask = inputs(batch=1)
        images.requires_grad_()
        module(images, positions, mask)[0, :, 0, 2].sum().backward()
        seen = images.grad.abs().sum((0, 1, 2)) > 0
        own = torch.zeros(8, 8, dtype=torch.bool)
        own[0:2, 2:4] = True
        assert torch.equal(seen, own) != reference


def test_padded_dates_get_no_attention():
    module = network()
    images, positions, mask = inputs()
    mask[0, 4:] = False
    mask[1, 0] = False
    with torch.no_grad():
        whole = module(images, positions, mask)
        torch.testing.assert_close(
            whole[:1], module(images[:1, :4], positions[:1, :4], mask[:1, :4]), atol=1e-5, rtol=1e-4
        )
        changed = torch.where(mask[:, :, None, None, None], images, 7.0)
        torch.testing.assert_close(module(changed, positions, mask), whole)
        published = network(reference=True)
        assert (published(changed, positions, mask) - published(images, positions, mask)).abs().max() > 1e-3


def test_dates_that_no_window_uses_are_not_computed(monkeypatch):
    module = network()
    images, positions, mask = inputs()
    mask[:, 1] = mask[:, 4:] = False
    mask[0, 2] = False
    lengths = []
    whole = module.temporal.transformer.forward
    monkeypatch.setattr(
        module.temporal.transformer,
        "forward",
        lambda x, *a, **k: lengths.append(x.shape[1]) or whole(x, *a, **k),
    )
    with torch.no_grad():
        short = module(images, positions, mask)
        monkeypatch.setattr(module.temporal, "_seen", lambda *given: given)
        torch.testing.assert_close(short, module(images, positions, mask), atol=1e-5, rtol=1e-4)
    assert lengths == [3 + 3, 3 + 6]


def test_a_window_without_any_date_is_finite():
    images, positions, mask = inputs()
    assert torch.isfinite(network()(images, positions, mask & False)).all()


def test_the_last_layer_computes_the_wanted_rows_only_and_gives_the_same():
    torch.manual_seed(0)
    module = Transformer(8, 2, 2, 4, 16)
    x = torch.randn(3, 7, 8, requires_grad=True)
    mask = torch.rand(3, 1, 1, 7) > 0.3
    mask[..., 0] = True
    whole = module(x, mask)[:, :2]
    torch.testing.assert_close(module(x, mask, rows=2), whole)
    wanted = torch.autograd.grad(whole.square().sum(), [x, *module.parameters()])
    found = torch.autograd.grad(module(x, mask, rows=2).square().sum(), [x, *module.parameters()])
    torch.testing.assert_close(found, wanted)


def test_days_wrap_by_whole_years():
    days = torch.tensor([0, 365, 366, -1, -365, 400, 730])
    assert day_rows(days, 366).tolist() == [0, 365, 1, 364, 0, 35, 0]
    mask = torch.tensor([True, False])
    assert published_day_rows(torch.tensor([120, 120]), mask, 366).tolist() == [120, 0]


def test_published_days_are_those_of_the_table():
    table = load("misc_tables")
    found = published_day_rows(table["doy"], torch.ones(367, dtype=torch.bool), 367)
    assert torch.equal(found, table["doy_index"])


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_shapes(scale):
    module = network(scale=scale)
    assert isinstance(module, Segmenter)
    embedding = module.embed(*inputs())
    assert embedding.shape == (2, module.embedding_channels, 8 * scale, 8 * scale)
    logits = module.classify(embedding)
    assert logits.shape == (2, 3, 8 * scale, 8 * scale)
    torch.testing.assert_close(module(*inputs()), logits)
    logits.sum().backward()
    assert all(p.grad is not None for p in module.parameters())


def test_classes_of_a_super_resolution_model_do_not_mix_after_the_transformers():
    module = network(scale=2)
    embedding = module.embed(*inputs()).detach()
    changed = embedding.clone()
    changed[:, module.features : 2 * module.features] += 1
    different = (module.classify(changed) != module.classify(embedding)).flatten(2).any(-1)
    assert different.tolist() == [[False, True, False]] * 2


def test_other_window_sizes_and_fewer_dates():
    module = network()
    images, positions, mask = inputs(size=12, dates=3)
    assert module(images, positions, mask).shape == (2, 3, 12, 12)
    assert module(images[..., :8, :6], positions, mask).shape == (2, 3, 8, 6)
    with pytest.raises(ValueError, match="multiples of 2"):
        module(images[..., :7], positions, mask)


def test_wrong_numbers_are_refused():
    with pytest.raises(ValueError, match="multiple of the patch"):
        network(window=9)
    with pytest.raises(ValueError, match="at least 1"):
        network(heads=0)


def fields(n, seed):
    """Windows of 8 x 8 pixels with a slanted border between two crops, and which crop a pixel has."""
    generator = torch.Generator().manual_seed(seed)
    slope, offset = torch.randn(2, n, 1, 1, generator=generator)
    line = torch.arange(8.0) - 3.5
    labels = (line[:, None] * slope + line + 2 * offset > 0).long()
    images = torch.randn(n, 3, 2, 8, 8, generator=generator) * 0.3
    images[:, 1, 0] += labels * 2.0 - 1
    positions = torch.tensor([60, 150, 240]).expand(n, -1)
    return (images, positions, torch.ones(n, 3, dtype=torch.bool)), labels


def test_the_correct_inverse_learns_better_than_the_published_order():
    scores = {}
    for reference in (False, True):
        module = network(reference=reference, classes=2, dates=3, n_bands=2, temporal_depth=1).train()
        optimizer = torch.optim.Adam(module.parameters(), lr=3e-3)
        for step in range(60):
            given, labels = fields(16, seed=step)
            loss = F.cross_entropy(module(*given), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        given, labels = fields(64, seed=10_000)
        with torch.no_grad():
            scores[reference] = float((module.eval()(*given).argmax(1) == labels).float().mean())
    assert scores[False] > 0.9
    assert scores[False] > scores[True]


@pytest.mark.parametrize("reference", [True, False])
def test_days_counted_from_one(reference):
    ours = network(reference=reference, first_day=1)
    published = network(reference=reference)
    published.load_state_dict(ours.state_dict())
    images, _, mask = inputs(dates=4)
    # 17 September of the year before (the 260th day), 1 January, 1 March, 31 December of a leap year
    days = torch.tensor([[-106, 0, 59, 365]]).expand(2, -1)
    with torch.no_grad():
        found = ours(images, days, mask)
        expected = published(images, torch.tensor([[260, 1, 60, 365]]).expand(2, -1), mask)
        other = published(images, days, mask)
    torch.testing.assert_close(found, expected)
    assert not torch.allclose(found, other, atol=1e-3)
