from __future__ import annotations

import numpy as np
import pytest

from sits_engine.errors import InputError
from sits_engine.samples.classes import ClassTable, assign_classes, distinct_colors, with_classes
from sits_engine.samples.pixel_sets import PixelSets, offsets_of


def labelled(codes: list[str]) -> PixelSets:
    classes, labels = np.unique(codes, return_inverse=True)
    n = len(codes)
    return PixelSets(
        bands=("NDVI",),
        values=np.arange(n * 3, dtype=np.float32).reshape(n, 3, 1),
        valid=np.ones((n, 3), dtype=bool),
        offsets=offsets_of([1] * n),
        positions=np.zeros((n, 3), dtype=np.int32),
        labels=labels.astype(np.int64),
        classes=tuple(classes.tolist()),
        ids=np.array([str(i) for i in range(n)]),
        xy=np.full((n, 2), np.nan),
        region=np.zeros(n, dtype=np.int16),
        blocks=np.full(n, -1, dtype=np.int64),
    )


CODES = ["201"] * 5 + ["202"] * 4 + ["311"] * 6 + ["60"] * 2 + ["99"] * 3


def test_table_maps_codes_to_classes_and_colours(tmp_path) -> None:
    path = tmp_path / "Kulturen.csv"
    path.write_text(
        "Code;Class;Color\n201;maize;#112233\n202; maize;\n311;wheat;\n60;beet;\n7;;\n", "utf-8-sig"
    )
    sets, classes, notes = assign_classes(labelled(CODES), table=ClassTable.read(path), min_parcels=3)
    assert sets.classes == ("maize", "wheat")
    assert sets.counts.tolist() == [9, 6]
    assert classes[0].color == "#112233"
    assert classes[0].codes == ("201", "202")
    assert sets.ids.tolist() == [str(i) for i in range(15)]
    assert "1 codes are not in Kulturen.csv; their parcels were dropped: 99 (3)" in notes[0]
    assert "Classes with fewer than 3 parcels were dropped: beet (2)" in notes[1]


def test_many_rare_classes_and_codes_are_counted_not_all_listed(tmp_path) -> None:
    codes = ["a"] * 5 + ["b"] * 5 + [f"rare {i:02d}" for i in range(33)]
    note = assign_classes(labelled(codes), min_parcels=3)[2][0]
    assert note.startswith("Classes with fewer than 3 parcels were dropped: rare 00 (1), rare 01 (1), ")
    assert note.endswith("rare 19 (1) and 13 more.")
    path = tmp_path / "t.csv"
    path.write_text("code,class\na,wheat\nb,maize\n", "utf-8")
    note = assign_classes(labelled(codes), table=ClassTable.read(path), min_parcels=3)[2][0]
    assert note.startswith("33 codes are not in t.csv; their parcels were dropped: rare 00 (1)")
    assert note.endswith("rare 19 (1) and 13 more.")


def test_rare_classes_are_merged_on_wish() -> None:
    sets, classes, notes = assign_classes(labelled(CODES), min_parcels=5, rare="merge")
    assert sets.classes == ("201", "311", "other")
    assert sets.counts.tolist() == [5, 6, 9]
    assert classes[2].codes == ("202", "60", "99")
    assert "merged into 'other': 202 (4), 60 (2), 99 (3)" in notes[0]
    sets, _, notes = assign_classes(labelled(["a"] * 9 + ["b"] * 9 + ["c"]), min_parcels=5, rare="merge")
    assert sets.classes == ("a", "b")
    assert "dropped: c (1)" in notes[0]


def test_one_class_is_refused() -> None:
    with pytest.raises(InputError, match="only one class, 'a'"):
        assign_classes(labelled(["a"] * 9))
    with pytest.raises(InputError, match="at least 10 parcels: a 12, b 2"):
        assign_classes(labelled(["a"] * 12 + ["b"] * 2))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("crop,name\n1,a\n", "needs the columns code and class"),
        ("code,class\n1,a\n1,b\n", "maps code '1' to 'a' and to 'b'"),
        ("code,class,color\n1,a,red\n", "colour 'red'"),
        ("code,class\n", "no line with code and class"),
    ],
)
def test_bad_tables(tmp_path, text, message) -> None:
    path = tmp_path / "classes.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        ClassTable.read(path)
    with pytest.raises(InputError, match="can't be read"):
        ClassTable.read(tmp_path / "none.csv")


def test_colours_are_distinct_and_those_of_the_crops() -> None:
    names = ["winter_wheat", "spring wheat", "Wheat", "maize", "meadow", "rapeseed"]
    names += [f"class {i}" for i in range(40)]
    colors = distinct_colors(names, {"maize": "#000001"})
    assert len(set(colors.values())) == len(names)
    assert colors["winter_wheat"] == "#d9a01c"
    assert colors["maize"] == "#000001"
    assert all(len(c) == 7 and int(c[1:], 16) >= 0 for c in colors.values())


def test_labels_in_a_longer_list_of_classes() -> None:
    sets = with_classes(labelled(["b", "c"]), ["a", "b", "c"])
    assert sets.labels.tolist() == [1, 2]


def test_a_field_of_identifiers_is_named_as_the_wrong_one() -> None:
    with pytest.raises(InputError, match=r"parcels: 0 1, 1 1, 10 1, 100 1, 101 1 and 139 more\.") as raised:
        assign_classes(labelled([str(i) for i in range(144)]))
    assert "may be the wrong one" in raised.value.advice
    with pytest.raises(InputError, match="parcels: wheat 5, rye 2") as raised:
        assign_classes(labelled(["wheat"] * 5 + ["rye"] * 2))
    assert raised.value.advice == "Add parcels, or lower MIN_PARCELS."
