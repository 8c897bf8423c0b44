"""Photo points of the demo: a colour for each class that occurs, and the photo in the map tip."""

from pathlib import Path

import pytest
from qgis.core import (
    QgsExpression,
    QgsExpressionContext,
    QgsExpressionContextUtils,
    QgsFeature,
    QgsProject,
    QgsVectorFileWriter,
    QgsVectorLayer,
)


@pytest.fixture
def photos(tmp_path):
    """A layer as the engine writes it, in a folder whose name needs care in an address."""
    fields = "field=photo:string&field=class:string&field=date:string&field=direction:string"
    layer = QgsVectorLayer(f"Point?crs=EPSG:32631&{fields}", "photos", "memory")
    feature = QgsFeature(layer.fields())
    feature.setAttributes(["photos/P0001_N.jpg", "maize", "2023-08-01", "N"])
    layer.dataProvider().addFeature(feature)
    folder = tmp_path / "région #1"
    folder.mkdir()
    options = QgsVectorFileWriter.SaveVectorOptions()
    options.driverName = "GPKG"
    path = str(folder / "photos.gpkg")
    QgsVectorFileWriter.writeAsVectorFormatV3(layer, path, layer.transformContext(), options)
    return path


def test_the_map_tip_finds_the_photo_beside_the_layer(photos, strict):
    from sits_qgis.processing_algorithms import photostyle, styling

    photostyle.style_photos(photos, {"maize": "#e8731a", "wheat": "#d9a520"}, "class", strict)
    layer = QgsVectorLayer(photos, "photos", "ogr")
    layer.loadNamedStyle(styling.side_car(photos))
    QgsProject.instance().addMapLayer(layer)
    try:
        assert [category.value() for category in layer.renderer().categories()] == ["maize"]
        context = QgsExpressionContext(QgsExpressionContextUtils.globalProjectLayerScopes(layer))
        context.setFeature(next(layer.getFeatures()))
        text = QgsExpression.replaceExpressionText(layer.mapTipTemplate(), context)
    finally:
        QgsProject.instance().removeMapLayer(layer.id())
    folder = str(Path(photos).parent).replace("#", "%23").replace(" ", "%20")
    assert f'src="file://{folder}/photos/P0001_N.jpg"' in text
    assert "maize" in text
