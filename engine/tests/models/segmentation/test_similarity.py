"""The CSCL similarity head gives the published numbers."""

import pytest
import torch
import torch.nn.functional as F
from golden import EVAL, GRADIENT, load

from sits_engine.models.segmentation.published import similarity_from_published
from sits_engine.models.segmentation.similarity import SimilarityHead


def head_of(case):
    config = case["config"]
    head = SimilarityHead(
        config["in_channels"],
        config["attn_channels"],
        config["kernel_size"],
        config["dilation"],
        config["groups"],
        bool(config["norm_emb"]),
    )
    head.load_state_dict(similarity_from_published(case["state_dict"]))
    return head


@pytest.mark.parametrize("name", ["k3", "k3_nonorm", "k5_d2", "k5", "k3_g2"])
def test_golden(name):
    golden = load("cscl_loss")
    case = golden["cases"][name]
    head = head_of(case)
    embedding = golden["inputs"]["embedding"].clone().requires_grad_()
    similarity = head(embedding)
    torch.testing.assert_close(similarity, case["similarity"], **EVAL)
    same = case["labels_same"]
    loss = (-0.125 * same * similarity + (1 - same) * similarity).mean()
    torch.testing.assert_close(loss, case["loss"], **EVAL)
    loss.backward()
    torch.testing.assert_close(embedding.grad, case["grad_emb"], **GRADIENT)
    # Gradients are small: compare them in their own size as well.
    assert (embedding.grad - case["grad_emb"]).norm() < 1e-4 * case["grad_emb"].norm()


def test_against_the_window_laid_out_in_memory():
    torch.manual_seed(1)
    head = SimilarityHead(6, 8, kernel=3, dilation=2)
    embedding = torch.randn(2, 6, 5, 7)
    query, key = head.query(embedding), head.key(embedding)
    windows = F.unfold(key, 3, dilation=2, padding=2).view(2, 8, 9, 5, 7)
    positions = torch.cat(
        [head.row_position[:, :, None].expand(4, 3, 3), head.column_position[:, None, :].expand(4, 3, 3)]
    ).reshape(1, 8, 9, 1, 1)
    wanted = F.cosine_similarity(query[:, :, None], windows + positions, dim=1)
    torch.testing.assert_close(head(embedding).flatten(3), wanted.permute(0, 2, 3, 1))


def test_cosines_stay_in_range_and_outside_only_the_position_counts():
    torch.manual_seed(2)
    head = SimilarityHead(4, 8)
    similarity = head(torch.randn(1, 4, 6, 6))
    assert similarity.abs().max() <= 1 + 1e-5
    position = torch.cat([head.row_position[:, 0], head.column_position[:, 0]])
    corner = head(torch.ones(1, 4, 1, 1))[0, 0, 0, 0, 0]
    query = head.query(torch.ones(1, 4, 1, 1)).flatten()
    torch.testing.assert_close(corner, F.cosine_similarity(query, position, dim=0))


def test_half_precision_gives_float32_close_to_the_full_one():
    torch.manual_seed(3)
    head = SimilarityHead(8, 16)
    embedding = torch.randn(1, 8, 6, 6)
    with torch.autocast("cpu", torch.bfloat16):
        half = head(embedding)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, head(embedding), atol=0.02, rtol=0.02)


@pytest.mark.parametrize(
    "numbers",
    [{"kernel": 2}, {"dilation": 0}, {"attention_channels": 7}, {"attention_channels": 8, "groups": 3}],
)
def test_wrong_numbers_are_refused(numbers):
    with pytest.raises(ValueError, match="must be"):
        SimilarityHead(4, **numbers)
