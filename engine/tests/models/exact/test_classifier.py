"""The corrected form of the classifier: masks, polygons, weights of dates, half precision, model files."""

import json

import pytest
import torch

from sits_engine.errors import ModelError
from sits_engine.models.card import BandCard, ClassCard, ModelCard
from sits_engine.models.exact.classifier import ExactClassifier
from sits_engine.models.exact.clues import CluePrototypes
from sits_engine.models.model_file import load_model, save_model
from sits_engine.models.registry import EXACT_WIDTHS, build, exact_hyperparameters

TINY = {"dim": 16, "temporal_depth": 2, "spatial_depth": 1, "heads": 2, "head_dim": 8, "mlp_ratio": 2}
MAPS = ("temporal_map", "spatial_map", "class_features", "date_features")
NUMBERS = ("logits", "temporal_logits", "spatial_logits", "date_attention", "date_weights")
CLOSE = {"atol": 1e-5, "rtol": 1e-4}


def network(*, seed=0, **changes):
    torch.manual_seed(seed)
    return build("exact", exact_hyperparameters(4, 3, **{"window": 8, **TINY, **changes})).eval()


def inputs(*, batch=2, dates=6, size=8, seed=0):
    torch.manual_seed(seed)
    positions = torch.arange(dates).mul(40).expand(batch, -1)
    return torch.randn(batch, dates, 4, size, size), positions, torch.ones(batch, dates, dtype=torch.bool)


def pixels(inside, patch=2):
    """Patches -> pixels."""
    return inside.repeat_interleave(patch, 1).repeat_interleave(patch, 2)


@torch.no_grad()
def test_shapes_and_what_may_be_left_out():
    module = network()
    whole = module(*inputs())
    assert whole.logits.shape == whole.temporal_logits.shape == whole.spatial_logits.shape == (2, 3)
    assert whole.temporal_map.shape == whole.spatial_map.shape == (2, 3, 4, 4)
    assert whole.class_features.shape == whole.date_features.shape == (2, 3, 16, 4, 4)
    assert whole.date_attention.shape == whole.date_weights.shape == (2, 3, 6)
    torch.testing.assert_close(whole.temporal_logits, whole.temporal_map.mean((2, 3)))
    short = module(*inputs(), dates=False)
    assert short.date_features is short.date_weights is short.date_attention is None
    for name in ("logits", "temporal_map", "spatial_map", "class_features"):
        torch.testing.assert_close(getattr(short, name), getattr(whole, name), **CLOSE)
    # Windows of another size, and rows and columns that differ.
    wide = module(*(x[..., :12] if x.ndim == 5 else x for x in inputs(size=16)))
    assert wide.spatial_map.shape == (2, 3, 8, 6)


@torch.no_grad()
def test_padded_dates_have_no_influence():
    module = network()
    images, positions, mask = inputs()
    mask[0, 4:] = False
    mask[1, 1] = False
    found = module(images, positions, mask)
    changed = torch.where(mask[:, :, None, None, None], images, 9.0)
    moved = torch.where(mask, positions, 123)
    for name in MAPS + NUMBERS:
        torch.testing.assert_close(getattr(module(changed, moved, mask), name), getattr(found, name), **CLOSE)
    assert (found.date_weights[~mask[:, None].expand(-1, 3, -1)] == 0).all()
    torch.testing.assert_close(found.date_weights.sum(-1), torch.ones(2, 3))
    short = module(images[:1, :4], positions[:1, :4], mask[:1, :4])
    for name in MAPS + NUMBERS[:3]:
        torch.testing.assert_close(getattr(short, name), getattr(found, name)[:1], **CLOSE)
    torch.testing.assert_close(short.date_weights, found.date_weights[:1, :, :4], **CLOSE)
    published = network(reference=True)
    difference = published(changed, positions, mask).logits - published(images, positions, mask).logits
    assert difference.abs().max() > 1e-3


