"""Labels of pixels: enlargement, background, ties, polygons, confidence."""

import pytest
import torch

from sits_engine.learning.exact.prototypes import ClueSettings
from sits_engine.learning.exact.pseudo_labels import (
    BACKGROUND_SCORE,
    enlarged,
    inside_patches,
    pseudo_labels,
)


def maps(*values):
    """One window of 1 x 2 patches, a pair of numbers for each class."""
    return torch.tensor([[[list(pair)] for pair in values]])


ALL = torch.tensor([[True, True]])


def test_enlargement_keeps_patches_in_their_place():
    # A ramp over patches is one over pixels: inside the window the mean of a patch's pixels is its value.
    ramp = torch.arange(6.0).expand(1, 1, 6, 6)
    for patch in (2, 3):
        found = enlarged(ramp, patch)
        means = found.view(1, 1, 6, patch, 6, patch).mean((3, 5))
        torch.testing.assert_close(means[..., 1:-1], ramp[..., 1:-1])
        # Published: end points aligned, so inner patches move by up to half a patch.
        moved = enlarged(ramp, patch, corners=True)
        assert (moved.view(1, 1, 6, patch, 6, patch).mean((3, 5)) - ramp)[..., 1].abs().min() > 0.1
        torch.testing.assert_close(moved[..., 0, 0], ramp[..., 0, 0])
        torch.testing.assert_close(moved[..., -1, -1], ramp[..., -1, -1])


def test_values_outside_do_not_mix_in():
    cam = torch.tensor([[[[0.8, 0.0], [0.8, 0.0]]]])
    inside = torch.tensor([[[True, False], [True, False]]])
    torch.testing.assert_close(enlarged(cam, 2, inside)[..., :2], torch.full((1, 1, 4, 2), 0.8))
    assert enlarged(cam, 2)[0, 0, 0, 1] < 0.7
    assert torch.isfinite(enlarged(cam, 2, inside & False)).all()


def test_the_best_score_wins_and_ties_go_to_the_lower_label():
    found = pseudo_labels(maps((0.9, 0.1), (0.2, 0.8)), ALL, 1, background=0.3)
    assert found.labels.tolist() == [[[1, 2]]]
    found = pseudo_labels(maps((0.5, 0.3), (0.5, 0.1)), ALL, 1, background=0.3)
    assert found.labels.tolist() == [[[1, 0]]]
    assert pseudo_labels(maps((0.5, 0.3), (0.5, 0.1)), ALL, 1, background=0.0).labels.tolist() == [[[1, 1]]]
    nothing = pseudo_labels(maps((0.0, 0.0), (0.0, 0.0)), ALL, 1, background=0.0)
    assert nothing.labels.tolist() == [[[0, 0]]]
    assert nothing.confidence.tolist() == [[[0.0, 0.0]]]


def test_only_ticked_classes_win():
    one = torch.tensor([[False, True]])
    assert pseudo_labels(maps((0.9, 0.9), (0.4, 0.1)), one, 1).labels.tolist() == [[[2, 0]]]
    none = torch.tensor([[False, False]])
    for background in (0.3, 0.0, None):
        found = pseudo_labels(maps((0.9, 0.9), (0.4, 0.1)), none, 1, background=background)
        assert found.labels.tolist() == [[[0, 0]]]


def test_without_background_the_best_ticked_class_wins_everywhere():
    found = pseudo_labels(maps((0.0, 0.1), (0.0, 0.05)), ALL, 1, background=None)
    assert found.labels.tolist() == [[[1, 1]]]
    torch.testing.assert_close(found.confidence, torch.tensor([[[0.0, 0.5]]]))
    one = torch.tensor([[False, True]])
    assert pseudo_labels(maps((0.9, 0.9), (0.0, 0.1)), one, 1, background=None).labels.tolist() == [[[2, 2]]]


def test_confidence_is_the_distance_to_the_second():
    found = pseudo_labels(maps((1.0, 0.0), (0.25, 0.1)), ALL, 1, background=0.4)
    torch.testing.assert_close(found.confidence, torch.tensor([[[0.6, 0.75]]]))
    assert found.labels.tolist() == [[[1, 0]]]


def test_polygons():
    torch.manual_seed(0)
    cam, ticks = torch.rand(2, 3, 3, 3), torch.ones(2, 3, dtype=torch.bool)
    inside = torch.rand(2, 6, 6) > 0.6
    found = pseudo_labels(cam, ticks, 2, inside=inside)
    assert (found.labels[~inside] == -1).all()
    assert (found.confidence[~inside] == 0).all()
    assert (found.labels[inside] >= 0).all()
    patches = inside_patches(inside, 2)
    assert patches.shape == (2, 3, 3)
    assert torch.equal(patches, torch.nn.functional.max_pool2d(inside.float(), 2) > 0)
    other = torch.where(patches[:, None], cam, 1.0)
    assert torch.equal(pseudo_labels(other, ticks, 2, inside=inside).labels, found.labels)


def test_the_background_score_has_a_fixed_default_and_a_range():
    assert BACKGROUND_SCORE == ClueSettings().low == 0.2
    for wrong in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="background"):
            pseudo_labels(maps((0.0, 0.0), (0.0, 0.0)), ALL, 1, background=wrong)
