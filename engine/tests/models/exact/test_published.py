"""The networks of Exact give the published numbers in their published form."""

import torch
from golden import EVAL, load

from sits_engine.models.exact.classifier import ExactClassifier
from sits_engine.models.exact.published import classifier_from_published, segmenter_from_published
from sits_engine.models.registry import exact_hyperparameters
from sits_engine.models.segmentation.transformer import Transformer, TransformerLayer
from sits_engine.models.segmentation.tsvit import TSViT


def published_inputs(x):
    """(B, T, H, W, C) with the day as the last channel -> images, positions, mask."""
    images = x[..., :-1].permute(0, 1, 4, 2, 3)
    positions = torch.round(x[:, :, 0, 0, -1] * 365.0001).to(torch.int64)
    return images, positions, x.flatten(2).abs().amax(-1) > 0


def test_attention_golden():
    golden = load("exact_attention")
    config, state, x = golden["config"], golden["state_dict"], golden["inputs"]["x"]
    for residual, added in (("normed", 0), ("both", 1), ("input", 0)):
        layer = TransformerLayer(config["dim"], config["heads"], config["dim_head"], 8, residual)
        # The golden file holds the block alone, without the norm before and the mlp after it.
        layer.attention_norm = torch.nn.Identity()
        torch.nn.init.zeros_(layer.mlp[2].weight)
        torch.nn.init.zeros_(layer.mlp[2].bias)
        layer.qkv.weight.data = state["to_qkv.weight"]
        layer.project.weight.data = state["to_out.0.weight"]
        layer.project.bias.data = state["to_out.0.bias"]
        seen = []
        with torch.no_grad():
            found = layer(x, watch=lambda query, key, seen=seen: seen.append((query, key)))
        torch.testing.assert_close(found, golden["outputs"]["out"] + added * x, **EVAL)
        query, key = seen[0]
        weights = (query @ key.transpose(-1, -2) / config["dim_head"] ** 0.5).softmax(-1)
        torch.testing.assert_close(weights, golden["outputs"]["weights"], **EVAL)


def test_residuals_are_those_of_the_specification():
    torch.manual_seed(0)
    x = torch.randn(2, 5, 8)
    layer = TransformerLayer(8, 2, 4, 16)
    torch.nn.init.normal_(layer.attention_norm.bias)
    with torch.no_grad():
        normed = layer.attention_norm(x)
        query, key, value = layer.qkv(normed).chunk(3, -1)
        query, key, value = (t.view(2, 5, 2, 4).transpose(1, 2) for t in (query, key, value))
        mixed = (query @ key.transpose(-1, -2) / 2).softmax(-1) @ value
        attended = layer.project(mixed.transpose(1, 2).flatten(2))
        for residual, kept in (("input", x), ("normed", normed), ("both", x + normed)):
            layer.residual = residual
            y = kept + attended
            torch.testing.assert_close(layer(x), y + layer.mlp(layer.mlp_norm(y)), **EVAL)
            torch.testing.assert_close(layer(x, rows=2), layer(x)[:, :2], **EVAL)


def test_classifier_golden(monkeypatch):
    golden = load("exact_cls")
    hyper, state = classifier_from_published(golden["state_dict"], golden["config"])
    module = ExactClassifier(**hyper).eval()
    module.load_state_dict(state)
    given, wanted = published_inputs(golden["inputs"]["x"]), golden["eval_outputs"]
    assert not given[2].all(), "padding is in the golden file"
    seen = {"spatial": [], "attention": []}
    whole = Transformer.forward

    def spy(self, x, mask=None, rows=None, watch=None):
        def both(query, key):
            weights = (query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5).softmax(-1)
            seen["attention"].append(weights.mean(1))
            watch(query, key)

        found = whole(self, x, mask, rows, both if watch else None)
        seen["spatial"].append(found)
        return found

    monkeypatch.setattr(Transformer, "forward", spy)
    with torch.no_grad():
        found = module(*given)
    torch.testing.assert_close(found.logits, wanted["cls_logits"], **EVAL)
    torch.testing.assert_close(found.spatial_logits, wanted["spatial_patch_logits"], **EVAL)
    torch.testing.assert_close(found.temporal_logits, wanted["temporal_patch_logits"], **EVAL)
    torch.testing.assert_close(seen["spatial"][0], wanted["temporal_tokens"], **EVAL)
    torch.testing.assert_close(seen["spatial"][1], wanted["spatial_tokens"], **EVAL)
    torch.testing.assert_close(torch.stack(seen["attention"]), wanted["attention_head_mean"], **EVAL)
    torch.testing.assert_close(found.date_attention, wanted["temporal_to_class_attention"], **EVAL)
    # Pitfalls 2.9: the second softmax leaves next to nothing of the attention.
    assert (found.date_weights - 1 / 6).abs().max() < 0.02
    torch.testing.assert_close(found.date_weights, wanted["temporal_to_class_attention"].softmax(-1), **EVAL)
    tokens = wanted["temporal_tokens"].view(3, 4, 4, 10, 16)
    torch.testing.assert_close(found.class_features, tokens[:, :, :, :4].permute(0, 3, 4, 1, 2), **EVAL)
    mixed = torch.einsum("bkt,bhwtd->bkdhw", found.date_weights, tokens[:, :, :, 4:])
    torch.testing.assert_close(found.date_features, mixed, **EVAL)


def test_segmentation_golden():
    golden = load("exact_tsvit_seg")
    hyper, state = segmenter_from_published(golden["state_dict"], golden["config"])
    module = TSViT(**hyper).eval()
    module.load_state_dict(state)
    with torch.no_grad():
        given = published_inputs(golden["inputs"]["x"])
        torch.testing.assert_close(given[1].float(), golden["inputs"]["doy"])
        torch.testing.assert_close(module(*given), golden["outputs"]["logits"], **EVAL)
        ordinary = TSViT(**{**hyper, "residual": "input"}).eval()
        # Pitfalls 2.8: the same names and shapes, so the wrong form would load without a word.
        ordinary.load_state_dict(state)
        assert (ordinary(*given) - golden["outputs"]["logits"]).abs().max() > 1e-2


def test_published_size():
    module = ExactClassifier(**exact_hyperparameters(10, 18, reference=True))
    assert (
        sum(p.numel() for p in module.parameters())
        + sum(b.numel() for n, b in module.clues.named_buffers() if not n.endswith("updates"))
        == 3_245_314
    )


def test_published_days_are_those_of_the_table_and_the_last_ones_are_clamped():
    table = load("misc_tables")
    torch.manual_seed(0)
    module = ExactClassifier(**exact_hyperparameters(2, 3, width="small", reference=True, window=4))
    stage = module.temporal
    days = stage._days(table["doy"][None], torch.ones(1, 367, dtype=torch.bool))[0]
    rows = (
        (days - stage.day_embedding.bias)[:, None].sub(stage.day_embedding.weight.T).abs().amax(-1).argmin(1)
    )
    assert torch.equal(rows, table["doy_index"].clamp_max(364))
    # Pitfalls 2.5: 19 days are off by one; days 365 and 366 would not have fit.
    assert int((table["doy_index"] != table["doy"]).sum()) == 19
