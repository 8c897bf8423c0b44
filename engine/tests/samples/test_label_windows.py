from __future__ import annotations

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import pytest
from shapely.geometry import LineString, Polygon, box

from sits_engine.errors import InputError
from sits_engine.samples.label_windows import LabelWindows

SQUARES = [box(100 * i, 0, 100 * (i + 1), 100) for i in range(4)]


def write(tmp_path, columns, shapes=None, name="w.gpkg"):
    path = tmp_path / name
    shapes = (shapes or SQUARES)[: len(next(iter(columns.values())))]
    gpd.GeoDataFrame(columns, geometry=shapes, crs=32631).to_file(path)
    return str(path)


def gaps(values, kind="Int64"):
    return pd.array(values, dtype=kind)


def test_boolean_fields_are_the_classes_and_untouched_windows_are_left_out(tmp_path) -> None:
    layer = write(
        tmp_path,
        {
            "window": [7, 8, 9, 10],
            "done": [True, False, False, True],
            "wheat": [True, False, True, False],
            "maïs": [False, False, True, False],
            "comment": ["yes", "dunno", None, "no"],
            "fields": [0, 1, 2, 3],
        },
    )
    found = LabelWindows.read(layer)
    assert found.classes == found.fields == ("wheat", "maïs")
    assert found.ids.tolist() == ["7", "9", "10"]
    assert found.ticks.tolist() == [[True, False], [True, True], [False, False]]
    assert [tuple(p.bounds) for p in found.polygons] == [SQUARES[i].bounds for i in (0, 2, 3)]
    assert found.notes == [
        "w.gpkg: fields without yes and no were passed over: comment (text).",
        "w.gpkg: 1 of 4 windows are neither done nor ticked and were left out.",
        "w.gpkg: 1 windows have ticks but are not marked as done; they were used.",
        "w.gpkg: 1 windows are done without a tick: they hold none of the classes.",
    ]
    assert found.warnings == [
        "w.gpkg: these fields look like ticks but are of another type, so no crop was made of them: fields: "
        "integer (0, 1, 2, 3). Turn them into fields of type boolean if they are crops."
    ]


def test_integers_0_and_1_and_unknown_values(tmp_path) -> None:
    layer = write(tmp_path, {"wheat": gaps([1, 0, None, 0]), "maize": gaps([0, 1, 1, None])})
    # without a field that says so, the last window was not looked at
    found = LabelWindows.read(layer)
    assert found.ticks.astype(int).tolist() == [[1, 0], [0, 1], [0, 1]]
    assert found.ids.tolist() == ["1", "2", "3"]
    assert found.notes == ["w.gpkg: 1 of 4 windows are neither done nor ticked and were left out."]


def test_no_field_of_ticks_is_lost_without_a_word(tmp_path) -> None:
    columns = {
        "wheat": [True, False, True, False],
        "maize": gaps([0, 1, None, 1]),
        "rye": ["yes", "no", None, "no"],
        "oats": [1.0, 0.0, 0.0, 1.0],
        "village": ["A", "B", "C", "D"],
        "population": [100, 0, 1, 20000],
        "area": [0.1, 0.2, 0.3, 0.4],
        "empty": gaps([None] * 4),
    }
    found = LabelWindows.read(write(tmp_path, columns))
    assert found.classes == ("wheat", "maize")
    assert found.notes == [
        "w.gpkg: integer fields that hold 0 and 1 only count as ticks: maize.",
        "w.gpkg: fields without yes and no were passed over: village (text), area (decimal number), empty "
        "(integer).",
    ]
    (warning,) = found.warnings
    assert "rye: text (no, yes), oats: decimal number (0.0, 1.0), population: integer" in warning


def listed_layer(tmp_path, columns, crops):
    """A layer with a list of its crops, as 'Create label windows' writes it."""
    layer = write(tmp_path, columns)
    table = pd.DataFrame({"field": list(crops), "class": list(crops.values()), "color": "#112233"})
    pyogrio.write_dataframe(table, layer, layer="classes", driver="GPKG", append=True)
    return f"{layer}|layername=w"


