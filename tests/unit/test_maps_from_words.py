"""What the dialogs of maps from words and photos refuse, what the engine gets, and how the results look."""

import os

import pytest
from inputs import model
from osgeo import gdal, ogr, osr
from qgis.core import QgsProcessingContext, QgsProcessingFeedback, QgsProject, QgsRasterLayer, QgsVectorLayer

NAMES = ("mapzeroshot", "mapsimilarity", "mapscenicness")


@pytest.fixture
def algorithms(engine_there):
    """The three algorithms by name, on a machine with an engine."""
    from sits_qgis.processing_algorithms.mapscenicness import MapScenicness
    from sits_qgis.processing_algorithms.mapsimilarity import MapSimilarity
    from sits_qgis.processing_algorithms.mapzeroshot import MapZeroShot

    made = {}
    for one in (MapZeroShot(), MapSimilarity(), MapScenicness()):
        one.initAlgorithm()
        made[one.JOB] = one
    return made


def check(algorithm, **parameters):
    return algorithm.checkParameterValues(parameters, QgsProcessingContext())


def fields(algorithm, **parameters):
    context = QgsProcessingContext()
    context.setProject(QgsProject.instance())
    return algorithm.jobParameters(parameters, context, QgsProcessingFeedback())


def test_classes_of_several_lines_and_of_one(algorithms, map_files):
    one = algorithms["mapzeroshot"]
    text = "wheat: ripe; green\nvineyard\nwet meadow"
    assert check(one, **map_files, CLASSES=text) == (True, "")
    found = fields(one, **map_files, CLASSES=text)
    assert found["classes"] == text
    assert {k: found[k] for k in ("prompts", "scoring", "steps", "device")} == {
        "prompts": "name",
        "scoring": "raw",
        "steps": "12",
        "device": "auto",
    }
    assert fields(one, **map_files, CLASSES="wheat, maize")["classes"] == "wheat, maize"
    assert one.parameterDefinition("CLASSES").multiLine()
    # a text of several lines survives the form in which models, batches and the history keep it
    import ast

    definition = one.parameterDefinition("CLASSES")
    kept = definition.valueAsPythonString(text, QgsProcessingContext())
    assert ast.literal_eval(kept) == text


def test_a_set_needs_no_classes(algorithms, map_files):
    one = algorithms["mapzeroshot"]
    assert check(one, **map_files, PROMPTS="eunis_habitats") == (True, "")
    ok, why = check(one, **map_files, PROMPTS="Generic", CLASSES=" \n")
    assert not ok
    assert "Write the classes" in why
    ok, why = check(one, **map_files, CLASSES="a\nb", CLASS_TABLE=map_files["SERIES"])
    assert not ok
    assert "not both" in why


@pytest.mark.parametrize("name", NAMES)
def test_models_with_classes_and_other_bands_are_refused(algorithms, map_files, tmp_path, name):
    more = {"mapzeroshot": {"CLASSES": "a,b"}, "mapsimilarity": {"TEXT": "a"}}.get(name, {})
    assert check(algorithms[name], **map_files, **more) == (True, "")
    other = {**map_files, "MODEL": model(tmp_path / "b.safetensors", ("B08", "B11"))}
    ok, why = check(algorithms[name], **other, **more)
    assert not ok
    assert "lacks B08, B11" in why
    ok, why = check(algorithms[name], **map_files, **more, EXTENT="0,1,0,1 [EPSG:32631]", REGION="x.gpkg")
    assert not ok
    other["MODEL"] = model(tmp_path / "c.safetensors", classes=("wheat",))
    ok, why = check(algorithms[name], **other, **more)
    assert not ok
    assert "Train photo model" in why


