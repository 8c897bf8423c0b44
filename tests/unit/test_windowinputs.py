"""Labels of the algorithms that cut windows: what a dialog refuses, and what the engine gets."""

import pytest
from inputs import layer, series
from qgis.core import QgsFeature, QgsGeometry, QgsProject, QgsVectorLayer
from recording import Recording


@pytest.fixture(params=["trainsegmentationmodel", "exporttrainingwindows"])
def algorithm(request, engine_there):
    """The algorithm, on a machine with an engine."""
    from sits_qgis.processing_algorithms import ALGORITHMS

    made = next(one for one in ALGORITHMS if getattr(one, "JOB", "") == request.param)()
    made.initAlgorithm()
    return made


@pytest.fixture
def raster(tmp_path, qgis_app):
    """Path of a raster of 2 x 2 labels."""
    from osgeo import gdal

    path = str(tmp_path / "labels.tif")
    file = gdal.GetDriverByName("GTiff").Create(path, 2, 2)
    file.SetGeoTransform((0, 1, 0, 2, 0, -1))
    file.GetRasterBand(1).Fill(1)
    file.FlushCache()
    return path


@pytest.fixture
def given(tmp_path, context, algorithm):
    suffix = "windows.zarr" if algorithm.name() == "exporttrainingwindows" else "model.safetensors"
    return {
        "SERIES": [series(tmp_path / "a.json")],
        "PARCELS": layer("fields").id(),
        "FIELD": "crop",
        "OUTPUT": str(tmp_path / suffix),
    }


def fields(algorithm, given, context):
    return algorithm.jobParameters(given, context, Recording())


def test_parcels_with_their_field_are_enough(algorithm, given, context):
    assert algorithm.checkParameterValues(given, context) == (True, "")
    found = fields(algorithm, given, context)
    assert found["field"] == "crop"
    assert len(found["parcels"]) == 1
    assert "labels" not in found
    assert (found["scale"], found["least_covered"], found["mask_clouds"]) == ("1", 0.5, True)


def test_a_label_raster_takes_the_place_of_parcels(algorithm, given, context, raster):
    del given["PARCELS"]
    given["LABELS"] = [raster]
    assert algorithm.checkParameterValues(given, context) == (True, "")
    found = fields(algorithm, given, context)
    assert found["labels"] == [raster]
    assert {"parcels", "field"} & found.keys() == set()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"PARCELS": None}, "parcels with known crops or label rasters"),
        ({"LABELS": "raster"}, "one of the two"),
        ({"FIELD": None}, "holds the crop"),
        ({"SERIES": ["/nowhere/a.json"]}, "/nowhere/a.json"),
    ],
)
def test_what_does_not_fit_is_named(algorithm, given, context, raster, changes, words):
    given |= {key: [raster] if value == "raster" else value for key, value in changes.items()}
    ok, why = algorithm.checkParameterValues(given, context)
    assert not ok
    assert words in why


def test_parcels_of_further_regions_follow_in_order(algorithm, given, context):
    second = QgsVectorLayer("Polygon?crs=EPSG:32631&field=crop:string", "second", "memory")
    feature = QgsFeature(second.fields())
    feature.setGeometry(QgsGeometry.fromWkt("POLYGON((0 0,0 1,1 1,0 0))"))
    feature["crop"] = "rye"
    second.dataProvider().addFeatures([feature])
    QgsProject.instance().addMapLayer(second)
    given["MORE_PARCELS"] = [second.id()]
    found = fields(algorithm, given, context)
    assert len(found["parcels"]) == 2
    again = QgsVectorLayer(found["parcels"][1], "again", "ogr")
    assert [f["crop"] for f in again.getFeatures()] == ["rye"]


#: An export makes data sets, and takes none.
TRAINING = pytest.mark.parametrize("algorithm", ["trainsegmentationmodel"], indirect=True)


@pytest.fixture
def data_set(tmp_path):
    folder = tmp_path / "cut.zarr"
    folder.mkdir()
    (folder / "zarr.json").write_text("{}", encoding="utf-8")
    return str(folder)


@pytest.fixture
def training(algorithm, tmp_path, data_set):
    """Inputs of a training from a data set alone."""
    return {"WINDOWS": data_set, "OUTPUT": str(tmp_path / "m.safetensors"), "SPLIT": "folds", "TEST_FOLD": 3}


@TRAINING
def test_a_data_set_takes_the_place_of_images_and_labels(algorithm, training, context, data_set):
    assert algorithm.checkParameterValues(training, context) == (True, "")
    found = fields(algorithm, training, context)
    assert (found["windows"], found["split"], found["test_fold"]) == (data_set, "folds", 3)
    assert {"series", "parcels", "field", "labels"} & found.keys() == set()


@TRAINING
def test_a_data_set_and_images_are_one_too_many(algorithm, training, given, context, raster):
    for name, value in (*given.items(), ("LABELS", [raster]), ("WINDOWS_STORE", "/tmp")):
        if name == "OUTPUT":
            continue
        ok, why = algorithm.checkParameterValues({**training, name: value}, context)
        assert not ok, name
        assert algorithm.parameterDefinition(name).description() in why


@TRAINING
def test_another_folder_is_no_data_set(algorithm, training, context, tmp_path):
    ok, why = algorithm.checkParameterValues({**training, "WINDOWS": str(tmp_path)}, context)
    assert not ok
    assert str(tmp_path) in why
    assert "Export training windows" in why


@TRAINING
def test_nothing_given_names_both_ways(algorithm, training, context):
    ok, why = algorithm.checkParameterValues({**training, "WINDOWS": None}, context)
    assert not ok
    assert "data set of windows" in why
    assert "time series" in why
