"""The windows of data sets, exported or converted: which are taken, and how they come into the memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import psutil

from sits_engine.errors import InputError
from sits_engine.samples.gather import MEMORY_SHARE
from sits_engine.samples.stored_arrays import StoredArray
from sits_engine.samples.window_data import WindowData
from sits_engine.samples.window_store import ARRAYS, STORE
from sits_engine.samples.windows import WindowSet
from sits_engine.series.bands import match

Progress = Callable[[float], None]
#: Arrays that may stay on the disk; the others are small.
IMAGES = ("values", "valid")
#: Windows whose labels are looked at together.
AT_ONCE = 4096


@dataclass(frozen=True)
class DataSetOptions:
    """Which windows are taken.

    Attributes:
        bands: names in any usual spelling; empty: all that every data set has.
        min_labelled: windows with a smaller share of labelled pixels are left out.
        max_windows: altogether, drawn at random, each region an equal share; None: all.
        seed: of the draw.
        copies: how many of the images this machine has to hold: one a process.
    """

    bands: Sequence[str] = field(default_factory=tuple)
    min_labelled: float = 0.05
    max_windows: int | None = 4000
    seed: int = 1
    copies: int = 1


def read_data_sets(
    sets: Sequence[WindowData], options: DataSetOptions, progress: Progress = lambda share: None
) -> tuple[WindowSet, list[str]]:
    """The windows of data sets, ordered as they lie there; regions of a later one follow the earlier ones'.

    Images that would take too much of the memory stay where they are and are read when they are used
    (`StoredArray`): slower, but the result is the same.

    Args:
        sets: alike (`window_data.check_alike`).
        options: see there.
        progress: gets 0..1; may raise to cancel.

    Returns:
        The windows, `classes` being those of all data sets in order of their first appearance; and sentences
        on what was left out, with counts.

    Raises:
        InputError: no common band, no window with enough labels, or a store is damaged.
    """
    bands = _common_bands(sets, options.bands)
    groups = [STORE.open(one.path) for one in sets]
    if sum(one.n_regions for one in sets) > np.iinfo(np.int16).max:
        raise InputError("The data sets have more than 32767 regions together.", "Train on fewer of them.")
    try:
        chosen, notes = _choose(sets, groups, options, _part(progress, 0, 0.3))
        small, store = _labels(sets, groups, chosen)
        row = np.concatenate(chosen)
        stored = {
            "values": StoredArray([g["values"] for g in groups], store, row, bands[1]),
            "valid": StoredArray([g["valid"] for g in groups], store, row),
        }
        size = sum(array.nbytes for array in stored.values())
        images: dict[str, Any] = dict(stored)
        times = f", once in each of {options.copies} processes" if options.copies > 1 else ""
        if 2 * options.copies * size > MEMORY_SHARE * psutil.virtual_memory().total:
            notes.append(
                f"The images of {len(row)} windows ({size / 1e9:.1f} GB{times}) don't fit into this "
                "machine's memory: they are read from the data set whenever they are used, which slows "
                "training down. Fewer MAX_WINDOWS would fit."
            )
        else:
            done = 0.3
            for name, array in stored.items():
                part = 0.7 * array.nbytes / max(1, size)
                images[name] = array.read(_part(progress, done, part))
                done += part
    except (KeyError, ValueError, OSError) as error:
        names = ", ".join(one.name for one in sets)
        raise InputError(f"The windows in {names} are damaged: {error}.", "Write it again.") from error
    progress(1.0)
    classes = tuple(dict.fromkeys(name for one in sets for name in one.classes))
    return WindowSet(bands=bands[0], scale=sets[0].scale, classes=classes, **images, **small), notes


def _part(progress: Progress, start: float, length: float) -> Progress:
    return lambda share: progress(start + length * share)


def _common_bands(
    sets: Sequence[WindowData], wanted: Sequence[str]
) -> tuple[tuple[str, ...], list[list[int]]]:
    """Names of the bands taken, and their places in each data set."""
    names = list(wanted) or [
        name for name in sets[0].bands if all(not match(one.bands, [name])[1] for one in sets)
    ]
    each = "; ".join(f"{one.name}: {', '.join(one.bands)}" for one in sets)
    if not names:
        raise InputError(f"The data sets have no band in common. {each}.", "Use images of the same kind.")
    places = []
    for one in sets:
        found, missing = match(one.bands, names)
        if missing:
            raise InputError(
                f"{one.name} has no band {', '.join(missing)}. It has: {', '.join(one.bands)}.",
                "Choose BANDS among those.",
            )
        places.append([one.bands.index(name) for name in found])
    return tuple(sets[0].bands[i] for i in places[0]), places


def _choose(
    sets: Sequence[WindowData], groups: Sequence[Any], options: DataSetOptions, progress: Progress
) -> tuple[list[npt.NDArray[np.int64]], list[str]]:
    """Windows of each data set that are taken, ascending, and sentences on the others."""
    total, done, first = sum(one.n_windows for one in sets), 0, 0
    regions, shares = [], []
    for one, group in zip(sets, groups, strict=True):
        for start in range(0, one.n_windows, AT_ONCE):
            labels = np.asarray(group["labels"][start : start + AT_ONCE])
            shares.append((labels >= 0).mean(axis=(1, 2)))
            done += len(labels)
            progress(done / total)
        regions.append(np.asarray(group["region"][:]).astype(np.int64) + first)
        first += one.n_regions
    region, share = np.concatenate(regions), np.concatenate(shares)
    enough = (share > 0) & (share >= options.min_labelled)
    notes = []
    if not enough.all():
        notes.append(
            f"{int((~enough).sum())} of {total} windows with fewer than {100 * options.min_labelled:g} % of "
            "labelled pixels were left out."
        )
    if not enough.any():
        raise InputError(
            f"No window of {', '.join(one.name for one in sets)} has enough labels: {notes[0]}",
            "Lower MIN_LABELLED, or give a data set with labels.",
        )
    taken = np.flatnonzero(enough)
    most = options.max_windows
    if most is not None and len(taken) > most:
        taken = taken[equal_shares(region[taken], most, options.seed)]
        notes.append(
            f"{most} of {int(enough.sum())} windows were drawn at random (MAX_WINDOWS), an equal share of "
            "each region."
        )
    ends = np.cumsum([one.n_windows for one in sets])
    parts = np.split(taken, np.searchsorted(taken, ends[:-1]))
    return [part - (end - one.n_windows) for part, end, one in zip(parts, ends, sets, strict=True)], notes


def equal_shares(region: npt.NDArray[np.integer], most: int, seed: int) -> npt.NDArray[np.int64]:
    """Places of `most` windows drawn at random, ascending; as many of each region, as far as it has them.

    Args:
        region: (N,) of each window.
        most: windows wanted, at most N.
        seed: same seed, same draw.
    """
    order = np.random.default_rng(seed).permutation(len(region))
    by_region = order[np.argsort(region[order], kind="stable")]
    counts = np.unique(region, return_counts=True)[1]
    # the how-manieth of its region: all first ones go before all second ones
    turn = np.arange(len(region)) - np.repeat(np.cumsum(counts) - counts, counts)
    rank = np.empty(len(region), np.int64)
    rank[by_region] = turn
    place = np.empty(len(region), np.int64)
    place[order] = np.arange(len(region))
    return np.sort(np.lexsort((place, rank))[:most])


def _labels(
    sets: Sequence[WindowData], groups: Sequence[Any], chosen: Sequence[npt.NDArray[np.int64]]
) -> tuple[dict[str, npt.NDArray[Any]], npt.NDArray[np.int64]]:
    """All arrays but the images, joined, and the data set of each window."""
    classes = list(dict.fromkeys(name for one in sets for name in one.classes))
    dates = max(one.n_dates for one in sets)
    parts: dict[str, list[npt.NDArray[Any]]] = {name: [] for name in ARRAYS if name not in IMAGES}
    first = 0
    for one, group, index in zip(sets, groups, chosen, strict=True):
        own = {name: np.asarray(group[name].oindex[index]) for name in parts}
        place = np.array([*(classes.index(name) for name in one.classes), -1], np.int16)
        own["labels"] = place[np.maximum(own["labels"], -1)]
        own["region"] = (own["region"] + first).astype(np.int16)
        padding = dates - own["positions"].shape[1]
        own["positions"] = np.pad(own["positions"], ((0, 0), (0, padding)), mode="edge")
        first += one.n_regions
        for name, array in own.items():
            parts[name].append(array)
    store = np.repeat(np.arange(len(sets)), [len(index) for index in chosen])
    return {name: np.concatenate(arrays) for name, arrays in parts.items()}, store
