from __future__ import annotations

import pytest
import torch
from torch import nn

from sits_engine import device
from sits_engine.context import JobContext
from sits_engine.learning.segmentation.batches import Batch
from sits_engine.learning.segmentation.fit import known_cross_entropy
from sits_engine.learning.segmentation.parts import SIZE, parts_for, quarters
from sits_engine.learning.segmentation.recipes import Recipe
from sits_engine.learning.segmentation.steps import Steps
from sits_engine.models.registry import build, segmentation_hyperparameters

CPU = device.select("cpu")
CROPS, DATES, BANDS, CLASSES, SIDE = 10, 3, 2, 4, 8


def batch() -> Batch:
    random = torch.Generator().manual_seed(0)
    labels = torch.randint(-2, CLASSES, (CROPS, SIDE, SIDE), generator=random)
    labels[0] = -1  # a part need not know as many pixels as another
    labels[1, 2:] = -1
    return Batch(
        torch.randn(CROPS, DATES, BANDS, SIDE, SIDE, generator=random),
        torch.tensor([10, 100, 200]).expand(CROPS, -1),
        torch.ones(CROPS, DATES, dtype=torch.bool),
        labels,
    )


def network(name: str) -> nn.Module:
    torch.manual_seed(1)
    numbers = segmentation_hyperparameters(name, BANDS, CLASSES, n_dates=DATES, window=SIDE, width="small")
    return build(name, numbers)


class One:
    """Always the same batch."""

    usable = torch.arange(CROPS).numpy()

    def drawn(self, index, rng, share):
        return batch()

    def on_device(self, raw):
        return raw


def stepped(parts):
    """Loss, and the gradients of a step."""
    module = network("tsvit").double()
    for one in module.modules():
        if isinstance(one, nn.Dropout):
            one.p = 0.0

    def loss_of(part: Batch):
        images, *others = part.inputs
        return known_cross_entropy(module(images.double(), *others), part.labels)

    steps = Steps(
        One(), loss_of, [module], Recipe(0.0, "stairs"), 1, 1,
        batch_size=CROPS, seed=0, device=CPU, ctx=JobContext(), parts=parts,
    )  # fmt: skip
    loss = steps.step()
    steps.close()
    return loss, [p.grad.clone() for p in module.parameters() if p.grad is not None]


def test_parts_give_the_gradients_of_the_whole_batch():
    loss, gradients = stepped(None)
    in_parts, partial = stepped(quarters)
    assert in_parts.item() == pytest.approx(loss.item(), rel=1e-6)
    assert len(gradients) == len(partial) > 20
    largest = max(one.abs().max() for one in gradients)
    for one, other in zip(gradients, partial, strict=True):
        assert (one - other).abs().max() < 1e-5 * largest


def test_shares_are_those_of_known_pixels():
    parts = list(quarters(batch()))
    assert [len(part.labels) for part, _ in parts] == [SIZE, SIZE, CROPS - 2 * SIZE]
    known = (batch().labels >= 0).sum()
    assert [float(share) for _, share in parts] == pytest.approx(
        [float((part.labels >= 0).sum() / known) for part, _ in parts]
    )
    assert torch.cat([part.images for part, _ in parts]).equal(batch().images)


def test_without_a_known_pixel_nothing_is_learned():
    drawn = batch()
    drawn.labels[:] = -1
    assert all(float(share) == 0.0 for _, share in quarters(drawn))


@pytest.mark.parametrize(("name", "split"), [("tsvit", True), ("unet3df", False)])
def test_batch_norm_is_given_the_whole_batch(name, split):
    assert (parts_for(network(name), CPU) is quarters) is split


def test_a_card_is_given_the_whole_batch():
    card = device.Device(torch.device("meta"), "a card")
    assert parts_for(network("tsvit"), card) is None
