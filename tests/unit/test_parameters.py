"""Layers as the engine gets them: selection, filter and memory respected, services refused."""

import pytest
from osgeo import gdal
from qgis.core import (
    QgsFeature,
    QgsGeometry,
    QgsProcessing,
    QgsProcessingAlgorithm,
    QgsProcessingException,
    QgsProcessingFeatureSourceDefinition,
    QgsProcessingFeedback,
    QgsProcessingParameterExtent,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterMultipleLayers,
    QgsProcessingParameterRasterLayer,
    QgsProject,
    QgsRasterLayer,
    QgsVectorFileWriter,
    QgsVectorLayer,
)


class Takes(QgsProcessingAlgorithm):
    def initAlgorithm(self, config=None):
        self.addParameter(QgsProcessingParameterFeatureSource("PARCELS", "Parcels", optional=True))
        for name, kind in (
            ("RASTERS", QgsProcessing.SourceType.TypeRaster),
            ("VECTORS", QgsProcessing.SourceType.TypeVectorAnyGeometry),
        ):
            self.addParameter(QgsProcessingParameterMultipleLayers(name, name.title(), kind, optional=True))
        self.addParameter(QgsProcessingParameterRasterLayer("RASTER", "Raster", optional=True))
        self.addParameter(QgsProcessingParameterExtent("EXTENT", "Extent", optional=True))

    def name(self):
        return "takes"

    def displayName(self):
        return "Takes"

    def createInstance(self):
        return Takes()

    def processAlgorithm(self, parameters, context, feedback):
        return {}


@pytest.fixture
def algorithm(qgis_app):
    algorithm = Takes()
    algorithm.initAlgorithm()
    return algorithm


def parcels(tmp_path):
    """A GeoPackage with three squares, in the project."""
    memory = QgsVectorLayer("Polygon?crs=EPSG:32631&field=crop:string", "parcels", "memory")
    features = []
    for number in range(3):
        feature = QgsFeature(memory.fields())
        feature.setGeometry(
            QgsGeometry.fromWkt(f"POLYGON(({number} 0,{number} 1,{number + 1} 1,{number} 0))")
        )
        feature["crop"] = f"crop {number}"
        features.append(feature)
    memory.dataProvider().addFeatures(features)
    options = QgsVectorFileWriter.SaveVectorOptions()
    options.layerName = "été 2019"
    path = str(tmp_path / "my parcels é.gpkg")
    QgsVectorFileWriter.writeAsVectorFormatV3(memory, path, memory.transformContext(), options)
    layer = QgsVectorLayer(f"{path}|layername=été 2019", "parcels", "ogr")
    assert layer.featureCount() == 3
    QgsProject.instance().addMapLayers([layer, memory])
    return layer, memory, path


def crops(source):
    layer = QgsVectorLayer(source, "x", "ogr")
    assert layer.isValid(), source
    return sorted(feature["crop"] for feature in layer.getFeatures())


def read(algorithm, value, context):
    from sits_qgis.parameters import vector_source

    return vector_source(algorithm, {"PARCELS": value}, "PARCELS", context, QgsProcessingFeedback())


def test_a_plain_file_is_not_copied(algorithm, context, tmp_path):
    layer, _, path = parcels(tmp_path)
    assert read(algorithm, layer.id(), context) == f"{path}|layername=été 2019"
    assert read(algorithm, None, context) == ""


def test_selection_filter_and_memory_are_respected(algorithm, context, tmp_path):
    layer, memory, _ = parcels(tmp_path)
    assert crops(read(algorithm, memory.id(), context)) == ["crop 0", "crop 1", "crop 2"]
    layer.selectByExpression("crop = 'crop 1'")
    chosen = QgsProcessingFeatureSourceDefinition(layer.id(), True)
    assert crops(read(algorithm, chosen, context)) == ["crop 1"]
    layer.removeSelection()
    layer.setSubsetString("crop <> 'crop 1'")
    assert crops(read(algorithm, layer.id(), context)) == ["crop 0", "crop 2"]


def test_an_empty_selection_says_so(algorithm, context, tmp_path):
    layer, _, _ = parcels(tmp_path)
    with pytest.raises(QgsProcessingException, match="Parcels: the layer 'parcels' has no features"):
        read(algorithm, QgsProcessingFeatureSourceDefinition(layer.id(), True), context)


def test_lists_of_vector_layers(algorithm, context, tmp_path):
    from sits_qgis.parameters import vector_sources

    layer, memory, path = parcels(tmp_path)
    layer.setSubsetString("crop = 'crop 2'")
    given = {"VECTORS": [layer.id(), memory.id()]}
    found = vector_sources(algorithm, given, "VECTORS", context, QgsProcessingFeedback())
    assert [crops(source) for source in found] == [["crop 2"], ["crop 0", "crop 1", "crop 2"]]
    assert vector_sources(algorithm, {}, "VECTORS", context, QgsProcessingFeedback()) == []
    bad = {"VECTORS": [path, str(tmp_path / "none.gpkg")]}
    with pytest.raises(QgsProcessingException, match=r"1 of 2 layers can't be opened.*none\.gpkg"):
        vector_sources(algorithm, bad, "VECTORS", context, QgsProcessingFeedback())


def raster(path):
    gdal.GetDriverByName("GTiff").Create(str(path), 2, 2).FlushCache()
    return str(path)


def test_rasters(algorithm, context, tmp_path):
    from sits_qgis.parameters import raster_paths, raster_source

    paths = [raster(tmp_path / f"image {n}.tif") for n in range(2)]
    layer = QgsRasterLayer(paths[1], "b")
    QgsProject.instance().addMapLayer(layer)
    assert raster_paths(algorithm, {"RASTERS": [paths[0], layer.id()]}, "RASTERS", context) == paths
    assert raster_source(algorithm, {"RASTER": layer.id()}, "RASTER", context) == paths[1]
    assert raster_source(algorithm, {}, "RASTER", context) == ""
    with pytest.raises(QgsProcessingException):
        raster_source(algorithm, {"RASTER": str(tmp_path / "none.tif")}, "RASTER", context)


def test_a_raster_of_a_service_is_refused_with_advice(qgis_app):
    from sits_qgis.parameters import raster_path

    tiles = QgsRasterLayer("type=xyz&url=http://127.0.0.1/{z}/{x}/{y}.png", "tiles", "wms")
    with pytest.raises(QgsProcessingException, match=r"Image: the layer 'tiles'.*'wms'.*GeoTIFF"):
        raster_path(tiles, "Image")


def test_extents_name_their_crs(algorithm, context):
    from sits_qgis.parameters import extent_string

    def text(value):
        return extent_string(algorithm, {"EXTENT": value}, "EXTENT", context)

    assert text("500000,500100.5,5650000,5650200 [EPSG:32631]") == (
        "500000.0,500100.5,5650000.0,5650200.0 [EPSG:32631]"
    )
    assert text(None) == ""
    with pytest.raises(QgsProcessingException, match="Extent: the extent is empty"):
        text("5,5,6,6 [EPSG:32631]")


def test_the_device_is_stored_by_its_word(qgis_app):
    from sits_qgis.parameters import device_parameter

    parameter = device_parameter()
    assert parameter.defaultValue() == "auto"
    assert parameter.usesStaticStrings()
    assert parameter.options() == ["auto", "cpu", "cuda", "mps"]
