from __future__ import annotations

import numpy as np
import pytest
from golden import load

from sits_engine.learning.segmentation.boundary import (
    BorderCounts,
    border_counts,
    boundary,
    known_boundary,
)


def test_boundary_is_the_published_one():
    golden = load("edge_labels")
    edges = golden["edges"].numpy()
    assert edges.any()
    assert not edges.all()
    assert np.array_equal(boundary(golden["labels"].numpy()), edges)
    assert np.array_equal(boundary(golden["labels"].numpy()[None])[0], edges)


def test_edges_are_reflected_and_windows_kept_apart():
    labels = np.zeros((2, 4, 4), np.int16)
    labels[0, 0, 0] = 1
    found = boundary(labels)
    assert found[0].sum() == 4
    assert not found[1].any()


def halves(at: int, width: int = 12, height: int = 6) -> np.ndarray:
    """One window, class 0 left of column `at`, class 1 from there."""
    return np.broadcast_to((np.arange(width) >= at).astype(np.int16), (1, height, width)).copy()


@pytest.mark.parametrize(
    ("moved", "within_1", "within_2"),
    # the border is two columns wide: moved by 2 one of its columns still lies beside a true one
    [(0, 1.0, 1.0), (1, 1.0, 1.0), (2, 0.5, 1.0), (3, 0.0, 0.5), (4, 0.0, 0.0)],
)
def test_border_moved_by_some_pixels(moved, within_1, within_2):
    for distance, expected in ((1, within_1), (2, within_2)):
        counts = border_counts(halves(5), halves(5 + moved), distance)
        assert (counts.precision, counts.recall) == (expected, expected)
        assert counts.f1 == pytest.approx(expected)
        assert counts.true == counts.found == 12


def test_precision_and_recall_differ():
    truth, found = halves(4), halves(4)
    found[0, :, 9:] = 0  # a second border where there is none
    counts = border_counts(truth, found, 1)
    assert (counts.precision, counts.recall) == (0.5, 1.0)
    assert counts.f1 == pytest.approx(2 / 3)
    swapped = border_counts(found, truth, 1)
    assert (swapped.precision, swapped.recall) == (1.0, 0.5)


def test_salt_and_pepper_is_called_speckled():
    truth = halves(20, 40, 40)
    noise = np.random.default_rng(0).integers(0, 2, truth.shape).astype(np.int16)
    counts = border_counts(truth, noise, 1)
    assert counts.recall > 0.9  # for nothing
    assert counts.precision < 0.2
    assert counts.speckled
    assert not border_counts(truth, halves(22, 40, 40), 1).speckled
    assert not border_counts(np.zeros_like(truth), noise, 1).speckled  # nothing to compare with


def test_unknown_pixels_neither_are_nor_make_borders():
    truth = halves(5)
    truth[0, :, 5:7] = -1  # the true border is not known any more
    assert not known_boundary(truth, truth >= 0).any()
    assert border_counts(truth, halves(6), 2).found == 0
    # a border of the map inside the known part still counts against it
    wrong = border_counts(truth, halves(9), 2)
    assert (wrong.found, wrong.found_right, wrong.true) == (12, 0, 0)
    assert wrong.f1 == 0.0


def test_only_counted_pixels_with_borders_of_the_whole_truth():
    counted = np.zeros((1, 6, 12), bool)
    counted[0, :3] = True
    counts = border_counts(halves(5), halves(6), 1, counted)
    assert (counts.found, counts.true, counts.f1) == (6, 6, 1.0)
    # cut right at the border: its own side is counted, matched with the other side
    counted[:] = False
    counted[0, :, 5:] = True
    cut = border_counts(halves(5), halves(5), 1, counted)
    assert (cut.found, cut.true, cut.f1) == (6, 6, 1.0)


def test_counts_add_up_and_nothing_gives_nan():
    a, b = BorderCounts(4, 2, 4, 4), BorderCounts(0, 0, 4, 0)
    assert (a + b).precision == 0.5
    assert (a + b).recall == 0.5
    assert b.f1 == 0.0
    assert np.isnan(b.precision)
    assert np.isnan(BorderCounts().f1)
    same = np.zeros((1, 5, 5), np.int16)
    assert np.isnan(border_counts(same, same, 1).f1)
