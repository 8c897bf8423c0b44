"""The form in which crops are ticked, and how windows look: real QGIS, the layer as the engine writes it."""

import pytest
from qgis.core import (
    QgsExpression,
    QgsExpressionContext,
    QgsExpressionContextUtils,
    QgsFeature,
    QgsGeometry,
    QgsVectorFileWriter,
    QgsVectorLayer,
)

CROPS = {"wheat": "Wheat", "mais": "Maïs d'été", "crop_211": "211"}


def write(path, name, kind, rows, first):
    layer = QgsVectorLayer(kind, name, "memory")
    for number, row in enumerate(rows):
        feature = QgsFeature(layer.fields())
        feature.setAttributes(row)
        if kind.startswith("Polygon"):
            feature.setGeometry(
                QgsGeometry.fromWkt(f"POLYGON(({number} 0,{number} 1,{number + 1} 1,{number} 0))")
            )
        layer.dataProvider().addFeature(feature)
    options = QgsVectorFileWriter.SaveVectorOptions()
    options.driverName, options.layerName = "GPKG", name
    actions = QgsVectorFileWriter.ActionOnExistingFile
    options.actionOnExistingFile = actions.CreateOrOverwriteFile if first else actions.CreateOrOverwriteLayer
    QgsVectorFileWriter.writeAsVectorFormatV3(layer, path, layer.transformContext(), options)


@pytest.fixture
def windows(tmp_path, qgis_app, staged):
    """Path of twelve windows, as 'Create label windows' writes them."""
    path = str(tmp_path / "fenêtres.gpkg")
    fields = "&".join(f"field={name}:bool" for name in ("done", *CROPS))
    rows = [[i + 1, i == 1, i < 2, i == 0, None] for i in range(12)]
    write(path, "windows", f"Polygon?crs=EPSG:32631&field=window:integer&{fields}", rows, True)
    table = "None?field=field:string&field=class:string&field=color:string"
    write(path, "classes", table, [[field, name, "#112233"] for field, name in CROPS.items()], False)
    return path


@pytest.fixture
def layer(windows, strict):
    from sits_qgis.processing_algorithms import styling, tickform

    tickform.style_windows(windows, strict)
    layer = QgsVectorLayer(f"{windows}|layername=windows", "windows", "ogr")
    layer.loadNamedStyle(styling.side_car(windows))
    return layer


def value(layer, text, window):
    feature = next(f for f in layer.getFeatures() if f["window"] == window)
    context = QgsExpressionContext(QgsExpressionContextUtils.globalProjectLayerScopes(layer))
    context.setFeature(feature)
    expression = QgsExpression(text)
    found = expression.evaluate(context)
    assert not expression.hasEvalError(), expression.evalErrorString()
    return found


def test_the_form_is_a_check_box_a_crop_and_one_for_done(layer):
    kinds = {f.name(): layer.editorWidgetSetup(i).type() for i, f in enumerate(layer.fields())}
    assert {name for name, kind in kinds.items() if kind == "CheckBox"} == {"done", *CROPS}
    aliases = {f.name(): layer.attributeAlias(i) for i, f in enumerate(layer.fields())}
    assert {name: aliases[name] for name in CROPS} == CROPS
    form = layer.editFormConfig()
    assert form.readOnly(layer.fields().indexFromName("window"))
    first, box, last = form.invisibleRootContainer().children()
    assert (first.name(), last.name()) == ("window", "done")
    assert [child.name() for child in box.children()] == list(CROPS)


def test_the_list_of_windows_begins_with_what_is_to_do(layer):
    texts = [value(layer, layer.displayExpression(), number) for number in range(1, 13)]
    assert texts[:3] == ["○ 01  Wheat, Maïs d'été", "✔ 02  Wheat", "○ 03  "]
    assert sorted(texts)[-1] == texts[1]
    assert sorted(texts)[:11] == [text for text in texts if text.startswith("○")]


def test_ticked_crops_are_written_in_the_window(layer):
    assert layer.labelsEnabled()
    settings = layer.labeling().settings()
    assert settings.isExpression
    assert value(layer, settings.fieldName, 1) == "Wheat\nMaïs d'été"
    assert value(layer, settings.fieldName, 3) == ""


def test_windows_are_outlined_by_done_and_hide_nothing(layer):
    renderer = layer.renderer()
    categories = renderer.categories()  # they own the symbols
    looks = {int(category.value()): category.symbol() for category in categories}
    assert value(layer, renderer.classAttribute(), 2) == 1
    assert value(layer, renderer.classAttribute(), 1) == 0
    kinds = {key: [part.layerType() for part in symbol.symbolLayers()] for key, symbol in looks.items()}
    assert kinds == {0: ["SimpleLine"], 1: ["SimpleLine", "LinePatternFill"]}
    assert looks[0].color() != looks[1].color()


def test_other_files_are_left_alone(tmp_path, qgis_app, staged, strict):
    from sits_qgis.processing_algorithms import styling, tickform

    path = str(tmp_path / "other.gpkg")
    write(path, "windows", "Polygon?crs=EPSG:32631&field=window:integer", [[1]], True)
    tickform.style_windows(path, strict)
    tickform.style_windows(str(tmp_path / "nothing.gpkg"), strict)
    assert list(tmp_path.glob("*.qml")) == []
    assert styling.side_car(path).endswith("other.qml")
