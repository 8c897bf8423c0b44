from __future__ import annotations

import random

import numpy as np
import pytest

from sits_engine.errors import InputError
from sits_engine.samples.published_splits import block_sides, parcel_sides, published_sides


def expected(tiles: dict[str, int], fold: int) -> dict[str, dict[int, int]]:
    """The specification's words, with Python's own global stream."""
    state = random.getstate()
    random.seed(1)
    try:
        for _ in range(fold + 1):
            found = {}
            for name, n in tiles.items():
                order = list(range(n))
                random.shuffle(order)
                test, validation = int(0.2 * n), int(0.1 * n)
                train = n - test - validation
                found[name] = (
                    dict.fromkeys(order[:train], 0)
                    | dict.fromkeys(order[train : train + validation], 1)
                    | dict.fromkeys(order[train + validation :], 2)
                )
    finally:
        random.setstate(state)
    return found


@pytest.mark.parametrize("fold", [0, 1, 2])
def test_published_split_follows_the_reference_stream(fold: int) -> None:
    tiles = {"denmark/32VNH/2017": 57, "france/30TXT/2017": 33}
    found = published_sides(list(tiles.items()), fold)
    for name, sides in expected(tiles, fold).items():
        assert found[name].tolist() == [sides[i] for i in range(tiles[name])]
    # 57: test 11, validation 5; 33: test 6, validation 3
    assert np.bincount(found["denmark/32VNH/2017"]).tolist() == [41, 5, 11]
    assert np.bincount(found["france/30TXT/2017"]).tolist() == [24, 3, 6]


def test_the_stream_is_that_of_python_with_seed_1() -> None:
    # random.seed(1); x = list(range(10)); random.shuffle(x) -> x, the same in every Python since 3.2
    order = [6, 8, 9, 7, 5, 3, 0, 4, 1, 2]
    sides = published_sides([("a", 10)], 0)["a"]
    assert sides[order].tolist() == [0] * 7 + [1] + [2] * 2


def test_a_tile_paired_with_itself_keeps_the_second_draw() -> None:
    twice = published_sides([("a", 40), ("a", 40)], 0)["a"]
    np.testing.assert_array_equal(twice, published_sides([("x", 40), ("a", 40)], 0)["a"])
    assert (twice != published_sides([("a", 40)], 0)["a"]).any()


def test_the_published_split_of_a_target_depends_on_its_source() -> None:
    one = published_sides([("a", 50), ("t", 200)], 0)["t"]
    other = published_sides([("b", 60), ("t", 200)], 0)["t"]
    assert (one != other).any()


def test_parcel_split_depends_on_tile_and_fold_alone() -> None:
    first = parcel_sides("t", 200, 0)
    np.testing.assert_array_equal(first, parcel_sides("t", 200, 0))
    assert np.bincount(first).tolist() == [140, 20, 40]
    assert (first != parcel_sides("t", 200, 1)).any()
    assert (first != parcel_sides("u", 200, 0)).any()


def test_block_split_keeps_blocks_whole_and_spreads_the_names() -> None:
    blocks = np.arange(600) % 30
    names = ["wheat" if i % 7 else "corn" for i in range(600)]
    side = block_sides("t", blocks, names, 0)
    assert all(len(set(side[blocks == b])) == 1 for b in range(30))
    for s, share in enumerate((0.65, 0.15, 0.20)):
        assert abs((side == s).mean() - share) < 0.05
        assert {n for n, at in zip(names, side, strict=True) if at == s} == {"wheat", "corn"}
    assert (side != block_sides("t", blocks, names, 1)).any()


def test_too_few() -> None:
    with pytest.raises(InputError, match=r"t has 9 parcels.*at least 10"):
        published_sides([("t", 9)], 0)
    with pytest.raises(InputError, match=r"2 blocks.*SPLIT = parcels"):
        block_sides("t", np.arange(20) % 2, ["a"] * 20, 0)
    with pytest.raises(InputError, match="no fold 3"):
        published_sides([("t", 50)], 3)
