"""Contrastive loss and the prototypes' move equal a plain loop over classes; settings do what they say."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from sits_engine.learning.exact.assignment import sinkhorn
from sits_engine.learning.exact.prototypes import PUBLISHED, ClueSettings, clue_loss
from sits_engine.models.exact.clues import CluePrototypes

PLAIN = ClueSettings()
PARITY = replace(PUBLISHED, draw="argmax")


def given(*, b=3, k=4, d=6, h=3, w=4, seed=0, mode="momentum"):
    torch.manual_seed(seed)
    features, activation = torch.randn(b, k, d, h, w, requires_grad=True), torch.rand(b, k, h, w)
    ticks = torch.rand(b, k) > 0.4
    ticks[:, 3] = False
    return features, activation, ticks, CluePrototypes(k, 2, d, mode)


def plainly(features, activation, ticks, clues, settings, inside):
    """Loss and prototypes afterwards, class by class (specification 3.1)."""
    b, k, _, _, _ = features.shape
    sides = {"foreground": clues.foreground.clone(), "background": clues.background.clone()}
    total = 0.0
    for offset, name in ((0, "foreground"), (2 * k, "background")):
        losses, moved = [], sides[name].clone()
        for c in range(k):
            x, m = [], []
            for image in range(b):
                if name == "foreground" and not ticks[image, c]:
                    continue
                value = activation[image, c]
                if settings.absent_everywhere and not ticks[image, c]:
                    value = value * 0
                here = value >= settings.high if name == "foreground" else value < settings.low
                x.append(features[image, c].permute(1, 2, 0)[here & inside[image]])
                m.append(value[here & inside[image]])
            x = F.normalize(torch.cat(x), dim=1) if x else features.new_zeros(0, features.shape[2])
            if not len(x):
                losses.append(None)
                continue
            m = torch.cat(m)
            own = sinkhorn(x.detach() @ sides[name][c].T).argmax(1)
            columns = F.normalize(torch.cat([sides["foreground"], sides["background"]]).flatten(0, 1), dim=1)
            losses.append(F.cross_entropy(x @ columns.T / settings.temperature, offset + 2 * c + own))
            weight = 1 - m if settings.sure_background and name == "background" else m
            for j in range(2):
                chosen = own == j
                if weight[chosen].sum() > 0:
                    mean = F.normalize((weight[chosen, None] ** settings.power * x[chosen]).sum(0), dim=0)
                    keep = 0.0 if settings.warm_up else settings.momentum  # this is the first move
                    moved[c, j] = keep * moved[c, j] + (1 - keep) * mean.detach()
        sides[name] = F.normalize(moved, dim=-1)
        known = [value for value in losses if value is not None]
        total = total + sum(known) / (max(len(known), 1) if settings.over_present else k)
    return total, sides


@pytest.mark.parametrize(
    "settings", [PLAIN, PARITY, replace(PLAIN, absent_everywhere=True), replace(PARITY, over_present=True)]
)
@pytest.mark.parametrize("polygon", [False, True])
def test_a_loop_over_classes_gives_the_same(settings, polygon):
    features, activation, ticks, clues = given()
    inside = torch.rand(3, 3, 4) > 0.3 if polygon else torch.ones(3, 3, 4, dtype=torch.bool)
    wanted, sides = plainly(features, activation, ticks, clues, settings, inside)
    found = clue_loss(features, activation, ticks, clues, settings, inside=inside if polygon else None)
    torch.testing.assert_close(found, wanted)
    for name, value in sides.items():
        torch.testing.assert_close(getattr(clues, name), value)
    grads = [torch.autograd.grad(loss, features, retain_graph=True)[0] for loss in (found, wanted)]
    torch.testing.assert_close(*grads)


def test_the_first_moves_are_means_and_later_ones_slow():
    features, activation, ticks, clues = given(b=6)
    start = clues.foreground.clone()
    counted = torch.zeros(4, 2)
    for number in range(1, 4):
        before = clues.foreground.clone()
        clue_loss(features, activation, ticks, clues, PLAIN)
        counted = clues.foreground_updates.float()
        assert counted.max() == number
        if number == 1:
            first = counted.bool()
            assert F.cosine_similarity(before[first], clues.foreground[first], dim=1).max() < 0.99
    assert (counted[3] == 0).all()
    torch.testing.assert_close(clues.foreground[3], F.normalize(start[3], dim=-1))
    clues.foreground_updates.fill_(10_000)
    before = clues.foreground.clone()
    clue_loss(-features, activation, ticks, clues, PLAIN)
    assert 0 < (clues.foreground - before).abs().max() < 0.01


def test_weights_of_the_background():
    # One sure and one unsure patch of the background, in different directions.
    features = torch.zeros(1, 1, 2, 1, 2)
    features[0, 0, 0, 0, 0] = features[0, 0, 1, 0, 1] = 1.0
    activation, ticks = torch.tensor([[[[0.0, 0.19]]]]), torch.tensor([[True]])
    found = {}
    for name, settings in (("ours", PLAIN), ("published", PARITY)):
        clues = CluePrototypes(1, 1, 2)
        clue_loss(features, activation, ticks, clues, replace(settings, momentum=0.0))
        found[name] = clues.background[0, 0]
    torch.testing.assert_close(found["ours"], F.normalize(torch.tensor([1.0, 0.81]), dim=0))
    torch.testing.assert_close(found["published"], torch.tensor([0.0, 1.0]))


def test_prototypes_of_mode_gradient_learn_from_the_loss_alone():
    features, activation, ticks, clues = given(mode="gradient")
    before = clues.foreground.detach().clone()
    clue_loss(features, activation, ticks, clues).backward()
    assert torch.equal(clues.foreground, before)
    assert clues.foreground.grad.abs().sum() > 0
    assert clues.background.grad.abs().sum() > 0
    assert (clues.foreground_updates == 0).all()


def test_nothing_to_learn_from_is_zero():
    features, activation, ticks, clues = given()
    loss = clue_loss(features, activation * 0 + 0.3, ticks, clues)
    loss.backward()
    assert float(loss.detach()) == 0
    assert (features.grad == 0).all()
    assert torch.isfinite(clues.foreground).all()


def test_move_can_be_switched_off_and_half_precision_is_computed_in_full():
    features, activation, ticks, clues = given()
    before = clues.foreground.clone()
    full = clue_loss(features.bfloat16().float(), activation, ticks, clues, move=False)
    with torch.autocast("cpu", torch.bfloat16):
        half = clue_loss(features.bfloat16(), activation, ticks, clues, move=False)
    torch.testing.assert_close(half, full)
    assert torch.equal(clues.foreground, before)


def test_settings_out_of_range_are_refused():
    for wrong in ({"low": 0.5}, {"high": 1.1}, {"momentum": 1.0}, {"temperature": 0.0}, {"epsilon": 0.0}):
        with pytest.raises(ValueError, match="must"):
            ClueSettings(**wrong)
