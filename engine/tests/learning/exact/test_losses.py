"""Polygons of several windows, parts and switches of the loss, and a small training from ticks alone."""

import pytest
import torch
import torch.nn.functional as F

from sits_engine.learning.exact.cam import CamSettings, raw_cam, scaled
from sits_engine.learning.exact.losses import LossSettings, affinity_loss, bag_loss, exact_loss, pooled
from sits_engine.learning.exact.pseudo_labels import pseudo_labels
from sits_engine.models.card import BandCard, ClassCard, ModelCard
from sits_engine.models.model_file import load_model, save_model
from sits_engine.models.registry import build, exact_hyperparameters

TINY = {"dim": 16, "temporal_depth": 1, "spatial_depth": 1, "heads": 2, "head_dim": 8, "mlp_ratio": 2}


def network(*, bands=4, classes=3, seed=0, **changes):
    torch.manual_seed(seed)
    return build("exact", exact_hyperparameters(bands, classes, window=8, **TINY, **changes))


def inputs(*, batch=4, dates=3, seed=0):
    torch.manual_seed(seed)
    positions = torch.arange(dates).mul(60).expand(batch, -1)
    return torch.randn(batch, dates, 4, 8, 8), positions, torch.ones(batch, dates, dtype=torch.bool)


TICKS = torch.tensor([[1, 0, 1], [0, 1, 0], [1, 1, 0], [0, 0, 0]]).bool()


def test_one_window_for_each_polygon_is_the_published_loss():
    z = torch.randn(4, 3, generator=torch.Generator().manual_seed(0)) * 3
    wanted = F.multilabel_soft_margin_loss(z, TICKS.float())
    torch.testing.assert_close(bag_loss(z, TICKS), wanted)
    order = torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(bag_loss(z[order], TICKS, order), wanted)
    torch.testing.assert_close(bag_loss(z.bfloat16(), TICKS), bag_loss(z.bfloat16().float(), TICKS))


def test_a_tick_asks_for_one_window_and_no_tick_asks_all():
    bags = torch.tensor([0, 0, 0])
    high, low = 12.0, -12.0
    ticked, not_ticked = torch.tensor([[True]]), torch.tensor([[False]])
    one = torch.tensor([[low], [high], [low]])
    none, every = torch.full((3, 1), low), torch.full((3, 1), high)
    assert bag_loss(one, ticked, bags) < 0.01
    assert bag_loss(every, ticked, bags) < 0.01
    assert bag_loss(none, ticked, bags) > 11
    assert bag_loss(none, not_ticked, bags) < 0.01
    torch.testing.assert_close(bag_loss(one, not_ticked, bags), torch.tensor(4.0), atol=1e-3, rtol=0)
    assert bag_loss(every, not_ticked, bags) > 11


def test_equal_windows_of_a_polygon_count_as_one():
    z = torch.randn(2, 3, generator=torch.Generator().manual_seed(0))
    bags = torch.tensor([0, 1, 1, 1])
    torch.testing.assert_close(bag_loss(z[bags], TICKS[:2], bags), bag_loss(z, TICKS[:2]))


def test_gradient_of_a_tick_goes_to_the_best_window():
    z = torch.tensor([[0.0], [3.0], [-1.0]], requires_grad=True)
    bag_loss(z, torch.tensor([[True]]), torch.tensor([0, 0, 0])).backward()
    assert z.grad[1] < 5 * z.grad[0] < 0
    large = torch.tensor([[-300.0], [300.0]], requires_grad=True)
    for tick in (True, False):
        loss = bag_loss(large, torch.tensor([[tick]]), torch.tensor([0, 0]))
        assert torch.isfinite(torch.autograd.grad(loss, large)[0]).all()


def test_polygons_without_a_window_here_do_not_count():
    z = torch.randn(2, 3, generator=torch.Generator().manual_seed(0), requires_grad=True)
    bags = torch.tensor([0, 3])
    torch.testing.assert_close(bag_loss(z, TICKS, bags), bag_loss(z, TICKS[[0, 3]]))
    assert torch.isfinite(torch.autograd.grad(bag_loss(z, TICKS, bags), z)[0]).all()


