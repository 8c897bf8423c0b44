"""From label codes to classes, for windows: class table, rare classes, colours."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sits_engine.errors import InputError
from sits_engine.samples.classes import SHOWN, ClassInfo, ClassTable, distinct_colors, most_frequent
from sits_engine.samples.classes import listed as listed  # for notes on windows elsewhere
from sits_engine.samples.windows import WindowSet

#: Parcels a value of the field, below which the field numbers or names parcels.
NUMBERED = 1.2


def with_classes(
    windows: WindowSet, table: ClassTable | None = None, *, min_windows: int = 10
) -> tuple[WindowSet, list[ClassInfo], list[str]]:
    """Map codes (the `classes` of `windows`) to classes; rare ones become unknown.

    Args:
        windows: labelled by code.
        table: None takes each code as a class of its own; a code that it leaves out or maps to nothing is
            unknown.
        min_windows: classes that occur in fewer windows become unknown.

    Returns:
        The windows that still hold a known pixel, labelled by class (alphabetical); the classes with their
        colours and codes; sentences on what became unknown, with counts.

    Raises:
        InputError: fewer than two classes are left; names the counts.
    """
    names = [code if table is None else table.class_of.get(code, "") for code in windows.classes]
    notes = _not_in_table(windows, table)
    totals = _windows_of(windows, names)
    if len(totals) < 2:
        what = f"only one class, '{next(iter(totals))}'" if totals else "no class"
        raise InputError(
            f"The labels hold {what}.", "Choose a class field (or class table) with at least two classes."
        )
    few = {name: n for name, n in totals.items() if n < min_windows}
    if few:
        rare = listed([f"{name} ({n})" for name, n in sorted(few.items())])
        notes.append(f"Classes in fewer than {min_windows} windows became unknown: {rare}.")
    final = sorted(name for name in totals if name not in few)
    if len(final) < 2:
        raise _too_few(totals, windows, min_windows)
    place = {name: i for i, name in enumerate(final)}
    by_code = np.array([place.get(name, -1) for name in names] + [-1], dtype=np.int16)
    mapped = relabelled(windows, by_code, tuple(final))
    known = (mapped.labels >= 0).any(axis=(1, 2))
    if not known.all():
        notes.append(f"{int((~known).sum())} windows hold no other class and were dropped.")
        mapped = mapped.subset(known)
    colors = distinct_colors(final, {} if table is None else table.color_of)
    codes = [[c for c, k in zip(windows.classes, by_code, strict=False) if k == i] for i in range(len(final))]
    infos = [ClassInfo(name, colors[name], tuple(own)) for name, own in zip(final, codes, strict=True)]
    return mapped, infos, notes


def relabelled(windows: WindowSet, by_code: npt.NDArray[np.int16], classes: Sequence[str]) -> WindowSet:
    """The windows with other classes.

    Args:
        windows: with K classes.
        by_code: (K + 1,) new place of each class, -1 unknown; the last one is -1, what is unknown stays so.
        classes: the new ones.
    """
    labels = by_code[windows.labels].astype(np.int16)
    parcels = np.where(labels >= 0, windows.parcels, 0).astype(np.int32)
    return dataclasses.replace(windows, labels=labels, parcels=parcels, classes=tuple(classes))


def refuse_numbers(windows: WindowSet) -> None:
    """An error where the field holds numbers or names of parcels: large ones would pass as classes.

    Nothing is said of few codes, nor of labels that know no parcels.

    Args:
        windows: labelled by code, from parcels.

    Raises:
        InputError: nearly every parcel has a code of its own (`wrong_field` in its details).
    """
    codes = sorted(code for code, n in zip(windows.classes, windows.counts, strict=True) if n)
    n = _n_parcels(windows)
    if len(codes) <= SHOWN or not n or n >= NUMBERED * len(codes):
        return
    raise InputError(
        f"{n} parcels have {len(codes)} different values: {listed(codes)}.",
        "The field may be the wrong one (hardly any value comes twice): choose the field with the crop.",
        wrong_field=True,
    )


def _windows_of(windows: WindowSet, names: Sequence[str]) -> dict[str, int]:
    """Number of windows in which each class occurs; those that occur nowhere are left out."""
    presence = windows.presence()
    totals: dict[str, int] = {}
    for name in dict.fromkeys(name for name in names if name):
        own = [i for i, other in enumerate(names) if other == name]
        n = int(presence[:, own].any(axis=1).sum())
        if n:
            totals[name] = n
    return totals


def _not_in_table(windows: WindowSet, table: ClassTable | None) -> list[str]:
    if table is None:
        return []
    unknown = [
        f"{code} ({n})"
        for code, n in zip(windows.classes, windows.presence().sum(axis=0), strict=True)
        if code not in table.class_of and n
    ]
    if not unknown:
        return []
    shown = listed(unknown)
    return [f"{len(unknown)} codes are not in {table.name}; their pixels became unknown (windows): {shown}."]


def _too_few(totals: dict[str, int], windows: WindowSet, min_windows: int) -> InputError:
    wrong = len(totals) > SHOWN and 0 < _n_parcels(windows) < 2 * len(totals)
    return InputError(
        f"Fewer than two classes occur in at least {min_windows} of {len(windows)} windows: "
        f"{most_frequent(totals)}.",
        "The field may be the wrong one (hardly any value comes twice): choose the field with the crop."
        if wrong
        else "Add parcels or images, choose a smaller WINDOW, or lower MIN_WINDOWS.",
        wrong_field=wrong,
    )


def _n_parcels(windows: WindowSet) -> int:
    """Parcels of all regions, a parcel in several windows once; 0 where the labels know no parcels."""
    found: set[tuple[int, int]] = set()
    # a window at a time: all of them at once would fill the memory
    for region, labels, parcels in zip(windows.region, windows.labels, windows.parcels, strict=True):
        own = np.unique(parcels[(labels >= 0) & (parcels > 0)])
        found.update((int(region), number) for number in own.tolist())
    return len(found)
