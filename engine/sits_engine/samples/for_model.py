"""Labelled samples in the classes of a model that is there already."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from sits_engine.errors import InputError
from sits_engine.samples.pixel_sets import PixelSets

#: Names and codes that a message lists.
SHOWN = 20


class KnownClass(Protocol):
    """What is needed of a class of a model card."""

    @property
    def name(self) -> str:
        """Name of the class."""

    @property
    def codes(self) -> Sequence[str]:
        """Values of the label field that mean it."""


class HasClasses(Protocol):
    """What is needed of a `models.card.ModelCard`."""

    @property
    def classes(self) -> Sequence[KnownClass]:
        """The classes in the order of the logits."""


def with_model_classes(coded: PixelSets, card: HasClasses) -> tuple[PixelSets, list[str]]:
    """Training samples in the model's classes and their order.

    A code means the class that lists it, else the class of that name.

    Args:
        coded: labelled by code (`classes` are the codes).
        card: of the model.

    Returns:
        The sets that have a class of the model, and sentences on those that were dropped.

    Raises:
        InputError: no code fits, or a class of the model has no sample; both lists are named.
    """
    names = tuple(one.name for one in card.classes)
    place = class_of_codes(coded.classes, card)
    labels = np.where(coded.labels >= 0, place[coded.labels], -1) if len(place) else coded.labels
    known = labels >= 0
    if not known.any():
        raise InputError(
            f"No sample has a class of the model. Labels: {_listed(coded.classes)}; the model's classes: "
            f"{_listed(names)}.",
            "Choose the field with the codes that the model was trained with, or the model of these crops.",
        )
    out = dataclasses.replace(coded.subset(known), labels=labels[known], classes=names)
    lacking = [name for name, count in zip(names, out.counts, strict=True) if not count]
    if lacking:
        raise InputError(
            f"There is no sample of {_listed(lacking)}. Labels: {_listed(coded.classes)}; the model's "
            f"classes: {_listed(names)}.",
            "Give the samples that the model was trained with; each of its classes needs some.",
        )
    return out, _foreign(coded, place, "and were dropped")


def with_report_labels(coded: PixelSets, card: HasClasses) -> tuple[PixelSets, int, list[str]]:
    """All sets, their labels counted in the model's classes: for scores only, so that no set is dropped.

    Returns:
        The sets with `classes` = the model's names (none where nothing is labelled), -1 where the label is
        missing or no class of the model; how many sets have such a foreign label; and sentences.
    """
    if not coded.classes:
        return coded, 0, []
    place = class_of_codes(coded.classes, card)
    labels = np.where(coded.labels >= 0, place[coded.labels], -1)
    foreign = int(((coded.labels >= 0) & (labels < 0)).sum())
    names = tuple(one.name for one in card.classes)
    out = dataclasses.replace(coded, labels=labels, classes=names)
    return out, foreign, _foreign(coded, place, "and are left out of the scores")


def class_of_codes(codes: Sequence[str], card: HasClasses) -> npt.NDArray[np.int64]:
    """(number of codes,) class of the model that each code means, -1 where none."""
    by_code: dict[str, int] = {}
    for k, one in enumerate(card.classes):
        for code in one.codes:
            by_code.setdefault(code, k)
    by_name = {one.name: k for k, one in enumerate(card.classes)}
    return np.array([by_code.get(code, by_name.get(code, -1)) for code in codes], dtype=np.int64)


def _foreign(coded: PixelSets, place: npt.NDArray[np.int64], fate: str) -> list[str]:
    """A sentence on the sets of codes that the model doesn't know."""
    counts = coded.counts
    there = [(code, int(n)) for code, n, k in zip(coded.classes, counts, place, strict=True) if k < 0 and n]
    if not there:
        return []
    listed = _listed([f"{code} ({n})" for code, n in there])
    total = sum(n for _, n in there)
    return [f"{total} samples have labels that are no class of the model {fate}: {listed}."]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (" …" if len(names) > SHOWN else "") or "none"
