from __future__ import annotations

import numpy as np
import pytest
import torch

from sits_engine.learning.segmentation.flips import CHOICES, draw, inverse, turned
from sits_engine.learning.segmentation.targets import same_class


def test_eight_different_symmetries_each_with_its_inverse():
    array = np.arange(9).reshape(3, 3)
    seen = {turned(array, s).tobytes() for s in range(8)}
    assert len(seen) == 8
    for s in range(8):
        assert np.array_equal(turned(turned(array, s), inverse(s)), array)
    assert np.array_equal(turned(array, 1), np.fliplr(array))
    assert np.array_equal(turned(array, 2), np.flipud(array))
    assert np.array_equal(turned(array, 3), np.rot90(array, 2))
    assert np.array_equal(turned(array, 4), array.T)
    assert any(np.array_equal(turned(array, s), np.rot90(array)) for s in range(8))


@pytest.mark.parametrize("symmetry", range(8))
def test_image_labels_and_parcels_stay_together(symmetry):
    rng = np.random.default_rng(0)
    labels = rng.integers(-1, 4, (6, 6))
    image = np.stack([labels * 10.0, labels * 100.0])[None]  # (T, C, H, W)
    parcels = labels + 50
    a, b, c = turned(image, symmetry), turned(labels, symmetry), turned(parcels, symmetry)
    assert np.array_equal(a[0, 1], b * 100.0)
    assert np.array_equal(c, b + 50)


@pytest.mark.parametrize("symmetry", range(8))
def test_cscl_targets_turn_along(symmetry):
    """Targets of turned labels = turned targets, when pixels and windows are both turned."""
    labels = np.random.default_rng(1).integers(0, 3, (1, 7, 7))

    def targets(of):
        return same_class(torch.from_numpy(of.copy()), 3)[0].numpy()  # (H, W, 3, 3)

    whole = turned(np.moveaxis(targets(labels), (0, 1), (2, 3)), symmetry)  # pixels turned: (3, 3, H, W)
    both = turned(np.moveaxis(whole, (2, 3), (0, 1)), symmetry)  # windows turned: (H, W, 3, 3)
    assert np.array_equal(targets(turned(labels, symmetry)), both)
    if symmetry:
        # turning the pixels alone is not enough: the test would see labels that stayed behind
        assert not np.array_equal(targets(labels), both)


def test_draw():
    rng = np.random.default_rng(0)
    for turning, n in CHOICES.items():
        assert set(draw(400, turning, rng)) == set(range(n))
