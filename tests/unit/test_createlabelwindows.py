"""What the dialog of 'Create label windows' refuses, and what the engine gets."""

import pytest
from inputs import layer, series
from recording import Recording


@pytest.fixture
def algorithm(engine_there):
    """The algorithm, on a machine with an engine."""
    from sits_qgis.processing_algorithms.createlabelwindows import CreateLabelWindows

    made = CreateLabelWindows()
    made.initAlgorithm()
    return made


@pytest.fixture
def given(tmp_path):
    return {
        "SERIES": series(tmp_path / "a.json"),
        "CLASSES": "wheat, maïs",
        "OUTPUT": str(tmp_path / "w.gpkg"),
    }


def test_a_list_of_crops_is_enough(algorithm, given, context):
    assert algorithm.checkParameterValues(given, context) == (True, "")
    found = algorithm.jobParameters(given, context, Recording())
    assert found == {
        "series": given["SERIES"],
        "classes": "wheat, maïs",
        "output": given["OUTPUT"],
        "window": 24,
        "max_windows": 500,
        "min_share": 0.01,
        "mark_done": False,
        "seed": 1,
    }


def test_parcels_name_the_crops_and_an_extent_the_place(algorithm, given, context):
    del given["CLASSES"]
    given |= {"PARCELS": layer("fields").id(), "FIELD": "crop", "EXTENT": "0,10,0,10 [EPSG:32631]"}
    assert algorithm.checkParameterValues(given, context) == (True, "")
    found = algorithm.jobParameters(given, context, Recording())
    assert found["field"] == "crop"
    assert found["parcels"].endswith("gpkg") or "layername" in found["parcels"]
    assert found["extent"] == "0.0,10.0,0.0,10.0 [EPSG:32631]"
    assert "classes" not in found


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"CLASSES": None}, "names of the crops"),
        ({"PARCELS": "layer"}, "Choose the field"),
        ({"EXTENT": "0,1,0,1", "REGION": "layer"}, "not both"),
        ({"SERIES": "/nowhere/a.json"}, "/nowhere/a.json"),
    ],
)
def test_what_does_not_fit_is_named(algorithm, given, context, changes, words):
    given |= {key: layer("x").id() if value == "layer" else value for key, value in changes.items()}
    ok, why = algorithm.checkParameterValues(given, context)
    assert not ok
    assert words in why