def test_a_text_or_a_photo(algorithms, map_files):
    one = algorithms["mapsimilarity"]
    for more in ({}, {"TEXT": " "}, {"TEXT": "a lake", "PHOTO": map_files["SERIES"]}):
        ok, why = check(one, **map_files, **more)
        assert not ok
        assert "either a text or a photo" in why
    assert check(one, **map_files, PHOTO=map_files["SERIES"]) == (True, "")
    found = fields(one, **map_files, TEXT="a lake", EXTENT="0,10,0,10 [EPSG:32631]")
    assert (found["text"], found["k"], found["distance"]) == ("a lake", 20, 500)
    assert "photo" not in found
    assert found["extent"].endswith("[EPSG:32631]")


def test_the_scale_is_left_to_the_engine(algorithms, map_files):
    one = algorithms["mapscenicness"]
    assert "scale" not in fields(one, **map_files)
    assert fields(one, **map_files, SCALE=20.5)["scale"] == 20.5
    assert fields(one, **map_files)["ensembling"] == "late"


def raster(path, values):
    rows, columns = len(values), len(values[0])
    data = gdal.GetDriverByName("GTiff").Create(str(path), columns, rows, 1, gdal.GDT_Float32)
    data.SetGeoTransform((600000, 10, 0, 5600000, 0, -10))
    system = osr.SpatialReference()
    system.ImportFromEPSG(32631)
    data.SetProjection(system.ExportToWkt())
    import struct

    flat = [v for row in values for v in row]
    data.GetRasterBand(1).SetNoDataValue(float("nan"))
    data.GetRasterBand(1).WriteRaster(0, 0, columns, rows, struct.pack(f"{len(flat)}f", *flat))
    del data
    return str(path)


def styled(path):
    """The raster with the style beside it, as QGIS opens it."""
    layer = QgsRasterLayer(path, "x", "gdal")
    assert os.path.exists(os.path.splitext(path)[0] + ".qml")
    layer.loadDefaultStyle()
    return layer


def test_a_ramp_leaves_outliers_and_nodata_out(qgis_app, staged, tmp_path, strict):
    from sits_qgis.processing_algorithms import wordstyle

    values = [[0.20 + 0.001 * (i % 100) for i in range(100)] for _ in range(50)]
    values[0][0], values[0][1], values[0][2] = -1.0, 1.0, float("nan")
    path = raster(tmp_path / "a.tif", values)
    wordstyle.style_values(path, strict)
    layer = styled(path)  # owns the renderer
    renderer = layer.renderer()
    assert renderer.type() == "singlebandpseudocolor"
    assert 0.195 < renderer.classificationMin() < 0.21
    assert 0.29 < renderer.classificationMax() < 0.305
    items = renderer.shader().rasterShaderFunction().colorRampItemList()
    assert [item.color.name() for item in items] == list(wordstyle.RAMP)
    assert items[0].value < items[-1].value


@pytest.mark.parametrize("value", [0.25, float("nan")])
def test_rasters_of_one_number_and_empty_ones_have_a_style(qgis_app, staged, tmp_path, value, strict):
    from sits_qgis.processing_algorithms import wordstyle

    path = raster(tmp_path / "a.tif", [[value] * 20] * 20)
    wordstyle.style_values(path, strict)
    layer = styled(path)  # owns the renderer
    renderer = layer.renderer()
    assert renderer.classificationMin() < renderer.classificationMax()


def test_places_show_their_rank(qgis_app, staged, tmp_path, strict):
    from sits_qgis.processing_algorithms import wordstyle

    path = str(tmp_path / "p.gpkg")
    data = ogr.GetDriverByName("GPKG").CreateDataSource(path)
    made = data.CreateLayer("places", None, ogr.wkbPoint)
    for name, kind in (("rank", ogr.OFTInteger), ("similarity", ogr.OFTReal), ("query", ogr.OFTString)):
        made.CreateField(ogr.FieldDefn(name, kind))
    del made, data
    wordstyle.style_places(path, strict)
    layer = QgsVectorLayer(path, "p", "ogr")
    layer.loadDefaultStyle()
    assert layer.labelsEnabled()
    assert layer.labeling().settings().fieldName == "rank"
    assert "similarity" in layer.mapTipTemplate()
