"""Class activation maps: sources, masks, and the ways to bring them to 0..1."""

import pytest
import torch
import torch.nn.functional as F

from sits_engine.learning.exact.affinity import AffinitySettings, propagate
from sits_engine.learning.exact.cam import (
    CamSettings,
    fused,
    raw_cam,
    relative,
    scaled,
    similarity_map,
    typical_maximum,
)
from sits_engine.models.exact.classifier import ExactOutput
from sits_engine.models.exact.clues import CluePrototypes

TICKS = torch.tensor([[True, False], [True, True], [False, True]])


def output(*, b=3, k=2, d=4, h=4, w=5, seed=0, dates=True):
    torch.manual_seed(seed)
    maps = torch.randn(2, b, k, h, w)
    features = torch.randn(2, b, k, d, h, w)
    clues = CluePrototypes(k, 2, d)
    logits = torch.zeros(b, k)
    return ExactOutput(
        logits, logits, logits, maps[0], maps[1], features[0], features[1] if dates else None, None, None
    ), clues


def test_similarity_is_that_to_the_nearest_prototypes():
    found, clues = output()
    cam = similarity_map(found.class_features, clues)
    x = found.class_features[1, 0, :, 2, 3][None]
    near = F.cosine_similarity(x, clues.foreground[0]).max()
    far = F.cosine_similarity(x, clues.background[0]).max()
    torch.testing.assert_close(cam[1, 0, 2, 3], (near - far).clamp_min(0))
    # Length doesn't matter, and half precision is compared in full.
    torch.testing.assert_close(similarity_map(found.class_features * 7, clues), cam)
    with torch.autocast("cpu", torch.bfloat16):
        half = similarity_map(found.class_features.bfloat16(), clues)
    torch.testing.assert_close(half, similarity_map(found.class_features.bfloat16().float(), clues))


def test_raw_maps_hold_ticked_classes_only():
    found, clues = output()
    for source in ("clues", "plain"):
        base = fused(found) if source == "plain" else similarity_map(found.class_features, clues)
        plain = raw_cam(found, TICKS, clues, CamSettings(source, affinity=None))
        torch.testing.assert_close(plain, base * TICKS[:, :, None, None])
        spread = raw_cam(found, TICKS, clues, CamSettings(source))
        assert (spread[~TICKS] == 0).all()
        wanted = (propagate(found.date_features[1, 1][None], base[1, 1][None])[0] + base[1, 1]) / 2
        torch.testing.assert_close(spread[1, 1], wanted)


def test_outside_is_zero_and_has_no_influence():
    found, clues = output()
    inside = torch.rand(3, 4, 5) > 0.4
    cam = raw_cam(found, TICKS, clues, inside=inside)
    assert (cam.movedim(1, -1)[~inside] == 0).all()
    for name in ("class_features", "date_features"):
        value = getattr(found, name)
        object.__setattr__(found, name, torch.where(inside[:, None, None], value, 3.0))
    torch.testing.assert_close(raw_cam(found, TICKS, clues, inside=inside), cam)


def test_propagation_needs_date_features():
    found, clues = output(dates=False)
    with pytest.raises(ValueError, match="date features"):
        raw_cam(found, TICKS, clues)
    raw_cam(found, TICKS, clues, CamSettings(affinity=None))
    for wrong in ({"source": "guess"}, {"scaling": "all"}):
        with pytest.raises(ValueError, match="not known"):
            CamSettings(**wrong)


def test_relative_to_the_polygon():
    activation = torch.rand(3, 2, 4, 5)
    alone = relative(activation.requires_grad_())
    torch.testing.assert_close(alone.amax((2, 3)), torch.ones(3, 2), atol=1e-4, rtol=0)
    assert not alone.requires_grad
    bags = torch.tensor([1, 0, 1])
    shared = relative(activation, bags)
    torch.testing.assert_close(shared[1], alone[1])
    both = shared[[0, 2]].amax((0, 2, 3))
    torch.testing.assert_close(both, torch.ones(2), atol=1e-4, rtol=0)
    torch.testing.assert_close(relative(activation, torch.arange(3)), alone)


def test_window_scaling_makes_each_ticked_class_win_and_others_do_not():
    """A strong and a weak window of one class, in one polygon and in two."""
    cam = torch.zeros(2, 2, 2, 2)
    cam[0, 0], cam[1, 0] = torch.tensor([[0.2, 0.4], [0.6, 1.0]]), torch.tensor([[0.10, 0.11], [0.12, 0.13]])
    ticks = torch.tensor([[True, False], [True, False]])
    assert float(scaled(cam, ticks, "window")[1, 0].max()) == pytest.approx(1)
    assert float(scaled(cam, ticks, "polygon")[1, 0].max()) == pytest.approx(1)
    shared = scaled(cam, ticks, "polygon", bags=torch.tensor([0, 0]))
    assert float(shared[0, 0].max()) == pytest.approx(1)
    assert float(shared[1, 0].max()) == pytest.approx(0.03 / 0.9)
    # Mean of 1 and 0.13.
    everywhere = scaled(cam, ticks, "class")
    assert float(everywhere[1, 0].max()) == pytest.approx(0.13 / 0.565)
    torch.testing.assert_close(everywhere[0, 0, 0], torch.tensor([0.2, 0.4]) / 0.565)
    torch.testing.assert_close(scaled(cam, ticks, "none"), cam)
    given = scaled(cam, ticks, "class", typical=torch.tensor([2.0, 1.0]))
    torch.testing.assert_close(given, cam / 2)
    with pytest.raises(ValueError, match="scaling"):
        scaled(cam, ticks, "all")


@pytest.mark.parametrize("scaling", ["polygon", "window", "class", "none"])
def test_scaled_maps_are_in_range_and_zero_where_they_must(scaling):
    torch.manual_seed(0)
    cam, inside = torch.rand(3, 2, 4, 5) * 3, torch.rand(3, 4, 5) > 0.4
    inside[2] = False
    found = scaled(cam, TICKS, scaling, bags=torch.tensor([0, 0, 1]), inside=inside)
    assert torch.isfinite(found).all()
    assert found.min() >= 0
    assert found.max() <= 1
    assert (found[~TICKS] == 0).all()
    assert (found.movedim(1, -1)[~inside] == 0).all()
    changed = torch.where(inside[:, None], cam, 9.0)
    torch.testing.assert_close(
        scaled(changed, TICKS, scaling, bags=torch.tensor([0, 0, 1]), inside=inside), found
    )


def test_typical_maximum_counts_each_polygon_once():
    cam = torch.zeros(4, 2, 1, 1)
    cam[:, 0, 0, 0] = torch.tensor([1.0, 0.2, 0.4, 0.9])
    ticks = torch.tensor([[1, 0], [1, 0], [1, 0], [0, 0]]).bool()
    bags = torch.tensor([0, 0, 1, 2])
    torch.testing.assert_close(typical_maximum(cam, ticks, bags=bags), torch.tensor([0.7, 0.0]))
    torch.testing.assert_close(typical_maximum(cam, ticks), torch.tensor([1.6 / 3, 0.0]))


def test_default_propagation_is_published():
    assert CamSettings().affinity == AffinitySettings((2,), 3, 0.3)
