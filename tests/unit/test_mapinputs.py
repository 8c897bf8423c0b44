"""What the dialogs of 'Map crops', 'Plan map' and those of models refuse, and what the engine gets."""

import pytest
from inputs import layer, model
from recording import Recording


@pytest.fixture(params=["mapcrops", "planmap"])
def algorithm(request, engine_there):
    """Each of them, on a machine with an engine."""
    from sits_qgis.processing_algorithms.describemodel import DescribeModel
    from sits_qgis.processing_algorithms.exportmodel import ExportModel
    from sits_qgis.processing_algorithms.mapcrops import MapCrops
    from sits_qgis.processing_algorithms.planmap import PlanMap

    made = {one.JOB: one for one in (MapCrops, PlanMap, DescribeModel, ExportModel)}[request.param]()
    made.initAlgorithm()
    return made


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"EXTENT": "0,1,0,1", "REGION": "layer"}, "not both"),
        ({"SERIES": "/nowhere/a.json"}, "/nowhere/a.json"),
        ({"MODEL": "/nowhere/m.safetensors"}, "/nowhere/m.safetensors"),
        ({"MODEL": "other"}, "lacks B08, B11"),
    ],
)
def test_what_does_not_fit_is_named(algorithm, map_files, context, tmp_path, changes, words):
    made = {"layer": lambda: layer("x").id(), "other": lambda: model(tmp_path / "o", bands=("B08", "B11"))}
    map_files |= {key: made[value]() if value in made else value for key, value in changes.items()}
    ok, why = algorithm.checkParameterValues(map_files, context)
    assert not ok
    assert words in why


def test_extent_or_polygons_are_the_region(algorithm, map_files, context):
    assert algorithm.checkParameterValues(map_files, context) == (True, "")
    found = algorithm.jobParameters(map_files, context, Recording())
    assert found["series"] == map_files["SERIES"]
    assert not {"extent", "region", "parcels"} & found.keys()
    where = {"EXTENT": "0,10,0,10 [EPSG:32631]"}
    found = algorithm.jobParameters({**map_files, **where}, context, Recording())
    assert found["extent"] == "0.0,10.0,0.0,10.0 [EPSG:32631]"
    found = algorithm.jobParameters({**map_files, "REGION": layer("fields").id()}, context, Recording())
    assert ".gpkg" in found["region"]
    assert "extent" not in found


@pytest.mark.parametrize("algorithm", ["planmap"], indirect=True)
def test_a_map_from_words_is_planned_with_its_classes(algorithm, map_files, context, tmp_path):
    asked = map_files | {"MODEL": model(tmp_path / "photos"), "CLASSES": 5, "STEPS": "4"}
    assert algorithm.checkParameterValues(asked, context) == (True, "")
    found = algorithm.jobParameters(asked, context, Recording())
    assert (found["classes"], found["steps"]) == (5, "4")
    assert "classes" not in algorithm.jobParameters(map_files, context, Recording())


@pytest.mark.parametrize("algorithm", ["mapcrops"], indirect=True)
def test_parcels_have_a_map_of_their_own(algorithm, map_files, context, tmp_path):
    target = str(tmp_path / "parcels.gpkg")
    ok, why = algorithm.checkParameterValues({**map_files, "OUTPUT_PARCELS": target}, context)
    assert not ok
    assert "Choose the parcels" in why
    found = algorithm.jobParameters({**map_files, "PARCELS": layer("fields").id()}, context, Recording())
    assert ".gpkg" in found["parcels"]
    assert found["output_parcels"] == algorithm.beside == str(tmp_path / "map_parcels.gpkg")


@pytest.mark.parametrize("algorithm", ["describemodel", "exportmodel"], indirect=True)
def test_a_model_is_all_that_is_asked_for(algorithm, map_files, context):
    asked = {"MODEL": map_files["MODEL"], "OUTPUT": map_files["OUTPUT"], "OUTPUT_HTML": map_files["OUTPUT"]}
    assert algorithm.checkParameterValues(asked, context) == (True, "")
    assert algorithm.jobParameters(asked, context, Recording())["model"] == map_files["MODEL"]
    ok, why = algorithm.checkParameterValues({**asked, "MODEL": map_files["SERIES"]}, context)
    assert not ok
    assert "is no model of SITS" in why
