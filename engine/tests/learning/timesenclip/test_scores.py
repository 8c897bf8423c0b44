from __future__ import annotations

import numpy as np
import pytest

from sits_engine.learning.timesenclip.scores import retrieval


def test_partners_are_found_in_both_directions() -> None:
    photos = np.eye(12, dtype=np.float32)
    images = photos.copy()
    images[0] = photos[1] * 0.9 + photos[0] * 0.1  # image 0 finds photo 1 first; photo 1 still finds image 1
    found = retrieval(images, photos)
    assert found.to_photos == pytest.approx((11 / 12, 1.0, 1.0))
    assert found.to_images == pytest.approx((1.0, 1.0, 1.0))
    assert found.reciprocal == pytest.approx((1 + (11 + 0.5) / 12) / 2)
    assert found.recall[0] == pytest.approx(23 / 24)


def test_vectors_that_are_all_alike_are_no_better_than_chance() -> None:
    same = np.ones((20, 4), np.float32) / 2
    found = retrieval(same, same)
    assert found.recall == (0.0, 0.0, 0.0)
    assert found.reciprocal == pytest.approx(1 / 11)
