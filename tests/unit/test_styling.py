"""How results look: what the form of a validation sample shows, and what it must not."""

import pytest
from qgis.core import (
    QgsFeature,
    QgsProcessingContext,
    QgsProcessingUtils,
    QgsProject,
    QgsVectorFileWriter,
    QgsVectorLayer,
)


@pytest.fixture
def sample(tmp_path):
    """A layer as the engine writes it."""
    fields = "field=id:integer&field=reference:string&field=stratum:integer&field=stratum_ha:double"
    layer = QgsVectorLayer(f"Point?crs=EPSG:32631&{fields}", "sample", "memory")
    feature = QgsFeature(layer.fields())
    feature.setAttributes([1, None, 3, 12.5])
    layer.dataProvider().addFeature(feature)
    path = str(tmp_path / "échantillon.gpkg")
    options = QgsVectorFileWriter.SaveVectorOptions()
    options.driverName = "GPKG"
    QgsVectorFileWriter.writeAsVectorFormatV3(layer, path, layer.transformContext(), options)
    return path


def test_the_form_of_a_sample_hides_what_the_map_says(sample, strict):
    from sits_qgis.processing_algorithms import styling

    styling.style_sample(sample, ["wheat", "maïs"], strict)
    layer = QgsVectorLayer(sample, "sample", "ogr")
    layer.loadNamedStyle(styling.side_car(sample))
    kinds = {f.name(): layer.editorWidgetSetup(i).type() for i, f in enumerate(layer.fields())}
    hidden = {name for name, kind in kinds.items() if kind == "Hidden"}
    assert hidden == {"fid", "stratum", "stratum_ha"}
    assert kinds["reference"] == "ValueMap"
    columns = {c.name for c in layer.attributeTableConfig().columns() if c.hidden}
    assert columns >= {"stratum", "stratum_ha"}


def test_a_table_comes_into_the_project_under_its_name(qgis_app, tmp_path):
    from sits_qgis.processing_algorithms import styling

    path = tmp_path / "tabelle.csv"
    path.write_text("method,seed,macro_f1\ntimematch,1,0.81\n", encoding="utf-8")
    context = QgsProcessingContext()
    context.setProject(QgsProject.instance())
    styling.load_table(context, None, "Nothing")
    assert context.layersToLoadOnCompletion() == {}
    styling.load_table(context, str(path), "Comparison")
    ((source, details),) = context.layersToLoadOnCompletion().items()
    layer = QgsProcessingUtils.mapLayerFromString(source, context)
    details.postProcessor().postProcessLayer(layer, context, None)
    assert layer.name() == "Comparison"
    feature = next(layer.getFeatures())
    assert feature.attributes() == ["timematch", 1, 0.81], "numbers, not texts"
