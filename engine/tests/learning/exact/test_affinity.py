"""Affinity propagation: its properties, its masks, and the plain form of its formula."""

import pytest
import torch
import torch.nn.functional as F

from sits_engine.learning.exact.affinity import AffinitySettings, affinities, propagate


def maps(n=2, channels=5, h=6, w=7, seed=0):
    torch.manual_seed(seed)
    return torch.randn(n, channels, h, w), torch.rand(n, h, w)


def plainly(features, scores, inside, dilation=2, iterations=3, temperature=0.3):
    """Patch by patch, as the specification says it."""
    n, _, h, w = features.shape
    steps = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if (i, j) != (0, 0)]

    def neighbours(image, a, b):
        for i, j in steps:
            row, column = min(max(a + i * dilation, 0), h - 1), min(max(b + j * dilation, 0), w - 1)
            yield (row, column) if inside[image, row, column] else (a, b)

    for _ in range(iterations):
        flowed = scores.clone()
        for image in range(n):
            for a in range(h):
                for b in range(w):
                    places = list(neighbours(image, a, b))
                    near = torch.stack([features[image, :, r, c] for r, c in places])
                    cosine = F.cosine_similarity(near, features[image, :, a, b][None], dim=1)
                    weights = (cosine / (near.std(0).mean() + 1e-8) / temperature).softmax(0)
                    flowed[image, a, b] = sum(
                        v * scores[image, r, c] for v, (r, c) in zip(weights, places, strict=True)
                    )
        scores = flowed
    return scores


def test_formula_with_a_polygon():
    features, scores = maps(h=5, w=4)
    inside = torch.rand(2, 5, 4) > 0.3
    for mask in (None, inside):
        known = torch.ones_like(inside) if mask is None else mask
        found, wanted = propagate(features, scores, inside=mask), plainly(features, scores, known)
        torch.testing.assert_close(found[known], wanted[known], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("dilations", [(2,), (1, 2)])
def test_affinities_sum_to_one_and_constants_stay(dilations):
    features, _ = maps()
    settings = AffinitySettings(dilations)
    inside = torch.rand(2, 6, 7) > 0.5
    for mask in (None, inside, inside & False):
        weights = affinities(features, settings, mask)
        assert weights.shape == (2, 8 * len(dilations), 6, 7)
        torch.testing.assert_close(weights.sum(1), torch.ones(2, 6, 7))
        constant = torch.full((2, 6, 7), 0.37)
        torch.testing.assert_close(propagate(features, constant, settings, mask), constant)


def test_outside_has_no_influence():
    features, scores = maps()
    inside = torch.zeros(2, 6, 7, dtype=torch.bool)
    inside[:, :4, 2:] = True
    found = propagate(features, scores, inside=inside)
    other = torch.where(inside[:, None], features, 5.0), torch.where(inside, scores, -3.0)
    torch.testing.assert_close(propagate(*other, inside=inside)[inside], found[inside])
    assert (propagate(*other)[inside] - found[inside]).abs().max() > 0.1


def test_scores_flow_along_what_looks_alike():
    features = torch.zeros(1, 2, 9, 9)
    features[:, 0, :, :4], features[:, 1, :, 4:] = 1.0, 1.0
    features += 0.05 * torch.randn(1, 2, 9, 9, generator=torch.Generator().manual_seed(0))
    scores = torch.zeros(1, 9, 9)
    scores[:, 2:7:2, 0:4:2] = 1.0
    found = propagate(features, scores, AffinitySettings((1,), 3))
    assert found[0, 2:7, :3].mean() > 4 * found[0, 2:7, 6:].mean()


def test_gradients_are_finite_where_neighbours_are_equal():
    features, scores = torch.ones(1, 3, 4, 4, requires_grad=True), torch.rand(1, 4, 4, requires_grad=True)
    propagate(features, scores).square().sum().backward()
    assert torch.isfinite(features.grad).all()
    assert scores.grad.abs().sum() > 0


def test_half_precision_is_computed_in_full():
    features, scores = maps()
    half = features.bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        found = propagate(half, scores)
    torch.testing.assert_close(found, propagate(half.float(), scores))