def test_fields_that_the_files_list_of_crops_lacks(tmp_path) -> None:
    columns = {"a": [True, False, True], "b": [False, True, False], "cloudy": [True, False, False]}
    found = LabelWindows.read(listed_layer(tmp_path, columns, {"a": "Crop A", "b": "Crop B"}))
    assert found.classes == ("Crop A", "Crop B")
    assert found.warnings == [
        "w.gpkg (w): yes/no fields that its list of crops lacks were passed over: cloudy. If they are crops, "
        "choose the fields of all crops in FIELDS."
    ]


def test_crops_of_the_files_list_whose_field_is_gone(tmp_path) -> None:
    columns = {"a": [True, False, True], "b": [False, True, False]}
    crops = {"a": "Crop A", "b": "Crop B", "c": "Crop C"}
    found = LabelWindows.read(listed_layer(tmp_path, columns, crops))
    assert found.warnings == [
        "w.gpkg (w): crops of its list whose fields are gone, left out: Crop C (c). What was ticked in them "
        "counts as missing."
    ]
    columns["C_new"] = [True, True, False]
    (tmp_path / "w.gpkg").unlink()
    layer = listed_layer(tmp_path, columns, crops)
    with pytest.raises(
        InputError, match=r"lacks: Crop C \(c\); .* the list lacks: C_new. Was a field renamed"
    ):
        LabelWindows.read(layer)
    assert LabelWindows.read(layer, ["a", "b", "C_new"]).classes == ("Crop A", "Crop B", "C_new")


def test_done_is_no_crop(tmp_path) -> None:
    columns = {"Done": [True, True, False], "a": [True, False, True], "b": [False, True, False]}
    layer = write(tmp_path, columns)
    found = LabelWindows.read(layer, only_done=True)
    assert found.classes == ("a", "b")
    assert found.ids.tolist() == ["1", "2"]
    found = LabelWindows.read(layer, ["Done", "b", "a"])
    assert found.classes == ("b", "a")
    assert found.notes[0] == "w.gpkg: 'Done' says that a window was looked at; it is no crop."
    with pytest.raises(InputError, match="it is no crop"):
        LabelWindows.read(layer, ["Done"])


def test_named_fields_and_another_field_for_done(tmp_path) -> None:
    columns = {
        "a": [True, False, True, False],
        "b": [False, True, False, False],
        "c": [True, True, True, True],
        "seen": [True, True, False, True],
    }
    layer = write(tmp_path, columns)
    found = LabelWindows.read(layer, ["b", "a"], done_field="seen")
    assert found.classes == ("b", "a")
    assert found.ticks.astype(int).tolist() == [[0, 1], [1, 0], [0, 1], [0, 0]]
    found = LabelWindows.read(layer, ["b", "a"], done_field="seen", only_done=True)
    assert found.ids.tolist() == ["1", "2", "4"]
    assert found.notes[0] == "w.gpkg: 1 of 4 windows are not done and were left out."
    with pytest.raises(InputError, match=r"has no field 'x'. Its fields: a, b, c, seen"):
        LabelWindows.read(layer, ["x"])
    with pytest.raises(InputError, match="has no field 'looked'"):
        LabelWindows.read(layer, done_field="looked")
    with pytest.raises(InputError, match="FIELDS is empty"):
        LabelWindows.read(layer, [])


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["yes", "no", "yes", "no"], "text (no, yes)"),
        (["1", "0", "1", "0"], "text (0, 1)"),
        ([1.0, 0.5, 0.0, 0.0], "decimal number (0.0, 0.5, 1.0)"),
        ([1, 2, 0, 1], "integer (0, 1, 2)"),
    ],
)
def test_a_field_of_another_type_is_named_with_the_way_out(tmp_path, values, kind) -> None:
    layer = write(tmp_path, {"maize": [True, False, True, False], "wheat": values})
    with pytest.raises(InputError) as caught:
        LabelWindows.read(layer, ["maize", "wheat"])
    assert f"The field 'wheat' of w.gpkg is of type {kind}" in caught.value.message
    assert "boolean" in caught.value.advice
    assert ("field calculator" in caught.value.advice) == kind.startswith("text")
    assert caught.value.details["field"] == "wheat"


