"""Which parcels of a published tile are trained on, validated with and tested on."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from sits_engine.errors import InputError
from sits_engine.samples.splits import assign_groups

PublishedSplit = Literal["published", "blocks", "parcels"]
Sides = npt.NDArray[np.int64]
#: Shares of validation and test in the paper's split; training gets the rest.
VALIDATION, TEST = 0.1, 0.2
#: The paper's folds, and the seed that its random stream starts from.
FOLDS, SEED = 3, 1
#: With fewer parcels one of the paper's sides would be empty.
FEWEST = 10


def published_sides(tiles: Sequence[tuple[str, int]], fold: int) -> dict[str, Sides]:
    """The paper's own split, for comparison with it: parcels at random, whatever their neighbours.

    One random stream serves all folds and tiles, so the split of a tile depends on what was drawn before:
    on the other tile of the pair, its number of parcels and the order of the two. A tile that is named
    twice (training and testing on the same tile) is drawn twice and the second draw counts.

    Args:
        tiles: (name, number of parcels), the source first, then the target.
        fold: 0, 1 or 2.

    Returns:
        For each name (N,) 0 train, 1 validation, 2 test.

    Raises:
        InputError: the fold doesn't exist, or a tile has fewer than ten parcels.

    Source: shared/spec/timematch.md section 1.5; what is wrong with it: pitfalls.md 1.4 and 1.5.
    """
    _check(tiles, fold)
    # Python's own stream, as in the reference: nothing here is secret
    stream = random.Random(SEED)  # nosec B311
    sides: dict[str, Sides] = {}
    for _ in range(fold + 1):
        for name, n in tiles:
            order = list(range(n))
            stream.shuffle(order)
            sides[name] = _cut(np.array(order, dtype=np.int64))
    return sides


def parcel_sides(tile: str, n: int, fold: int) -> Sides:
    """The paper's shares at random, but by tile and fold alone: the same whatever the tile is paired with."""
    _check([(tile, n)], fold)
    return _cut(np.random.default_rng(seed_of(tile, fold)).permutation(n))


def block_sides(tile: str, blocks: npt.NDArray[np.int64], names: Sequence[str], fold: int) -> Sides:
    """Whole blocks of the tile on one side, so that no neighbour of a tested parcel was trained on.

    Depends on tile and fold alone. Shares are those of `splits.SHARES`, evened out for each name.

    Args:
        tile: its name.
        blocks: (N,) number of the published block (10 x 10 in a tile) of each parcel.
        names: (N,) what should be spread evenly over the sides: names of the tile itself, not the classes
            of an experiment, which depend on the source.
        fold: 0, 1 or 2.

    Raises:
        InputError: the fold doesn't exist, or the parcels lie in fewer than three blocks.
    """
    _check([(tile, len(blocks))], fold)
    _, group = np.unique(blocks, return_inverse=True)
    if group.max() < 2:
        raise InputError(
            f"The parcels of {tile} lie in {group.max() + 1} blocks; training, validation and test need at "
            "least three.",
            "Choose SPLIT = parcels.",
        )
    kinds, kind = np.unique(np.asarray(names, dtype=np.str_), return_inverse=True)
    counts = np.zeros((group.max() + 1, len(kinds)), dtype=np.int64)
    np.add.at(counts, (group, kind), 1)
    return assign_groups(counts, seed_of(tile, fold))[group]


def seed_of(tile: str, fold: int) -> int:
    """A seed made of tile and fold alone, the same on every machine."""
    return int.from_bytes(hashlib.sha256(f"{tile} {fold}".encode()).digest()[:8], "little")


def _cut(order: npt.NDArray[np.int64]) -> Sides:
    n = len(order)
    test, validation = int(TEST * n), int(VALIDATION * n)
    side = np.zeros(n, dtype=np.int64)
    side[order[n - test - validation : n - test]] = 1
    side[order[n - test :]] = 2
    return side


def _check(tiles: Sequence[tuple[str, int]], fold: int) -> None:
    if not 0 <= fold < FOLDS:
        raise InputError(f"There is no fold {fold}.", f"Choose one of 0 to {FOLDS - 1}.")
    for name, n in tiles:
        if n < FEWEST:
            raise InputError(
                f"{name} has {n} parcels; training, validation and test need at least {FEWEST}.",
                "Give the whole tile.",
            )
