"""Which class of a map does a label of the reference mean?"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sits_engine.errors import InputError
from sits_engine.mapping.class_map import MapClass
from sits_engine.samples.classes import ClassTable


@dataclass(frozen=True)
class Matched:
    """Labels as classes.

    Attributes:
        index: (N,) int64, place in the map's classes, -1 where no class answers to the label.
        unmatched: those labels, with the number of features.
        others: what the unmatched labels mean (by the class table, else themselves): classes that the map
            doesn't have.
        extended: as `index`, but len(classes) + place in `others` instead of -1.
    """

    index: npt.NDArray[np.int64]
    unmatched: dict[str, int]
    others: list[str]
    extended: npt.NDArray[np.int64]


def class_lookup(classes: Sequence[MapClass], table: ClassTable | None) -> dict[str, int]:
    """Label (as text, lower case) -> place in `classes`.

    Names come first, then the codes that the model was trained with, then the class table, which may
    redirect a label to a class by its name.
    """
    names = {c.name.casefold(): i for i, c in enumerate(classes)}
    lookup = dict(names)
    for i, c in enumerate(classes):
        for code in c.codes:
            lookup.setdefault(code.casefold(), i)
    if table is not None:
        for code, name in table.class_of.items():
            found = names.get(name.casefold())
            if found is None:
                lookup.pop(code.casefold(), None)
            else:
                lookup[code.casefold()] = found
    return lookup


def match_labels(
    labels: Sequence[str], classes: Sequence[MapClass], table: ClassTable | None, name: str
) -> Matched:
    """Find the class of each label.

    Raises:
        InputError: no label means any class; both lists are named.
    """
    lookup = class_lookup(classes, table)
    kinds, inverse, counts = np.unique(np.asarray(labels, dtype=str), return_inverse=True, return_counts=True)
    of_kind = np.array([lookup.get(kind.strip().casefold(), -1) for kind in kinds], dtype=np.int64)
    if not (of_kind >= 0).any():
        theirs = ", ".join(kinds[:12]) + (", …" if len(kinds) > 12 else "")
        mine = ", ".join(c.name for c in classes[:12]) + (", …" if len(classes) > 12 else "")
        raise InputError(
            f"No label of {name} is a class of the map. Labels: {theirs}. Classes of the map: {mine}.",
            "Choose the field with the crop, or give a class table (CSV: code,class).",
        )
    unmatched = {
        str(kind): int(count) for kind, count, i in zip(kinds, counts, of_kind, strict=True) if i < 0
    }
    meaning = {} if table is None else {code.casefold(): name for code, name in table.class_of.items()}
    others: dict[str, str] = {}
    extended = of_kind.copy()
    for i, kind in enumerate(kinds):
        if of_kind[i] < 0:
            means = meaning.get(kind.strip().casefold(), kind.strip())
            others.setdefault(means.casefold(), means)
            extended[i] = len(classes) + list(others).index(means.casefold())
    return Matched(of_kind[inverse], unmatched, list(others.values()), extended[inverse])


def likely_misspelt(labels: Sequence[str], classes: Sequence[MapClass]) -> dict[str, str]:
    """Labels that look like the name of a class of the map, with that name."""
    names = {c.name.casefold(): c.name for c in classes}
    found = {label: difflib.get_close_matches(label.casefold(), names, 1, 0.8) for label in labels}
    return {label: names[close[0]] for label, close in found.items() if close}
