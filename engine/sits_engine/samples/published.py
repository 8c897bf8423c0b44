"""The published TimeMatch data as pixel sets: a source and a target tile with common classes and splits."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import psutil

from sits_engine.device import threads
from sits_engine.errors import InputError
from sits_engine.samples.gather import MEMORY_SHARE
from sits_engine.samples.pixel_sets import PixelSets, offsets_of
from sits_engine.samples.published_classes import UNKNOWN, class_list, names_of, read_class_mapping
from sits_engine.samples.published_splits import PublishedSplit, block_sides, parcel_sides, published_sides
from sits_engine.samples.published_tile import BANDS, SCALE, PublishedTile, read_parcel, read_tile

#: Parcels read between two looks at cancellation.
AT_ONCE = 64
#: Names with fewer parcels in a tile don't have a say in how its blocks are split.
SPREAD_NAMES = 200


@dataclass(frozen=True)
class PublishedOptions:
    """How to read a pair; the defaults are the paper's.

    Attributes:
        class_mapping_source: crop codes of the source's country (`read_class_mapping`).
        class_mapping_target: of the target's; None where the country is the same.
        fold: 0, 1 or 2.
        split: 'published': the paper's random stream, which depends on the pair; 'parcels': its shares, by
            tile and fold alone; 'blocks': whole blocks of a tile, by tile and fold alone.
        combine_spring_and_winter: one class for both.
        unknown: 'class': codes without a name and classes with too few parcels in the source are together
            a class like any other; 'drop': their parcels are left out, in the target as well, which takes
            labels that a real target doesn't have.
        min_parcels: fewest parcels of a class in the source tile.
        max_pixels: of a parcel, drawn once; None keeps all, or as many as the memory holds.
        seed: of that draw.
    """

    class_mapping_source: Path
    class_mapping_target: Path | None = None
    fold: int = 0
    split: PublishedSplit = "published"
    combine_spring_and_winter: bool = False
    unknown: Literal["class", "drop"] = "class"
    min_parcels: int = 200
    max_pixels: int | None = None
    seed: int = 1


@dataclass
class PublishedPair:
    """Two tiles ready for an experiment.

    Attributes:
        source, target: with the same classes in the same order, reflectance, regions 0 and 1, published
            block numbers, no places. Every date counts, clouded or not, as published.
        source_side, target_side: (N,) 0 train, 1 validation, 2 test.
        titles: names of the tiles, e.g. 'denmark/32VNH/2017'.
        season_years: of the two.
        notes: sentences on what was left out or merged.
    """

    source: PixelSets
    target: PixelSets
    source_side: npt.NDArray[np.int64]
    target_side: npt.NDArray[np.int64]
    titles: tuple[str, str]
    season_years: tuple[int, int]
    notes: list[str] = field(default_factory=list)


def read_published_pair(
    source: Path,
    target: Path,
    options: PublishedOptions,
    progress: Callable[[float], None] = lambda fraction: None,
) -> PublishedPair:
    """Read a source and a target tile.

    Args:
        source, target: folders `<country>/<tile>/<year>`; may be the same.
        options: see there.
        progress: gets the share done; may raise to cancel.

    Raises:
        InputError: a folder is not in the published layout, a mapping doesn't fit, or too few parcels.

    Source: shared/spec/timematch.md section 1.
    """
    tiles = read_tile(source), read_tile(target)
    mappings = (options.class_mapping_source, options.class_mapping_target or options.class_mapping_source)
    names = [
        names_of(
            tile.codes,
            read_class_mapping(path, combine_spring_and_winter=options.combine_spring_and_winter),
        )
        for tile, path in zip(tiles, mappings, strict=True)
    ]
    notes = [note for t, n, m in zip(tiles, names, mappings, strict=True) for note in _fit(t, n, m)]
    closed = options.unknown == "drop"
    classes = class_list(names[0], min_parcels=options.min_parcels, with_unknown=not closed)
    place = {name: k for k, name in enumerate(classes)}
    labels = [np.array([place.get(n, place.get(UNKNOWN, -1)) for n in own], dtype=np.int64) for own in names]
    sides = _sides(tiles, names, options)
    cap, said = _affordable(tiles, options.max_pixels)
    notes += said
    amounts = [float(tile.n_pixels.sum()) for tile in tiles]
    sets = []
    for number, tile in enumerate(tiles):
        kept = np.flatnonzero(labels[number] >= 0)
        if len(kept) < len(tile):
            notes.append(f"{tile.name}: {len(tile) - len(kept)} parcels of no class were left out.")
        if not len(kept):
            raise InputError(
                f"No parcel of {tile.name} has one of the source's classes: {', '.join(classes)}.",
                "Check that the class mapping belongs to its country.",
            )
        sides[number] = sides[number][kept]
        start, share = sum(amounts[:number]) / sum(amounts), amounts[number] / sum(amounts)
        sets.append(
            read_parcels(
                tile,
                kept,
                labels[number][kept],
                tuple(classes),
                region=number,
                max_pixels=cap,
                seed=options.seed,
                progress=lambda f, start=start, share=share: progress(start + share * f),  # type: ignore[misc]
            )
        )
    return PublishedPair(
        source=sets[0],
        target=sets[1],
        source_side=sides[0],
        target_side=sides[1],
        titles=(tiles[0].name, tiles[1].name),
        season_years=(tiles[0].season_year, tiles[1].season_year),
        notes=notes,
    )


def read_parcels(
    tile: PublishedTile,
    index: npt.NDArray[np.int64],
    labels: npt.NDArray[np.int64],
    classes: tuple[str, ...],
    *,
    region: int = 0,
    max_pixels: int | None = None,
    seed: int = 1,
    progress: Callable[[float], None] = lambda fraction: None,
) -> PixelSets:
    """Read parcels of a tile.

    Args:
        tile: facts of the tile.
        index: (N,) numbers of the parcels.
        labels: (N,) their labels in `classes`.
        classes: names.
        region: number of the region.
        max_pixels: of a parcel; which ones depends on seed and parcel alone.
        seed: of that draw.
        progress: gets the share done; may raise to cancel.

    Raises:
        InputError: a parcel is missing, damaged, or in another layout.
    """
    sizes = np.minimum(tile.n_pixels[index], max_pixels or np.iinfo(np.int64).max)
    offsets = offsets_of(sizes)
    dates = len(tile.positions)
    values = np.empty((int(offsets[-1]), dates, len(BANDS)), dtype=np.float32)

    def fill(row: int) -> None:
        stored = read_parcel(tile, int(index[row]))
        if sizes[row] < stored.shape[2]:
            rng = np.random.default_rng((seed, int(index[row])))
            stored = stored[:, :, np.sort(rng.choice(stored.shape[2], int(sizes[row]), replace=False))]
        values[offsets[row] : offsets[row + 1]] = stored.transpose(2, 0, 1)

    with ThreadPoolExecutor(threads()) as pool:
        for start in range(0, len(index), AT_ONCE):
            progress(start / len(index))
            list(pool.map(fill, range(start, min(start + AT_ONCE, len(index)))))
    values *= np.float32(SCALE)
    progress(1.0)
    n = len(index)
    return PixelSets(
        bands=BANDS,
        values=values,
        valid=np.ones(values.shape[:2], dtype=np.bool_),
        offsets=offsets,
        positions=np.tile(tile.positions, (n, 1)),
        labels=labels,
        classes=classes,
        ids=np.array([tile.ids[i] for i in index], dtype=np.str_),
        xy=np.full((n, 2), np.nan),
        region=np.full(n, region, dtype=np.int16),
        blocks=tile.blocks[index],
    )


def _sides(
    tiles: tuple[PublishedTile, PublishedTile], names: list[list[str]], options: PublishedOptions
) -> list[npt.NDArray[np.int64]]:
    """Split of both tiles over all their parcels, so that leaving some out later moves no other."""
    if options.split == "published":
        drawn = published_sides([(tile.name, len(tile)) for tile in tiles], options.fold)
        return [drawn[tile.name] for tile in tiles]
    if options.split == "parcels":
        return [parcel_sides(tile.name, len(tile), options.fold) for tile in tiles]
    spread = []
    for own in names:
        unique, inverse, counts = np.unique(own, return_inverse=True, return_counts=True)
        spread.append(np.where(counts >= SPREAD_NAMES, unique, "")[inverse].tolist())
    return [block_sides(t.name, t.blocks, s, options.fold) for t, s in zip(tiles, spread, strict=True)]


def _fit(tile: PublishedTile, names: list[str], mapping: Path) -> list[str]:
    """A sentence on the codes that no mapping names; an error where it names none."""
    unknown = sum(name == UNKNOWN for name in names)
    if unknown == len(names):
        shown = ", ".join(sorted(set(tile.codes))[:5])
        raise InputError(
            f"{mapping.name} names no crop code of {tile.name}, which has e.g. {shown}.",
            "Give the class mapping of its country.",
        )
    return [f"{tile.name}: {unknown} of {len(names)} parcels have no named crop ('{UNKNOWN}')."]


def _affordable(tiles: tuple[PublishedTile, ...], wanted: int | None) -> tuple[int | None, list[str]]:
    """Pixels a parcel that the machine can hold, and a sentence if that is fewer than asked for."""
    # cutting out the training side holds the samples twice
    most = MEMORY_SHARE * psutil.virtual_memory().total / 2

    def needed(cap: float) -> float:
        per_date = 4 * len(BANDS) + 1
        return sum(float(np.minimum(t.n_pixels, cap).sum()) * len(t.positions) * per_date for t in tiles)

    asked = float(max(t.n_pixels.max() for t in tiles)) if wanted is None else float(wanted)
    if needed(asked) <= most:
        return wanted, []
    cap = 1
    while cap * 2 <= asked and needed(cap * 2) <= most:
        cap *= 2
    return cap, [
        f"At most {cap} pixels of a parcel are kept instead of {'all' if wanted is None else wanted}: "
        f"they would take {2 * needed(asked) / 1e9:.0f} GB of memory. The paper draws other pixels of a "
        "parcel in each step and tests with all of them."
    ]
