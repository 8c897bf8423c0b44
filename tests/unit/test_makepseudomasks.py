"""What the dialog of 'Make pseudo masks' refuses, and what the engine gets."""

import os

import pytest
from inputs import layer, series
from osgeo import gdal, ogr, osr
from qgis.core import (
    QgsFeature,
    QgsProcessingFeatureSourceDefinition,
    QgsProject,
    QgsVectorLayer,
)
from recording import Recording


@pytest.fixture
def algorithm(engine_there):
    """The algorithm, on a machine with an engine."""
    from sits_qgis.processing_algorithms.makepseudomasks import MakePseudoMasks

    made = MakePseudoMasks()
    made.initAlgorithm()
    return made


@pytest.fixture
def windows(tmp_path):
    """A layer of two windows as 'Create label windows' writes it, with the table of the crops."""
    path = str(tmp_path / "fenêtres.gpkg")
    data = ogr.GetDriverByName("GPKG").CreateDataSource(path)
    system = osr.SpatialReference()
    system.ImportFromEPSG(32631)
    made = data.CreateLayer("windows", system, ogr.wkbPolygon)
    for name in ("winter_wheat", "maize", "done"):
        field = ogr.FieldDefn(name, ogr.OFTInteger)
        field.SetSubType(ogr.OFSTBoolean)
        made.CreateField(field)
    for left in (0, 240):
        feature = ogr.Feature(made.GetLayerDefn())
        feature.SetGeometry(
            ogr.CreateGeometryFromWkt(
                f"POLYGON(({left} 0, {left + 240} 0, {left + 240} 240, {left} 240, {left} 0))"
            )
        )
        feature.SetField("done", 1)
        made.CreateFeature(feature)
    table = data.CreateLayer("classes", None, ogr.wkbNone)
    for name in ("field", "class", "color"):
        table.CreateField(ogr.FieldDefn(name, ogr.OFTString))
    row = ogr.Feature(table.GetLayerDefn())
    row.SetField("field", "winter_wheat")
    row.SetField("class", "Winter wheat (bread)")
    table.CreateFeature(row)
    del made, table, data
    return path


@pytest.fixture
def given(tmp_path, windows):
    return {
        "SERIES": series(tmp_path / "a.json"),
        "WINDOWS": f"{windows}|layername=windows",
        "OUTPUT": str(tmp_path / "masks.tif"),
    }


def raster(path):
    data = gdal.GetDriverByName("GTiff").Create(str(path), 4, 4, 1, gdal.GDT_Byte)
    data.SetGeoTransform((0, 10, 0, 40, 0, -10))
    del data
    return str(path)


def test_series_and_windows_are_enough(algorithm, given, context, windows):
    assert algorithm.checkParameterValues(given, context) == (True, "")
    found = algorithm.jobParameters(given, context, Recording())
    assert found == {
        "series": given["SERIES"],
        "windows": f"{windows}|layername=windows",
        "effort": "standard",
        "resume": True,
        "output": given["OUTPUT"],
        "maps": "clues",
        "unreadable": "error",
        "affinity": True,
        "refine": True,
        "background": "class",
        "least_confidence": 0.0,
        "only_done": False,
        "max_windows": 4000,
        "mask_clouds": True,
        "prototype_mode": "momentum",
        "flips": True,
        "held_out": 0.1,
        "batch_size": 8,
        "seed": 1,
        "device": "auto",
    }


def test_chosen_fields_are_a_list_and_pixel_labels_go_along(algorithm, given, context):
    fields = layer("parcels")
    given |= {"FIELDS": ["winter_wheat", "maize"], "PARCELS": fields.id(), "FIELD": "crop", "THRESHOLD": 0.4}
    assert algorithm.checkParameterValues(given, context) == (True, "")
    found = algorithm.jobParameters(given, context, Recording())
    assert found["fields"] == ["winter_wheat", "maize"]
    assert found["field"] == "crop"
    assert found["parcels"]
    assert found["threshold"] == 0.4


def test_a_selection_keeps_the_names_of_the_crops(algorithm, given, context, windows):
    """QGIS copies selected windows to a file of their own, without the table of the crops."""
    chosen = QgsVectorLayer(f"{windows}|layername=windows", "chosen", "ogr")
    QgsProject.instance().addMapLayer(chosen)
    chosen.selectByIds([next(chosen.getFeatures()).id()])
    given["WINDOWS"] = QgsProcessingFeatureSourceDefinition(chosen.id(), True)
    found = algorithm.jobParameters(given, context, Recording())
    copy = found["windows"].split("|")[0]
    assert os.path.abspath(copy) != os.path.abspath(windows)
    data = ogr.Open(copy)
    table = data.GetLayerByName("classes")
    assert [(row.GetField("field"), row.GetField("class")) for row in table] == [
        ("winter_wheat", "Winter wheat (bread)")
    ]
    name = found["windows"].split("layername=")[1] if "layername=" in found["windows"] else None
    assert (data.GetLayerByName(name) if name else data.GetLayer(0)).GetFeatureCount() == 1


def test_edits_that_are_not_saved_are_named(algorithm, given, context, windows):
    edited = QgsVectorLayer(f"{windows}|layername=windows", "fenêtres", "ogr")
    QgsProject.instance().addMapLayer(edited)
    edited.startEditing()
    edited.addFeature(QgsFeature(edited.fields()))
    given["WINDOWS"] = edited.id()
    ok, why = algorithm.checkParameterValues(given, context)
    assert not ok
    assert "'fenêtres' has edits that are not saved" in why
    edited.rollBack()
    assert algorithm.checkParameterValues(given, context) == (True, "")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"PARCELS": "layer"}, "Choose the field"),
        ({"PARCELS": "layer", "FIELD": "crop", "LABELS": "raster"}, "not both"),
        ({"SERIES": "/nowhere/a.json"}, "/nowhere/a.json"),
    ],
)
def test_what_does_not_fit_is_named(algorithm, given, context, changes, words, tmp_path):
    made = {"layer": lambda: layer("x").id(), "raster": lambda: raster(tmp_path / "l.tif")}
    given |= {key: made[value]() if value in made else value for key, value in changes.items()}
    ok, why = algorithm.checkParameterValues(given, context)
    assert not ok
    assert words in why