def test_texts_alone_are_no_ticks(tmp_path) -> None:
    layer = write(tmp_path, {"name": ["a", "b", "c", "d"], "wheat": ["Ja", "nein", None, ""]})
    with pytest.raises(InputError, match=r"field 'wheat' of w.gpkg is of type text \(, Ja, nein\)"):
        LabelWindows.read(layer)
    layer = write(tmp_path, {"name": ["a", "b"], "area": [3.5, 2.5]}, name="v.gpkg")
    with pytest.raises(
        InputError, match=r"has no yes/no field. Its fields: name \(text\), area \(decimal number\)"
    ):
        LabelWindows.read(layer)


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"a": [False] * 3, "b": [False] * 3}, "No window of w.gpkg is ticked or done yet"),
        ({"a": [False] * 3, "b": [False] * 3, "done": [True] * 3}, "no class is ticked"),
        ({"a": [True, False, True], "b": [False] * 3, "done": [True] * 3}, "only one class is ticked, 'a'"),
        ({"a": [True, False, True]}, "only one class is ticked, 'a'"),
        ({"a": [True] * 3, "b": [True] * 3}, "Each of the 3 windows of w.gpkg has all 2 classes"),
        ({"a": [True] * 3, "b": [True] * 3, "c": [False] * 3}, "has all 2 classes: nothing tells them apart"),
    ],
)
def test_ticks_that_nothing_can_be_learned_from(tmp_path, columns, words) -> None:
    with pytest.raises(InputError, match=words) as caught:
        LabelWindows.read(write(tmp_path, columns))
    assert caught.value.advice


def test_a_class_that_is_nowhere_and_one_that_is_nearly_everywhere(tmp_path) -> None:
    columns = {
        "a": [True] * 4,
        "b": [False, True, False, False],
        "c": gaps([None, False, False, None], "boolean"),
    }
    found = LabelWindows.read(write(tmp_path, columns))
    assert found.classes == ("a", "b")
    assert found.fields == ("a", "b")
    assert found.warnings[0] == "In no window of w.gpkg, left out: c."
    assert found.warnings[1].startswith("In nearly all windows of w.gpkg: a (4 of 4).")
    fewer = found.subset(np.array([1, 2])).usable()
    assert fewer.warnings[-1].startswith("In nearly all windows of w.gpkg: a (2 of 2).")
    with pytest.raises(InputError, match="only one class"):
        found.subset(np.array([0, 2])).usable()


def test_windows_on_each_other(tmp_path) -> None:
    columns = {
        "window": [11, 12, 13, 14],
        "done": [True, True, True, False],
        "a": [True, False, True, False],
        "b": [False, True, False, False],
    }
    # the last one lies on the first, but nobody has looked at it
    shapes = [SQUARES[0], SQUARES[1], box(150, 0, 250, 100), SQUARES[0]]
    found = LabelWindows.read(write(tmp_path, columns, shapes))
    assert [text.split(" of")[0] for text in found.warnings] == ["w.gpkg: 2"]
    columns["done"][3] = True
    with pytest.raises(InputError, match="windows twice with different ticks: 11 and 14"):
        LabelWindows.read(write(tmp_path, columns, shapes, name="v.gpkg"))


def test_shapes_that_are_no_windows(tmp_path) -> None:
    bow = Polygon([(0, 0), (100, 100), (100, 0), (0, 100)])
    layer = write(tmp_path, {"a": [True, False, True], "b": [False, True, True]}, [bow, SQUARES[1], None])
    found = LabelWindows.read(layer)
    assert found.notes == [
        "w.gpkg: 1 rows without polygon were dropped.",
        "w.gpkg: 1 invalid polygons were repaired.",
    ]
    assert found.polygons[0].area == pytest.approx(5000)
    layer = write(tmp_path, {"a": [True]}, [LineString([(0, 0), (1, 1)])], name="l.gpkg")
    with pytest.raises(InputError, match=r"l.gpkg holds no polygons"):
        LabelWindows.read(layer)
