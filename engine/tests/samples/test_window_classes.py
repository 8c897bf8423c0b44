from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from support.window_sets import windows

from sits_engine.errors import InputError
from sits_engine.samples.classes import ClassTable
from sits_engine.samples.window_classes import refuse_numbers, with_classes


def coded():
    """Four codes: 1 in all six windows, 2 in five, 3 in two, 4 in one that holds nothing else."""
    some = windows(n=6, scale=1)
    labels = np.full((6, 6, 6), -1, np.int16)
    labels[:5, 0], labels[:5, 1], labels[:2, 2] = 0, 1, 2
    labels[5] = 3
    return dataclasses.replace(some, labels=labels, classes=("1", "2", "3", "4"), parcels=labels + 11)


def table(**lines) -> ClassTable:
    class_of = {code.strip("c"): name for code, name in lines.items()}
    return ClassTable("t.csv", class_of, {"wheat": "#010203"})


def test_codes_are_classes_without_a_table() -> None:
    mapped, infos, notes = with_classes(coded(), min_windows=1)
    assert mapped.classes == ("1", "2", "3", "4")
    assert [info.codes for info in infos] == [("1",), ("2",), ("3",), ("4",)]
    np.testing.assert_array_equal(mapped.labels, coded().labels)
    assert notes == []
    assert len({info.color for info in infos}) == 4


def test_rare_classes_become_unknown() -> None:
    mapped, infos, notes = with_classes(coded(), min_windows=3)
    assert [info.name for info in infos] == ["1", "2"]
    assert len(mapped) == 5
    assert mapped.counts.tolist() == [30, 30]
    assert (mapped.labels[:, 2:] == -1).all()
    assert (mapped.parcels[:, 2:] == 0).all()
    assert (mapped.parcels[:, 0] == 11).all()
    assert notes == [
        "Classes in fewer than 3 windows became unknown: 3 (2), 4 (1).",
        "1 windows hold no other class and were dropped.",
    ]


def test_a_table_merges_names_and_leaves_out() -> None:
    mapped, infos, notes = with_classes(coded(), table(c1="wheat", c3="wheat", c2="maize"), min_windows=2)
    assert mapped.classes == ("maize", "wheat")
    assert [info.codes for info in infos] == [("2",), ("1", "3")]
    assert infos[1].color == "#010203"
    assert mapped.labels[0, :4, 0].tolist() == [1, 0, 1, -1]
    assert notes[0] == "1 codes are not in t.csv; their pixels became unknown (windows): 4 (1)."
    empty, _, said = with_classes(coded(), table(c1="wheat", c2="maize", c3="", c4=""), min_windows=2)
    assert (empty.labels[:, 2] == -1).all()
    assert said == ["1 windows hold no other class and were dropped."]


def test_too_few_classes() -> None:
    with pytest.raises(InputError, match=r"at least 7 of 6 windows: 1 5, 2 5, 3 2, 4 1\."):
        with_classes(coded(), min_windows=7)
    with pytest.raises(InputError, match="only one class, 'wheat'"):
        with_classes(coded(), table(c1="wheat"))
    with pytest.raises(InputError, match="hold no class"):
        with_classes(coded(), table(c9="wheat"))


def test_a_field_of_names_is_told_apart() -> None:
    some = windows(n=2, scale=1)
    labels = np.arange(72, dtype=np.int16).reshape(2, 6, 6)
    named = dataclasses.replace(some, labels=labels, parcels=labels + 1, classes=tuple(map(str, range(72))))
    with pytest.raises(InputError, match="hardly any value comes twice") as raised:
        with_classes(named)
    assert raised.value.details["wrong_field"]


def numbered(n_parcels: int, n_classes: int):
    """Windows of `n_parcels` parcels, the first ones of a class each, the others of the last class."""
    some = windows(n=2, scale=1)
    parcels = np.arange(72, dtype=np.int32).reshape(2, 6, 6) % n_parcels
    labels = np.minimum(parcels, n_classes - 1).astype(np.int16)
    return dataclasses.replace(
        some, labels=labels, parcels=parcels + 1, classes=tuple(f"c{i:02}" for i in range(n_classes))
    )


def test_large_parcels_with_numbers_are_told_apart() -> None:
    with pytest.raises(
        InputError, match=r"^36 parcels have 36 different values: c00, .* and 16 more\."
    ) as it:
        refuse_numbers(numbered(36, 36))
    assert it.value.details["wrong_field"]
    refuse_numbers(numbered(36, 30))
    refuse_numbers(numbered(5, 5))  # a small piece of land
    refuse_numbers(dataclasses.replace(numbered(36, 36), parcels=np.zeros((2, 6, 6), np.int32)))


def test_notes_list_a_few_codes() -> None:
    some = numbered(36, 36)
    some.labels[1, 0, :] = 3
    some.labels[1, 1:] = -1
    some.labels[1, 0, 0] = 0
    note = with_classes(some, min_windows=2)[2][0]
    assert note.endswith("c21 (1) and 14 more.")
    only = ClassTable("t.csv", {"c00": "wheat", "c03": "maize"}, {})
    assert with_classes(some, only, min_windows=1)[2][0].endswith("c21 (1) and 14 more.")
