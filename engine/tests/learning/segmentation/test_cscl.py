from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from golden import EVAL, load

from sits_engine.learning.segmentation.cscl import cscl_loss, default_positive_weight, pair_sums
from sits_engine.learning.segmentation.targets import same_class

CASES = ("k3", "k3_nonorm", "k5_d2", "k5", "k3_g2")


@pytest.mark.parametrize("case", CASES)
def test_published_loss(case):
    expected = load("cscl_loss")["cases"][case]
    similarity, same = expected["similarity"], expected["labels_same"].bool()
    torch.testing.assert_close(cscl_loss(similarity, same, positive_weight=0.125), expected["loss"], **EVAL)
    if "mask" in expected:
        one = cscl_loss(similarity, same, positive_weight=1.0)
        torch.testing.assert_close(one, expected["loss_pw1"], **EVAL)
        published = cscl_loss(similarity, same, expected["mask"], reference=True)
        torch.testing.assert_close(published, expected["loss_masked_pw0.125"], **EVAL)
        share = expected["mask"].float().mean()
        proper = cscl_loss(similarity, same, expected["mask"])
        torch.testing.assert_close(proper * share, published, **EVAL)


def similarity_of(embedding, state, kernel, dilation, groups, norm):
    """The head of section 1 written out: the golden gradient reaches through it to the embedding."""
    query = F.conv2d(embedding, state["query_conv.weight"])
    key = F.conv2d(embedding, state["key_conv.weight"])
    reach = kernel // 2 * dilation
    span = 2 * reach + 1
    key = F.pad(key, (reach,) * 4).unfold(2, span, 1).unfold(3, span, 1)[..., ::dilation, ::dilation]
    half = key.shape[1] // 2
    key = torch.cat([key[:, :half] + state["rel_h"], key[:, half:] + state["rel_w"]], 1)
    total = 0
    for q, k in zip(query.chunk(groups, 1), key.chunk(groups, 1), strict=True):
        if norm:
            q, k = F.normalize(q, dim=1), F.normalize(k, dim=1)
        total = total + (q[..., None, None] * k).sum(1)
    return total


@pytest.mark.parametrize("case", CASES)
def test_published_gradient(case):
    golden = load("cscl_loss")
    expected, config = golden["cases"][case], golden["cases"][case]["config"]
    embedding = golden["inputs"]["embedding"].clone().requires_grad_(True)
    kernel, dilation = config["kernel_size"], config["dilation"]
    similarity = similarity_of(
        embedding, expected["state_dict"], kernel, dilation, config["groups"], config["norm_emb"]
    )
    torch.testing.assert_close(similarity, expected["similarity"], **EVAL)
    same = same_class(golden["inputs"]["labels"], kernel, dilation)
    cscl_loss(similarity, same, positive_weight=0.125).backward()
    torch.testing.assert_close(embedding.grad, expected["grad_emb"], atol=1e-7, rtol=1e-4)


def test_smallest_loss_is_reached_by_perfect_separation():
    torch.manual_seed(0)
    same = torch.rand(2, 5, 5, 3, 3) < 0.7
    share = same.float().mean()
    perfect = torch.where(same, 1.0, -1.0)
    assert cscl_loss(perfect, same) == pytest.approx(float(-(0.125 * share + (1 - share))))
    assert cscl_loss(-perfect, same) == pytest.approx(float(0.125 * share + (1 - share)))
    assert default_positive_weight(3) == 0.125
    assert default_positive_weight(5) == 1 / 24


def test_proper_mean_does_not_fall_with_unknown_pixels():
    same = torch.ones(1, 4, 4, 3, 3, dtype=torch.bool)
    similarity = torch.full(same.shape, 0.5)
    few = torch.zeros_like(same)
    few[0, 0, 0, 0, :2] = True
    assert cscl_loss(similarity, same, few) == pytest.approx(-0.0625)
    assert cscl_loss(similarity, same, few, reference=True) == pytest.approx(-0.0625 * 2 / 144)
    assert cscl_loss(similarity, same, torch.zeros_like(same)) == 0.0


def test_half_precision_is_summed_in_full():
    same = torch.zeros(8, 48, 48, 3, 3, dtype=torch.bool)
    similarity = torch.full(same.shape, 0.25, dtype=torch.bfloat16)
    assert cscl_loss(similarity, same) == pytest.approx(0.25, rel=1e-5)


def test_pair_sums():
    same = torch.tensor([True, True, False]).view(1, 1, 1, 1, 3)
    mask = torch.tensor([True, False, True]).view(1, 1, 1, 1, 3)
    values = torch.tensor([0.5, 0.25, -1.0]).view(1, 1, 1, 1, 3)
    assert pair_sums(values, same).tolist() == [0.75, 2, -1, 1]
    assert pair_sums(values, same, mask).tolist() == [0.5, 1, -1, 1]