@torch.no_grad()
def test_dates_that_no_window_uses_keep_their_place():
    module = network()
    images, positions, mask = inputs()
    mask[:, [1, 4]] = False
    mask[0, 2] = False
    found = module(images, positions, mask)
    assert found.date_attention.shape == (2, 3, 6)
    assert (found.date_attention[:, :, [1, 4]] == 0).all()
    assert (found.date_attention[1, :, [0, 2, 3, 5]] > 0).all()
    kept = [0, 2, 3, 5]
    short = module(images[:, kept], positions[:, kept], mask[:, kept])
    torch.testing.assert_close(found.date_weights[:, :, kept], short.date_weights, **CLOSE)
    torch.testing.assert_close(found.date_features, short.date_features, **CLOSE)
    assert all(
        torch.isfinite(getattr(module(images, positions, mask & False), n)).all() for n in MAPS + NUMBERS
    )


@torch.no_grad()
def test_what_lies_outside_of_the_polygon_has_no_influence():
    module = network()
    given = inputs()
    inside = torch.zeros(2, 4, 4, dtype=torch.bool)
    inside[0, :, :2] = inside[1, 1:, 1] = True
    found = module(*given, inside)
    changed = torch.where(pixels(inside)[:, None, None], given[0], torch.randn_like(given[0]) * 5)
    other = module(changed, *given[1:], inside)
    for name in NUMBERS + MAPS:
        torch.testing.assert_close(getattr(other, name), getattr(found, name), **CLOSE)
    for name in MAPS:
        value = getattr(found, name)
        assert (value.movedim((-2, -1), (1, 2))[~inside] == 0).all()
    counted = found.spatial_map.flatten(2).sum(-1) / inside.sum((1, 2))[:, None]
    torch.testing.assert_close(found.spatial_logits, counted)
    # A mask that leaves nothing out changes nothing; one polygon does not see another's.
    for name in NUMBERS + MAPS:
        whole = getattr(module(*given), name)
        torch.testing.assert_close(getattr(module(*given, inside | True), name), whole, **CLOSE)
        mixed = torch.stack([inside[0], inside[1] | True])
        torch.testing.assert_close(getattr(module(*given, mixed), name)[1], whole[1], **CLOSE)


def test_gradient_stays_inside():
    module = network()
    images, positions, mask = inputs()
    images.requires_grad_()
    inside = torch.zeros(2, 4, 4, dtype=torch.bool)
    inside[:, :3, 1] = True
    found = module(images, positions, mask, inside)
    (found.logits.sum() + found.spatial_map.square().sum() + found.date_features.square().sum()).backward()
    seen = images.grad.abs().sum((1, 2)) > 0
    assert torch.equal(seen, pixels(inside))


@torch.no_grad()
def test_weights_of_dates():
    given = inputs()
    plain, sharp = network(), network(date_temperature=0.1)
    found = plain(*given)
    shares = found.date_attention / found.date_attention.sum(-1, keepdim=True)
    torch.testing.assert_close(found.date_weights, shares)
    assert (sharp(*given).date_weights.amax(-1) > found.date_weights.amax(-1)).all()
    assert torch.equal(sharp(*given).date_weights.argmax(-1), found.date_weights.argmax(-1))
    uniform = network(reference=True)(*given).date_weights
    assert (uniform - 1 / 6).abs().max() < 0.05
    assert not found.date_attention.requires_grad


def test_only_rows_of_classes_are_attended_with(monkeypatch):
    module = network()
    shapes = []
    softmax = torch.Tensor.softmax
    monkeypatch.setattr(
        torch.Tensor, "softmax", lambda x, *a, **k: shapes.append(x.shape[-2:]) or softmax(x, *a, **k)
    )
    module(*inputs())
    assert shapes == [(3, 9)] * 2


def test_prototypes_are_buffers_or_parameters_of_the_same_names():
    torch.manual_seed(0)
    momentum, gradient = CluePrototypes(3, 2, 4), CluePrototypes(3, 2, 4, "gradient")
    assert not list(momentum.parameters())
    assert [n for n, _ in gradient.named_parameters()] == ["foreground", "background"]
    gradient.load_state_dict(momentum.state_dict())
    for a, b in zip(momentum.directions(), gradient.directions(), strict=True):
        torch.testing.assert_close(a, b)
        torch.testing.assert_close(a.norm(dim=-1), torch.ones(3, 2))
    with pytest.raises(ValueError, match="prototype mode"):
        CluePrototypes(3, 2, 4, "guess")
    with pytest.raises(ValueError, match="at least one prototype"):
        CluePrototypes(3, 0, 4)


