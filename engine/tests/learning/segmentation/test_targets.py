from __future__ import annotations

import pytest
import torch
from golden import load

from sits_engine.learning.segmentation.targets import (
    HIDDEN,
    OUTSIDE,
    UNKNOWN,
    counted_pairs,
    mean_of_neighbours,
    neighbours,
    pair_mask,
    same_class,
    shown_pairs,
)

CASES = ("k3", "k3_nonorm", "k5_d2", "k5", "k3_g2")


@pytest.mark.parametrize("case", CASES)
def test_targets_are_the_published_ones(case):
    golden = load("cscl_loss")
    expected, config = golden["cases"][case], golden["cases"][case]["config"]
    same = same_class(golden["inputs"]["labels"], config["kernel_size"], config["dilation"])
    assert torch.equal(same, expected["labels_same"].bool())


@pytest.mark.parametrize("case", ["k3", "k3_nonorm", "k3_g2"])
def test_mask_is_the_published_one(case):
    golden = load("cscl_loss")
    expected = golden["cases"][case]
    known = expected["unk_masks"][..., 0]
    labels = torch.where(known, golden["inputs"]["labels"], UNKNOWN)
    assert not known.all()
    assert known.any()
    assert torch.equal(counted_pairs(labels, 3), expected["mask"])


LABELS = torch.tensor([[[0, 0, 1], [0, UNKNOWN, UNKNOWN], [2, UNKNOWN, 1]]])


def test_centre_outside_and_background():
    same = same_class(LABELS)
    assert same[..., 1, 1].all()
    assert not same[0, 0, :, 0].any()
    assert not same[0, :, 2, :, 2].any()
    # two unknown pixels side by side are a positive pair, known and unknown a negative one
    assert same[0, 1, 1, 1, 2]
    assert not same[0, 1, 1, 0, 1]
    assert neighbours(LABELS)[0, 0, 0].tolist() == [[OUTSIDE] * 3, [OUTSIDE, 0, 0], [OUTSIDE, 0, -1]]


def test_dilation_looks_further():
    labels = torch.arange(25).view(1, 5, 5)
    assert neighbours(labels, 3, 2)[0, 2, 2].tolist() == [[0, 2, 4], [10, 12, 14], [20, 22, 24]]
    with pytest.raises(ValueError, match="odd"):
        neighbours(labels, 4)


def test_masks():
    counted = counted_pairs(LABELS)
    assert not counted[..., 1, 1].any()
    assert not counted[0, 1, 1].any()
    assert not counted[0, 0, :, 0].any()
    assert counted[0, 0, 0].sum() == 2  # right and below; the diagonal is unknown
    hidden = LABELS.clone()
    hidden[0, 2, 2] = HIDDEN
    shown = shown_pairs(hidden)
    assert not shown[0, 2, 2].any()
    assert not shown[0, 1, 1, 2, 2]
    assert shown[0, 1, 1].sum() == 8
    assert shown[0, 0, 0].all()
    assert pair_mask(LABELS, 3, 1, unlabelled=False, hidden=False) is None
    assert torch.equal(pair_mask(hidden, 3, 1, unlabelled=False, hidden=True), shown)
    assert torch.equal(pair_mask(LABELS, 3, 1, unlabelled=True, hidden=True), counted)


def test_mean_of_neighbours_leaves_out_centre_and_outside():
    similarity = torch.ones(1, 4, 5, 3, 3)
    similarity[..., 1, 1] = 7.0
    similarity[0, 0, :, 0] = -9.0  # above the first row: outside
    similarity[0, 2, 2, 0, 0] = 0.0
    mean = mean_of_neighbours(similarity)
    assert mean[0, 0].tolist() == [1.0] * 5
    assert mean[0, 2, 2] == pytest.approx(7 / 8)
