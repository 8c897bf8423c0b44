"""Training, validation and test: whole windows by blocks of land, or, with few windows, parts of them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from sits_engine.errors import InputError
from sits_engine.learning.segmentation.targets import HIDDEN
from sits_engine.learning.summary import SPLITS
from sits_engine.samples.splits import (
    SAME_PLACE,
    assign_groups,
    block_numbers,
    choose_block_size,
    unscored,
)
from sits_engine.samples.windows import WindowSet

Ints = npt.NDArray[np.int64]
#: With fewer windows (that don't overlap) a side would hold two or three of them, which says nothing.
FEWEST_WINDOWS = 12
#: A block chosen for the user is at least so many windows wide, if so many blocks remain.
BLOCK_WINDOWS, FEWEST_BLOCKS = 2, 12
#: Tiles wanted when windows are cut, and the smallest side of a tile in pixels of the images.
WANTED_TILES, SMALLEST_TILE = 16, 6


@dataclass
class Sides:
    """Which labelled pixel goes where.

    Attributes:
        windows: all of them, with all their labels.
        side: (N, H * scale, W * scale) int8, index into `SPLITS`.
        kind: 'blocks' (of land), 'windows' (one by one, where they have no place), 'tiles' (parts of
            windows), 'regions' (whole ones) or 'folds' (published ones; both: `given_sides`).
        block_size: metres, None where blocks weren't used.
        xy: (M, 2) place of each block's window; NaN for tiles.
        split: (M,) its side.
        notes: sentences on what the user must know.
    """

    windows: WindowSet
    side: npt.NDArray[np.int8]
    kind: Literal["blocks", "windows", "tiles", "regions", "folds"]
    block_size: float | None
    xy: npt.NDArray[np.float64]
    split: Ints
    notes: list[str] = field(default_factory=list)

    @property
    def hidden(self) -> bool:
        """Whether windows hold pixels of several sides."""
        return self.kind == "tiles"

    def part(self, number: int) -> WindowSet:
        """All windows, but labels of other sides are `HIDDEN`; images are shared, not copied."""
        return replace(
            self.windows, labels=np.where(self.side == number, self.windows.labels, HIDDEN).astype(np.int16)
        )

    def counts(self) -> Ints:
        """(3, K) known pixels of each class on each side."""
        return counts_of(self.windows, self.side.astype(np.int64), 3)


def split_windows(
    windows: WindowSet,
    *,
    kind: Literal["blocks", "inside"] = "blocks",
    block_size: float | None = None,
    seed: int = 0,
    pixel_size: float | None = None,
) -> Sides:
    """Split windows so that each side gets its share of each class.

    Windows of one block of land (by their centres) stay together, and so do windows that share pixels. With
    too few windows, or where blocks would leave training without a class, tiles are cut out of the windows.

    Args:
        windows: labelled by class.
        kind: 'inside' cuts tiles in any case.
        block_size: metres; None chooses one, at least two windows wide where enough blocks remain.
        seed: same seed, same split.
        pixel_size: metres of a pixel of the images, None where unknown.

    Raises:
        InputError: not even tiles give three groups, or training lacks a class.
    """
    reason = ""
    if kind == "blocks":
        side_length = max(windows.size) * (pixel_size or 0.0)
        groups, size = _blocks(windows, block_size, side_length)
        n = int(groups.max(initial=-1)) + 1
        apart = len(np.unique(windows.sharing_groups()))
        if apart < FEWEST_WINDOWS:
            reason = (
                f"There {_are(apart, 'window')} that {'does' if apart == 1 else 'do'} not overlap, too few "
                "for a split into blocks of land"
            )
        elif n < 3:
            reason = f"The windows lie in {_number(n, 'block')} of land"
        else:
            side = assign_groups(counts_of(windows, everywhere(windows, groups), n), seed)[groups]
            where = everywhere(windows, side).astype(np.int8)
            named: Literal["blocks", "windows"] = "blocks" if size else "windows"
            found = Sides(windows, where, named, size, windows.xy, side)
            lacking = lacking_classes(found, 0)
            if not lacking:
                found.notes += _narrow_notes(size, side_length, asked=block_size is not None)
                found.notes += lack_notes(found)
                return found
            reason = f"Whole blocks of land would leave training without {', '.join(lacking)}"
    return _tiles(windows, reason, seed)


def _blocks(windows: WindowSet, block_size: float | None, side_length: float) -> tuple[Ints, float | None]:
    """(N,) group of each window, and the size of the blocks in metres (None where nothing has a place)."""
    n = len(windows)
    placed: npt.NDArray[np.bool_] = np.asarray(np.isfinite(windows.xy).all(axis=1))
    own = np.arange(n)
    size = None
    if placed.any():
        size = block_size or _chosen_size(windows, placed, BLOCK_WINDOWS * side_length)
        own = own + n
        own[placed] = block_numbers(windows.xy[placed], size)
    # windows of one block, and windows that share pixels, hang together
    links = []
    for numbers in (own, windows.sharing_groups()):
        _, first, inverse = np.unique(numbers, return_index=True, return_inverse=True)
        links.append(first[inverse.reshape(-1)])
    rows, cols = np.tile(np.arange(n), 2), np.concatenate(links)
    graph = coo_array((np.ones(2 * n), (rows, cols)), shape=(n, n))
    return connected_components(graph, directed=False)[1].astype(np.int64), size


def _chosen_size(windows: WindowSet, placed: npt.NDArray[np.bool_], least: float) -> float:
    """Size of blocks in metres: `least` or more, unless that leaves too few blocks, or a class in too few."""
    known = windows.labels.reshape(len(windows), -1)
    shares = np.stack([(known == k).sum(axis=1) for k in range(len(windows.classes))])
    size = choose_block_size(shares.argmax(axis=0).astype(np.int64), windows.xy)
    if size >= least:
        return size

    def spread(metres: float) -> tuple[int, int]:
        """Blocks, and classes that are in three of them."""
        blocks = block_numbers(windows.xy[placed], metres)
        there = [len(np.unique(blocks[own > 0])) for own in shares[:, placed]]
        return int(blocks.max()) + 1, sum(n >= 3 for n in there)

    blocks, classes = spread(least)
    return least if blocks >= FEWEST_BLOCKS and classes >= spread(size)[1] else size


def _narrow_notes(size: float | None, side_length: float, *, asked: bool) -> list[str]:
    """A sentence where blocks are so small that they hardly keep neighbours together."""
    if size is None or size >= (1 if asked else BLOCK_WINDOWS) * side_length:
        return []
    name = "BLOCK_SIZE" if asked else "The size of blocks"
    way = (
        "Choose larger blocks."
        if asked
        else "Larger ones would be too few: give more land, or distrust them."
    )
    return [
        f"{name} is {size:g} m, and a window is {side_length:g} m wide: neighbouring windows, often with "
        f"parts of one field, may be in training and test, so scores are too good. {way}"
    ]


def _tiles(windows: WindowSet, reason: str, seed: int) -> Sides:
    """Cut the land of each region into square tiles, and give these to the sides."""
    side_length = min(windows.size)
    for cuts in (2, 3, 4, 6, 8):
        tile = -(-side_length // cuts)
        cells = _cells(windows, tile)
        n = int(cells.max()) + 1
        counts = counts_of(windows, cells, n)
        if int(counts.any(axis=1).sum()) >= WANTED_TILES or -(-side_length // (cuts + 1)) < SMALLEST_TILE:
            break
    if int(counts.any(axis=1).sum()) < 3:
        raise InputError(
            f"The labels lie in {_number(int(counts.any(axis=1).sum()), 'tile')} of {tile} pixels; training, "
            "validation and test need at least three.",
            "Label more fields, or use larger windows.",
        )
    of_tile = assign_groups(counts, seed)
    there = counts.any(axis=1)
    found = Sides(
        windows,
        of_tile[cells].astype(np.int8),
        "tiles",
        None,
        np.full((int(there.sum()), 2), np.nan),
        of_tile[there],
    )
    lacking = lacking_classes(found, 0)
    if lacking:
        raise InputError(
            f"No training pixel of {', '.join(lacking)}: all lie in tiles for validation or test.",
            "Label more fields of these classes, or raise MIN_PIXELS.",
        )
    text = f"parts of windows ({tile} x {tile} pixels) were given to training, validation and test."
    found.notes.append(
        f"{reason}: {text} The sides are neighbours, often of one field, so scores are too good."
        if reason
        else f"As asked for, {text} The sides are neighbours, often of one field, so scores are too good."
    )
    found.notes += lack_notes(found)
    return found


def _cells(windows: WindowSet, tile: int) -> Ints:
    """(N, H * scale, W * scale) number of the tile of each pixel; the same land is the same tile."""
    height, width = windows.size
    down = (windows.rows[:, None] + np.arange(height)) // tile
    across = (windows.cols[:, None] + np.arange(width)) // tile
    wide = int(across.max()) + 1
    tall = int(down.max()) + 1
    region = _lands(windows)[:, None, None]
    key = (region * tall + down[:, :, None]) * wide + across[:, None, :]
    _, numbers = np.unique(key, return_inverse=True)
    cells = numbers.reshape(key.shape).astype(np.int64)
    return cells.repeat(windows.scale, axis=1).repeat(windows.scale, axis=2)


def _lands(windows: WindowSet) -> Ints:
    """(N,) number of the grid of each window: regions that show the same land (two seasons of it) have one.

    They are recognised by a window that lies at the same place of the grid and of the world in both.
    """
    first: dict[tuple[float, ...], int] = {}
    land = {int(region): int(region) for region in np.unique(windows.region)}
    for region, row, col, xy in zip(windows.region, windows.rows, windows.cols, windows.xy, strict=True):
        if np.isfinite(xy).all():
            key = (int(row), int(col), *np.round(xy, SAME_PLACE).tolist())
            old, new = land[int(region)], land[first.setdefault(key, int(region))]
            land = {r: new if number == old else number for r, number in land.items()}
    return np.array([land[int(region)] for region in windows.region], np.int64)


def everywhere(windows: WindowSet, values: Ints) -> Ints:
    """(N, H * scale, W * scale) the value of each window at all its pixels; a view."""
    return np.broadcast_to(values[:, None, None], windows.labels.shape)


def counts_of(windows: WindowSet, groups: Ints, n: int) -> Ints:
    """(n, K) known pixels of each class in each group of pixels."""
    k = len(windows.classes)
    known = windows.labels >= 0
    flat = groups[known] * k + windows.labels[known]
    return np.bincount(flat, minlength=n * k).reshape(n, k).astype(np.int64)


def lacking_classes(sides: Sides, number: int) -> list[str]:
    """Classes without a known pixel on a side."""
    return [name for name, n in zip(sides.windows.classes, sides.counts()[number], strict=True) if n == 0]


def lack_notes(sides: Sides) -> list[str]:
    """A sentence for validation and for test, where they lack classes."""
    notes = []
    for number in (1, 2):
        lacking = lacking_classes(sides, number)
        if lacking:
            name = "training" if number == 0 else SPLITS[number]
            advice = unscored(lacking) if number == 2 else ""
            notes.append(f"The {name} side has no pixel of {', '.join(lacking)}: too few labels.{advice}")
    return notes


def _number(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"


def _are(n: int, what: str) -> str:
    return f"{'is' if n == 1 else 'are'} {_number(n, what)}"