@pytest.mark.parametrize("polygon", [False, True])
def test_whole_loss_with_bags_of_one_is_that_without(polygon):
    inside = torch.rand(4, 4, 4, generator=torch.Generator().manual_seed(1)) > 0.4 if polygon else None
    found = []
    for bags in (None, torch.arange(4)):
        module = network()
        loss = exact_loss(module(*inputs(), inside), TICKS, module.clues, bags=bags, inside=inside)
        loss.total.backward()
        found.append((loss, {n: p.grad for n, p in module.named_parameters()}, module.clues.state_dict()))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(
            vars(one) if hasattr(one, "total") else dict(one),
            vars(other) if hasattr(other, "total") else dict(other),
        )


def test_total_is_the_weighted_sum_and_switches_switch():
    module = network()
    output = module(*inputs())
    loss = exact_loss(output, TICKS, module.clues)
    assert all(part.detach() > 0 for part in vars(loss).values())
    torch.testing.assert_close(
        loss.total,
        loss.classes + 0.5 * (loss.temporal + loss.spatial) + 0.01 * loss.contrast + 0.015 * loss.affinity,
    )
    before = module.clues.foreground.clone()
    early = exact_loss(output, TICKS, module.clues, contrast=False)
    assert float(early.contrast) == 0
    assert torch.equal(module.clues.foreground, before)
    short = module(*inputs(), dates=False)
    alone = exact_loss(short, TICKS, module.clues, LossSettings(contrast=0, affinity=0))
    assert float(alone.affinity) == float(alone.contrast) == 0
    torch.testing.assert_close(alone.total, early.total - 0.015 * early.affinity)
    with pytest.raises(ValueError, match="date features"):
        exact_loss(short, TICKS, module.clues)


def test_outside_of_the_polygon_adds_nothing():
    images, positions, mask = inputs()
    inside = torch.zeros(4, 4, 4, dtype=torch.bool)
    inside[:, 1:, :3] = True
    pixels = inside.repeat_interleave(2, 1).repeat_interleave(2, 2)[:, None, None]
    bags, losses = torch.tensor([0, 0, 1, 2]), []
    for outside in (0.0, 7.0):
        module = network()
        output = module(torch.where(pixels, images, outside), positions, mask, inside)
        losses.append(exact_loss(output, TICKS[:3], module.clues, bags=bags, inside=inside))
    torch.testing.assert_close(vars(losses[0]), vars(losses[1]))


def test_affinity_loss_is_a_mean_over_ticked_maps():
    torch.manual_seed(0)
    activation, features = torch.rand(2, 3, 5, 5, requires_grad=True), torch.randn(2, 3, 4, 5, 5)
    settings = LossSettings().propagation
    ticks = torch.tensor([[1, 0, 1], [0, 1, 0]]).bool()
    one = [
        affinity_loss(
            activation[b : b + 1], features[b : b + 1], F.one_hot(torch.tensor([k]), 3).bool(), settings
        )
        for b, k in ((0, 0), (0, 2), (1, 1))
    ]
    loss = affinity_loss(activation, features, ticks, settings)
    torch.testing.assert_close(loss, torch.stack(one).mean())
    loss.backward()
    assert (activation.grad[~ticks] == 0).all()
    assert float(affinity_loss(activation, features, ticks & False, settings).detach()) == 0
    constant = affinity_loss(torch.ones_like(activation), features, ticks, settings)
    torch.testing.assert_close(constant, torch.tensor(0.0), atol=1e-6, rtol=0)


def test_no_tick_at_all_and_every_tick_train():
    for ticks in (TICKS & False, TICKS | True):
        module = network()
        loss = exact_loss(module(*inputs()), ticks, module.clues)
        loss.total.backward()
        assert torch.isfinite(loss.total)
        assert all(torch.isfinite(p.grad).all() for p in module.parameters() if p.grad is not None)


