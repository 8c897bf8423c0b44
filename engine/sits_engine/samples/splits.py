"""Train, validation and test: whole spatial blocks (default), or single parcels."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from sits_engine.errors import InputError

#: Shares of training, validation and test.
SHARES = (0.65, 0.15, 0.20)
#: Blocks wanted when the block size is chosen automatically.
WANTED_BLOCKS = 60
METRES_PER_DEGREE = 111_320.0
#: Decimals of a degree (1 m) to which two sets lie at the same place, whatever grid they were read on.
SAME_PLACE = 5
#: Up to so many groups a split whose test side has a single class is searched for a better one.
FEW_GROUPS = 60
#: Sizes tried: from a third of the extent downwards, each so many times smaller than the one before.
SIZES, SIZE_RATIO = 26, 1.3
#: Tries with different orders; the one closest to the wanted shares wins.
TRIES = 24


@dataclass
class Split:
    """Which set goes where.

    Attributes:
        side: (N,) 0 train, 1 validation, 2 test.
        blocks: (N,) block of each set, -1 without place.
        kind: 'blocks' or 'parcels'.
        block_size: metres, None where blocks weren't used.
        notes: sentences, e.g. on classes that one side lacks.
    """

    side: npt.NDArray[np.int64]
    blocks: npt.NDArray[np.int64]
    kind: str
    block_size: float | None
    notes: list[str] = field(default_factory=list)


def split_sets(
    labels: npt.NDArray[np.int64],
    xy: npt.NDArray[np.float64],
    classes: tuple[str, ...],
    *,
    kind: str = "blocks",
    block_size: float | None = None,
    seed: int = 0,
    unit: str = "parcels",
) -> Split:
    """Split sets so that each side gets its share of each class, as far as blocks allow.

    Sets without place are blocks of their own; so are, where a split by parcels is asked for, all sets of
    one place. A block is a place on the ground, whatever series a set comes from: the same field in two
    seasons never is in training and test.

    Args:
        labels: (N,) class, none unknown.
        xy: (N, 2) longitude, latitude; NaN without place.
        classes: names, for messages.
        kind: 'blocks' or 'parcels'.
        block_size: metres; None chooses one.
        seed: same seed, same split.
        unit: what the sets are called in messages.

    Raises:
        InputError: fewer than three blocks, or fewer than three sets.
    """
    n = len(labels)
    placed = np.isfinite(xy).all(axis=1)
    notes: list[str] = []
    if kind == "blocks" and not placed.any():
        notes.append("The samples have no place: split at random within each class, not in spatial blocks.")
        kind = "parcels"
    blocks = np.full(n, -1, dtype=np.int64)
    size = None
    if kind == "blocks":
        size = block_size or choose_block_size(labels, xy)
        blocks[placed] = block_numbers(xy[placed], size)
        if not placed.all():
            notes.append(f"{int((~placed).sum())} samples without place were split at random.")
    groups = blocks.copy()
    single = groups < 0
    groups[single] = np.arange(int(single.sum())) + blocks.max(initial=-1) + 1
    if kind == "parcels" and n >= 3:
        places = same_place(xy)
        if len(np.unique(places)) >= 3:
            groups = places
        else:
            notes.append(
                f"The {unit} lie at fewer than three places: {unit} of one place may be in training and test."
            )
    _, groups = np.unique(groups, return_inverse=True)
    if groups.max(initial=-1) < 2:
        raise InputError(
            f"The {n} {unit} lie in {groups.max(initial=-1) + 1} spatial blocks of {size:.0f} m; training, "
            "validation and test need at least three."
            if size
            else f"There are {n} {unit}; training, validation and test need at least three.",
            "Choose a smaller BLOCK_SIZE, or SPLIT = parcels." if size else f"Give more {unit}.",
        )
    counts = np.zeros((groups.max() + 1, len(classes)), dtype=np.int64)
    np.add.at(counts, (groups, labels), 1)
    side = assign_groups(counts, seed)[groups]
    for s, name in enumerate(("training", "validation", "test")):
        lacking = [c for k, c in enumerate(classes) if not (labels[side == s] == k).any()]
        if lacking:
            advice = unscored(lacking) if s == 2 else ""
            few = "blocks" if kind == "blocks" else unit
            one = unit.removesuffix("s")
            notes.append(f"The {name} side has no {one} of {', '.join(lacking)}: too few {few}.{advice}")
    return Split(side, blocks, kind, size, notes)


def unscored(lacking: list[str]) -> str:
    """What it means that the test side lacks these classes, as a sentence after another one."""
    return " This class gets no score." if len(lacking) == 1 else " These classes get no scores."


def same_place(xy: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """(N,) number of the first set at the same place; its own number for a set without place."""
    out = np.arange(len(xy), dtype=np.int64)
    placed = np.flatnonzero(np.isfinite(xy).all(axis=1))
    if len(placed):
        _, first, inverse = np.unique(
            np.round(xy[placed], SAME_PLACE), axis=0, return_index=True, return_inverse=True
        )
        out[placed] = placed[first[inverse.reshape(-1)]]
    return out


def assign_groups(counts: npt.NDArray[np.int64], seed: int) -> npt.NDArray[np.int64]:
    """Give each group of samples to train (0), validation (1) or test (2).

    Iterative stratification (Sechidis et al. 2011) over groups: the class with the fewest samples left
    goes first, its largest group to the side that misses that class most. Best of up to `TRIES` orders.
    Classes with fewer than three groups are trained only.

    Args:
        counts: (G, K) samples of each class in each group.

    Returns:
        (G,) side.
    """
    rng = np.random.default_rng(seed)
    best, best_cost = np.zeros(len(counts), dtype=np.int64), np.inf
    # with thousands of small groups one order is as good as another
    for _ in range(max(2, min(TRIES, 8000 // max(1, len(counts))))):
        side = _greedy(counts, rng)
        cost = _cost(counts, side)
        if cost < best_cost:
            best, best_cost = side, cost
    if len(counts) <= FEW_GROUPS and _tested(counts, best) < min(2, int(counts.any(axis=0).sum())):
        best = _exchanged(counts, best, best_cost)
    return best


def _tested(counts: npt.NDArray[np.int64], side: npt.NDArray[np.int64]) -> int:
    """Classes on the test side."""
    return int(counts[side == 2].any(axis=0).sum())


def _exchanged(
    counts: npt.NDArray[np.int64], side: npt.NDArray[np.int64], cost: float
) -> npt.NDArray[np.int64]:
    """Move or swap groups as long as that helps: for tiny data, where no order gives two tested classes."""
    while True:
        moves = [((g, s),) for g in range(len(side)) for s in range(3) if s != side[g]]
        swaps = [
            ((g, int(side[h])), (h, int(side[g])))
            for g in range(len(side))
            for h in range(g)
            if side[g] != side[h]
        ]
        found, found_cost = side, cost
        for change in [*moves, *swaps]:
            tried = side.copy()
            for group, target in change:
                tried[group] = target
            if (new := _cost(counts, tried)) < found_cost - 1e-12:
                found, found_cost = tried, new
        if found is side:
            return side
        side, cost = found, found_cost


def _greedy(counts: npt.NDArray[np.int64], rng: np.random.Generator) -> npt.NDArray[np.int64]:
    shares = np.array(SHARES)
    missing = shares[:, None] * counts.sum(axis=0)  # (3, K) still wanted
    side = np.where(counts.any(axis=1), -1, 0).astype(np.int64)
    # one group of a class says nothing about it in validation or test: all of them go to training
    few = (counts > 0).sum(axis=0) < 3
    side[(counts[:, few] > 0).any(axis=1)] = 0
    missing[0] -= counts[side == 0].sum(axis=0)
    order = rng.permutation(len(counts))
    left = counts[side < 0].sum(axis=0).astype(np.float64)
    while (side < 0).any():
        present = np.flatnonzero(left > 0)
        rarest = present[np.argmin(left[present])]
        candidates = order[(side[order] < 0) & (counts[order, rarest] > 0)]
        # large groups first: small ones can still even things out
        for group in candidates[np.argsort(-counts[candidates, rarest], kind="stable")]:
            wish = missing[:, rarest] / shares
            target = int(np.argmax(wish + 1e-6 * missing.sum(axis=1) + 1e-9 * rng.random(3)))
            side[group] = target
            missing[target] -= counts[group]
            left -= counts[group]
    return side


def _cost(counts: npt.NDArray[np.int64], side: npt.NDArray[np.int64]) -> float:
    """Mean deviation from the wanted shares; a class that a side lacks costs far more."""
    total = counts.sum(axis=0)
    got = np.stack([counts[side == s].sum(axis=0) for s in range(3)])
    present = total > 0
    deviation = np.abs(got[:, present] / total[present] - np.array(SHARES)[:, None]).mean()
    # a class must be trained first of all; without validation or test it can at least be mapped
    lacking = float((got[:, present] == 0).sum(axis=1) @ np.array([100.0, 10.0, 10.0]))
    # one class alone can't be mistaken for another: its scores would mean nothing
    if _tested(counts, side) < min(2, int(present.sum())):
        lacking += 50.0
    return float(deviation + lacking)


def block_numbers(xy: npt.NDArray[np.float64], size: float) -> npt.NDArray[np.int64]:
    """(N,) number of the square block of `size` metres that holds each place."""
    metres = local_metres(xy)
    cells = np.floor((metres - metres.min(axis=0)) / size).astype(np.int64)
    _, numbers = np.unique(cells, axis=0, return_inverse=True)
    return np.asarray(numbers.reshape(-1), dtype=np.int64)


def local_metres(xy: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Longitude and latitude as metres east and north, true at the mean latitude: enough for blocks."""
    middle = np.deg2rad(xy[:, 1].mean())
    return np.asarray(xy * METRES_PER_DEGREE * np.array([np.cos(middle), 1.0]))


