from __future__ import annotations

import numpy as np
import pytest

from sits_engine.errors import InputError
from sits_engine.samples.splits import METRES_PER_DEGREE, SHARES, assign_groups, split_sets

CLASSES = ("a", "b", "c", "rare")


def landscape(n=600, seed=0, rare=12):
    """Parcels in a square of 10 km near 48° N; 'rare' has few."""
    rng = np.random.default_rng(seed)
    metres = rng.uniform(0, 10_000, (n, 2))
    xy = metres / METRES_PER_DEGREE / (np.cos(np.deg2rad(48)), 1.0) + (11, 48)
    labels = rng.integers(0, 3, n)
    labels[rng.choice(n, rare, replace=False)] = 3
    return labels, xy


def test_blocks_stay_together_and_every_side_has_every_class() -> None:
    labels, xy = landscape()
    split = split_sets(labels, xy, CLASSES, seed=5)
    for block in np.unique(split.blocks):
        assert len(np.unique(split.side[split.blocks == block])) == 1
    for k in range(4):
        shares = np.bincount(split.side[labels == k], minlength=3) / (labels == k).sum()
        assert (shares > 0).all()
        tolerance = 0.05 if k < 3 else 0.2
        np.testing.assert_allclose(shares, SHARES, atol=tolerance)
    assert split.kind == "blocks"
    assert 300 < split.block_size < 2000
    assert split.notes == []


def test_neighbours_across_sides_are_rarer_than_in_a_parcel_split() -> None:
    labels, xy = landscape()
    near = np.linalg.norm((xy[:, None] - xy[None]) * (0.67, 1) * METRES_PER_DEGREE, axis=-1)
    pairs = np.argwhere((near < 200) & (near > 0))
    by_blocks = split_sets(labels, xy, CLASSES, seed=1).side
    by_parcels = split_sets(labels, xy, CLASSES, kind="parcels", seed=1).side
    apart = [(side[pairs[:, 0]] != side[pairs[:, 1]]).mean() for side in (by_blocks, by_parcels)]
    assert apart[0] < 0.65 * apart[1]


def test_same_seed_same_split() -> None:
    labels, xy = landscape()
    first, again, other = (split_sets(labels, xy, CLASSES, seed=s).side for s in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_a_field_in_two_seasons_is_on_one_side() -> None:
    labels, xy = landscape(300)
    split = split_sets(np.tile(labels, 2), np.tile(xy, (2, 1)), CLASSES, seed=2)
    np.testing.assert_array_equal(split.side[:300], split.side[300:])


@pytest.mark.parametrize("kind", ["blocks", "parcels"])
def test_seasons_of_one_field_count_as_one_place(kind) -> None:
    labels, xy = landscape(150, rare=0)
    # read on another grid, the centre moves by less than a millimetre
    split = split_sets(np.tile(labels, 3), np.vstack([xy, xy + 1e-9, xy]), CLASSES[:3], kind=kind, seed=3)
    for season in (1, 2):
        there = split.side[150 * season : 150 * (season + 1)]
        assert (there != split.side[:150]).mean() < 0.01
    assert (np.bincount(split.side, minlength=3) > 0).all()


def test_samples_of_one_place_are_split_all_the_same_and_that_is_said() -> None:
    labels = np.repeat([0, 1], 10)
    split = split_sets(labels, np.zeros((20, 2)), CLASSES[:2], kind="parcels", unit="samples")
    assert (np.bincount(split.side, minlength=3) > 0).all()
    assert "samples of one place may be in training and test" in split.notes[0]
    with pytest.raises(InputError, match="There are 2 samples"):
        split_sets(labels[:2], np.full((2, 2), np.nan), CLASSES[:2], unit="samples")


@pytest.mark.parametrize("seed", range(4))
def test_tiny_data_are_tested_on_two_classes(seed) -> None:
    counts = np.array([[6, 0], [5, 0], [4, 0], [0, 3], [0, 2]])  # two groups of the second class
    side = assign_groups(counts, seed)
    got = np.stack([counts[side == s].sum(axis=0) for s in range(3)])
    assert (got[[0, 2]] > 0).all()


def test_far_regions_have_blocks_of_their_own() -> None:
    labels, xy = landscape(300)
    split = split_sets(np.tile(labels, 2), np.vstack([xy, np.add(xy, (4, 3))]), CLASSES, seed=2)
    assert not set(split.blocks[:300]) & set(split.blocks[300:])
    assert split.block_size < 3000


def test_without_place_each_class_is_stratified() -> None:
    labels, xy = landscape(200, rare=9)
    split = split_sets(labels, np.full_like(xy, np.nan), CLASSES, seed=3)
    assert split.kind == "parcels"
    assert (split.blocks == -1).all()
    assert "no place" in split.notes[0]
    assert (np.bincount(split.side[labels == 3], minlength=3) >= 1).all()


def test_a_class_in_one_block_is_trained_and_the_lack_is_told() -> None:
    labels, xy = landscape(rare=0)
    corner = np.linalg.norm(xy - xy.min(axis=0), axis=1) < 0.01
    labels[corner] = 3
    split = split_sets(labels, xy, CLASSES, block_size=3000, seed=0)
    assert (split.side[labels == 3] == 0).all()
    assert any("The test side has no parcel of rare" in note for note in split.notes)


def test_too_few_blocks() -> None:
    labels, xy = landscape()
    with pytest.raises(InputError, match="in 1 spatial blocks of 50000 m"):
        split_sets(labels, xy, CLASSES, block_size=50_000)


def test_groups_of_many_sizes_come_close_to_the_shares() -> None:
    rng = np.random.default_rng(0)
    counts = rng.poisson(rng.gamma(1, 4, (80, 1)) * [1, 0.5, 0.1]).astype(np.int64)
    side = assign_groups(counts, 0)
    got = np.stack([counts[side == s].sum(axis=0) for s in range(3)]) / counts.sum(axis=0)
    np.testing.assert_allclose(got, np.array(SHARES)[:, None] * np.ones(3), atol=0.06)


def test_classes_with_fewer_than_three_groups_are_trained_only() -> None:
    counts = np.zeros((30, 3), dtype=np.int64)
    counts[:28, 0] = 2
    counts[28:, 1] = 1
    counts[::4, 2] = 1
    side = assign_groups(counts, 0)
    assert side[28:].tolist() == [0, 0]
    assert set(side[::4]) == {0, 1, 2}