@pytest.mark.parametrize("mode", ["momentum", "gradient"])
def test_a_model_file_gives_the_same_network_back(tmp_path, mode):
    hyper = exact_hyperparameters(4, 3, window=8, **TINY, prototype_mode=mode, date_temperature=0.5)
    assert json.loads(json.dumps(hyper)) == hyper
    torch.manual_seed(0)
    module = build("exact", hyper).eval()
    module.clues.foreground_updates.fill_(7)
    card = ModelCard(
        architecture="exact",
        hyperparameters=hyper,
        bands=[BandCard(name=f"B{i}") for i in range(4)],
        classes=[ClassCard(name=f"crop {i}", color="#00ff00") for i in range(3)],
        season_year=2020,
        positions=[0.0, 40.0],
    )
    save_model(tmp_path / "exact.safetensors", module, card)
    loaded, read = load_model(tmp_path / "exact.safetensors")
    assert read.architecture == "exact"
    assert {n for n, _ in loaded.named_parameters()} == {n for n, _ in module.named_parameters()}
    for name, value in module.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value)
    with torch.no_grad():
        for name in MAPS + NUMBERS:
            torch.testing.assert_close(getattr(loaded(*inputs()), name), getattr(module(*inputs()), name))


@pytest.mark.parametrize("width", sorted(EXACT_WIDTHS))
def test_sizes(width):
    module = build("exact", exact_hyperparameters(10, 18, width=width))
    count = sum(p.numel() for p in module.parameters())
    assert count == {"standard": 3_236_226, "small": 170_690}[width]


def test_training_moves_every_parameter():
    module = network().train()
    found = module(*inputs())
    total = (
        found.logits.sum() + found.spatial_map.sum() + found.temporal_map.sum() + found.date_features.sum()
    )
    total.backward()
    assert all(torch.isfinite(p.grad).all() for p in module.parameters())
    assert {t.dtype for t in module.state_dict().values()} == {torch.float32, torch.int64}


def test_half_precision_is_close():
    module = network()
    inside = torch.ones(2, 4, 4, dtype=torch.bool)
    inside[0, 0] = False
    with torch.no_grad():
        full = module(*inputs(), inside)
        with torch.autocast("cpu", torch.bfloat16):
            half = module(*inputs(), inside)
    for name in (*NUMBERS, "temporal_map", "spatial_map"):
        assert getattr(half, name).dtype == torch.float32
        assert (getattr(half, name) - getattr(full, name)).abs().max() < 0.05


def test_wrong_inputs_are_refused():
    module = network()
    images, positions, mask = inputs()
    with pytest.raises(ValueError, match="images must be"):
        module(images[:, :, :3], positions, mask)
    with pytest.raises(ValueError, match="like the images"):
        module(images, positions[:, :3], mask)
    with pytest.raises(ValueError, match="multiples of 2"):
        module(images[..., :7], positions, mask)
    with pytest.raises(ValueError, match="inside must be"):
        module(images, positions, mask, torch.ones(2, 8, 8, dtype=torch.bool))
    nowhere = torch.zeros(2, 4, 4, dtype=torch.bool)
    with pytest.raises(ValueError, match="no patch"):
        module(images, positions, mask, nowhere)
    nowhere[0, 1, 1] = True
    alone = module(images, positions, mask, nowhere)
    assert all(torch.isfinite(getattr(alone, name)).all() for name in MAPS + NUMBERS)
    for wrong in ({"window": 9}, {"date_temperature": 0.0}, {"residual": "none"}, {"n_bands": 0}):
        with pytest.raises(ModelError, match="can't be built"):
            build("exact", {**exact_hyperparameters(4, 3, window=8), **wrong})
    assert isinstance(module, ExactClassifier)