def choose_block_size(labels: npt.NDArray[np.int64], xy: npt.NDArray[np.float64]) -> float:
    """The largest block size (metres) that gives enough blocks and lets every class reach every side.

    Larger blocks keep neighbours together, which is honest; smaller ones spread each class over more of
    them. Wanted are six blocks of each class; where no size gives that, three; where not even that is
    possible for some classes (few parcels, or all in one spot), as many classes as possible with three.
    """
    placed = np.isfinite(xy).all(axis=1)
    labels, xy = labels[placed], xy[placed]
    extent = float(np.ptp(local_metres(xy), axis=0).max())
    wanted = min(WANTED_BLOCKS, max(3, len(labels) // 3))
    present = np.bincount(labels) > 0
    best, best_rank = max(extent / 3, 1.0), (-1, -1)
    for step in range(SIZES):
        size = max(extent / 3 / SIZE_RATIO**step, 1.0)
        blocks = block_numbers(xy, size)
        if blocks.max() + 1 < wanted:
            continue
        pairs = np.unique(np.column_stack([labels, blocks]), axis=0)
        spread = np.bincount(pairs[:, 0], minlength=len(present))[present]
        rank = (int((spread >= 3).sum()), int((spread >= 6).sum()))
        if rank > best_rank:
            best, best_rank = size, rank
        if (spread >= 6).all():
            break
    return _round(best)


def _round(size: float) -> float:
    """Two significant digits."""
    digits = int(np.floor(np.log10(size))) - 1
    return float(max(1.0, np.floor(size / 10.0**digits) * 10.0**digits))
