"""The losses and maps of Exact give the published numbers with published settings."""

from dataclasses import replace

import pytest
import torch
from golden import EVAL, GRADIENT, load

from sits_engine.learning.exact.affinity import AffinitySettings, propagate
from sits_engine.learning.exact.assignment import assign, sinkhorn
from sits_engine.learning.exact.cam import fused, raw_cam, refined, scaled
from sits_engine.learning.exact.losses import LossSettings, exact_loss
from sits_engine.learning.exact.prototypes import PUBLISHED
from sits_engine.learning.exact.pseudo_labels import enlarged, pseudo_labels
from sits_engine.models.exact.classifier import ExactClassifier
from sits_engine.models.exact.published import classifier_from_published

#: The golden files have the arg-max in place of the draw.
SETTINGS = LossSettings(pooling="mean", clues=replace(PUBLISHED, draw="argmax"))


def published_inputs(x):
    """(B, T, H, W, C) with the day as the last channel -> images, positions, mask."""
    images = x[..., :-1].permute(0, 1, 4, 2, 3)
    positions = torch.round(x[:, :, 0, 0, -1] * 365.0001).to(torch.int64)
    return images, positions, x.flatten(2).abs().amax(-1) > 0


def published(name, **changes):
    """Golden file, module, its output and the ticks."""
    golden = load(name)
    hyper, state = classifier_from_published(golden["state_dict"], golden["config"])
    module = ExactClassifier(**hyper, **changes)
    module.load_state_dict(state)
    return (
        golden,
        module,
        module(*published_inputs(golden["inputs"]["x"])),
        golden["inputs"]["cls_labels"].bool(),
    )


@pytest.mark.parametrize("case", ["case_a", "case_b"])
def test_affinity_propagation(case):
    golden = load("exact_taap")
    config = golden["config"]
    settings = AffinitySettings(
        tuple(config[case]["dilations"]), config[case]["num_iter"], temperature=config["alpha"]
    )
    found = propagate(golden["inputs"]["features"], golden["inputs"]["scores"][:, 0], settings)
    torch.testing.assert_close(found[:, None], golden["outputs"][case], **EVAL)
    assert AffinitySettings() == AffinitySettings((2,), 3, 0.3)


def test_sinkhorn():
    golden = load("exact_sinkhorn")
    config = golden["config"]
    plan = sinkhorn(golden["inputs"]["scores"], epsilon=config["epsilon"], iterations=config["iterations"])
    torch.testing.assert_close(plan, golden["outputs"]["assignment"], **EVAL)
    assert torch.equal(assign(plan), golden["outputs"]["index"])


@pytest.mark.parametrize("name", ["exact_cls_train_step1", "exact_cls_train_step4000"])
def test_training(name):
    contrast = name.endswith("4000")
    golden, module, output, ticks = published(name)
    loss = exact_loss(output, ticks, module.clues, SETTINGS, contrast=contrast)
    wanted = golden["losses"]
    torch.testing.assert_close(loss.classes, wanted["cls"], **EVAL)
    torch.testing.assert_close((loss.temporal + loss.spatial) / 2, wanted["aux"], **EVAL)
    torch.testing.assert_close(0.01 * loss.contrast, wanted["cbl"], **EVAL)
    torch.testing.assert_close(0.015 * loss.affinity, wanted["tap"], atol=1e-7, rtol=1e-4)
    torch.testing.assert_close(loss.total, wanted["total"], **EVAL)
    if contrast:
        assert loss.contrast > 1
        torch.testing.assert_close(loss.contrast, golden["outputs"]["proto_entropy"], **EVAL)
    activation = fused(output)
    torch.testing.assert_close(activation, golden["outputs"]["fusion_cam"], **EVAL)
    smoothed = refined(activation, output, torch.ones_like(ticks), AffinitySettings())
    # The published code takes 0 for propagated maps of classes that no window of the batch has.
    smoothed = torch.where(ticks.any(0)[:, None, None], smoothed, activation / 2)
    torch.testing.assert_close(smoothed, golden["outputs"]["fusion_cam_refine"], **EVAL)
    for side, key in ((module.clues.foreground, "fg"), (module.clues.background, "bg")):
        torch.testing.assert_close(side, golden["protos_after"][key], atol=1e-6, rtol=1e-5)
    loss.total.backward()
    found = {n: p.grad.norm() for n, p in module.named_parameters()}
    filled = {
        n: torch.full_like(t, float(golden["grad_norms"].get(n, 0))) for n, t in golden["state_dict"].items()
    }
    _, norms = classifier_from_published(filled, golden["config"])
    assert not any(name.startswith("clues") for name in found)
    for parameter, norm in found.items():
        torch.testing.assert_close(norm, norms[parameter].flatten()[0], **GRADIENT)


@pytest.mark.parametrize(("side", "key"), [("foreground", "fg_proto"), ("background", "bg_proto")])
def test_gradient_of_the_prototypes(side, key):
    # On one device the published code puts fixed prototypes in the place of the foreground's before it comes
    # to the background, so the gradient that was recorded is that of the first pass alone.
    golden, module, output, ticks = published("exact_cls_train_step4000", prototype_mode="gradient")
    clues = PUBLISHED if side == "background" else replace(PUBLISHED, low=0.0)
    loss = exact_loss(output, ticks, module.clues, replace(SETTINGS, clues=clues))
    before = getattr(module.clues, side).detach().clone()
    loss.total.backward()
    torch.testing.assert_close(getattr(module.clues, side).grad.norm(), golden["grad_norms"][key], **GRADIENT)
    assert torch.equal(getattr(module.clues, side), before)


@torch.no_grad()
def test_maps_and_labels():
    golden, module, output, ticks = published("exact_cls")
    everything = torch.ones_like(ticks)
    assert ticks.any(0).tolist() == [True, True, True, False]
    cam = raw_cam(output, everything, module.clues)
    # The published code leaves maps of classes that no window of the batch has as they are.
    torch.testing.assert_close(cam[:, :3], golden["cam"][:, :3], **EVAL)
    cam = raw_cam(output, ticks, module.clues)
    torch.testing.assert_close(cam, golden["cam"] * ticks[:, :, None, None], **EVAL)
    brought = scaled(cam, ticks, "window")
    # Maps are as small as 0.005 here, and their differences to the minimum are divided by that.
    torch.testing.assert_close(brought, golden["cam_normalised"], atol=1e-4, rtol=1e-4)
    assert torch.equal(scaled(cam, ticks, "polygon"), brought)
    zoomed = golden["zoomed_scores_thr030"]
    torch.testing.assert_close(enlarged(brought, 2, corners=True), zoomed[:, 1:], atol=1e-4, rtol=1e-4)
    assert (zoomed[:, 0] == 0.3).all()
    wanted = golden["pseudo_label_thr030"].long()
    of_published = pseudo_labels(golden["cam_normalised"], ticks, 2, background=0.3, corners=True)
    assert torch.equal(of_published.labels, wanted)
    # From the images on: two scores of one pixel differ by 2e-5, which another processor's rounding may turn.
    best = zoomed.topk(2, 1).values
    sure = best[:, 0] - best[:, 1] > 1e-4
    assert int((~sure).sum()) <= 1
    found = pseudo_labels(brought, ticks, 2, background=0.3, corners=True).labels
    assert torch.equal(found[sure], wanted[sure])