def test_half_precision_trains():
    module = network()
    full = exact_loss(module(*inputs()), TICKS, module.clues)
    module = network()
    with torch.autocast("cpu", torch.bfloat16):
        half = exact_loss(module(*inputs()), TICKS, module.clues)
    half.total.backward()
    assert half.total.dtype == torch.float32
    torch.testing.assert_close(half.total, full.total, atol=0.1, rtol=0.05)
    assert all(torch.isfinite(p.grad).all() for p in module.parameters())


def test_training_goes_on_the_same_after_saving(tmp_path):
    def step(module, seed):
        module.train()
        optimizer = torch.optim.SGD(module.parameters(), 0.1)
        exact_loss(module(*inputs(seed=seed)), TICKS, module.clues).total.backward()
        optimizer.step()
        module.zero_grad()

    module = network()
    step(module, 1)
    card = ModelCard(
        architecture="exact",
        hyperparameters=exact_hyperparameters(4, 3, window=8, **TINY),
        bands=[BandCard(name=f"B{i}") for i in range(4)],
        classes=[ClassCard(name=f"crop {i}", color="#00ff00") for i in range(3)],
        season_year=2020,
        positions=[0.0],
    )
    save_model(tmp_path / "m.safetensors", module, card)
    loaded, _ = load_model(tmp_path / "m.safetensors")
    step(module, 2)
    step(loaded, 2)
    assert module.clues.foreground_updates.max() == 2
    torch.testing.assert_close(dict(loaded.state_dict()), dict(module.state_dict()))


def fields(n, seed):
    """Windows of 8 x 8 pixels: background left of a line, one or two crops right of it; and the truth."""
    random = torch.Generator().manual_seed(seed)
    column = torch.arange(8)[None, None].expand(n, 8, 8)
    row = column.transpose(1, 2)
    start = torch.randint(1, 3, (n, 1, 1), generator=random) * 2
    first, second = torch.randint(1, 3, (2, n, 1, 1), generator=random)
    crop = torch.where(row < 4, first, second)
    labels = torch.where(column >= start, crop, 0)
    images = torch.randn(n, 3, 2, 8, 8, generator=random) * 0.3
    for k in (1, 2):
        images[:, k, k - 1] += (labels == k) * 2.0
    ticks = torch.stack([(labels == k).flatten(1).any(1) for k in (1, 2)], 1)
    positions = torch.tensor([60, 150, 240]).expand(n, -1)
    return (images, positions, torch.ones(n, 3, dtype=torch.bool)), ticks, labels


@pytest.mark.parametrize("mode", ["momentum", "gradient"])
def test_masks_are_learnt_from_ticks_alone(mode):
    module = network(bands=2, classes=2, prototype_mode=mode).train()
    optimizer = torch.optim.Adam(module.parameters(), lr=3e-3)
    for number in range(150):
        given, ticks, _ = fields(16, number)
        loss = exact_loss(
            module(*given), ticks, module.clues, LossSettings(contrast=0.1), contrast=number > 50
        )
        optimizer.zero_grad()
        loss.total.backward()
        optimizer.step()
    given, ticks, labels = fields(64, 10_000)
    with torch.no_grad():
        output = module.eval()(*given)
        cam = scaled(raw_cam(output, ticks, module.clues), ticks)
        found = pseudo_labels(cam, ticks, 2, background=0.3).labels
        plain = raw_cam(output, ticks, module.clues, CamSettings(source="plain", affinity=None))
        of_plain = pseudo_labels(scaled(plain, ticks), ticks, 2, background=0.3).labels
    right = [float((x == labels).float().mean()) for x in (found, of_plain)]
    assert right[0] > 0.9
    assert right[0] > right[1]


def test_smooth_pooling_lies_between_mean_and_maximum():
    torch.manual_seed(0)
    scores = 3 * torch.randn(2, 3, 4, 4)
    found = pooled(scores)
    assert (found > scores.mean((2, 3))).all()
    assert (found < scores.amax((2, 3))).all()
    torch.testing.assert_close(found, scores.exp().mean((2, 3)).log())
    inside = torch.zeros(2, 4, 4, dtype=torch.bool)
    inside[:, :2] = True
    torch.testing.assert_close(pooled(scores, inside), scores[:, :, :2].exp().mean((2, 3)).log())
