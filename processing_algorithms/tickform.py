"""Windows whose crops are ticked: outlines by what is done, ticked crops as label, a form of check boxes."""

from osgeo import ogr
from qgis.core import (
    QgsAttributeEditorContainer,
    QgsAttributeEditorField,
    QgsCategorizedSymbolRenderer,
    QgsDefaultValue,
    QgsEditFormConfig,
    QgsEditorWidgetSetup,
    QgsFillSymbol,
    QgsLinePatternFillSymbolLayer,
    QgsLineSymbol,
    QgsPalLayerSettings,
    QgsRendererCategory,
    QgsSimpleLineSymbolLayer,
    QgsTextBufferSettings,
    QgsTextFormat,
    QgsVectorLayer,
    QgsVectorLayerSimpleLabeling,
)
from qgis.PyQt.QtGui import QColor

from ..i18n import tr
from .styling import save

#: Layer and fields that the engine writes; the table `classes` says which field is which crop.
LAYER, ID_FIELD, DONE_FIELD, CLASSES_TABLE = "windows", "window", "done", "classes"
DONE_COLOR, OPEN_COLOR = "#2fc04b", "#f28e2b"
CHECK_BOX = {"CheckedState": "", "UncheckedState": "", "TextDisplayMethod": 0}


def crops_of(path):
    """Crop by field (dict, in the order of the fields) as the file says."""
    data = ogr.Open(path)
    table = data.GetLayerByName(CLASSES_TABLE) if data is not None else None
    return {} if table is None else {row.GetField("field"): row.GetField("class") for row in table}


def style_windows(path, feedback):
    """Write the style of a layer of windows.

    Args:
        path: GeoPackage that 'Create label windows' wrote.
    """
    layer = QgsVectorLayer(f"{path}|layername={LAYER}", LAYER, "ogr")
    crops = crops_of(path)
    if not layer.isValid() or not crops:
        return
    _form(layer, crops)
    _table(layer)
    ticked = ticked_crops(crops)
    # QGIS lists windows in the order of these texts: those to do first, numbers with leading zeros
    number = f"lpad(\"{ID_FIELD}\", {len(str(layer.featureCount()))}, '0')"
    layer.setDisplayExpression(
        f"concat(if(\"{DONE_FIELD}\", '✔ ', '○ '), {number}, '  ', {ticked_crops(crops, ', ')})"
    )
    nothing = tr("no crop")
    layer.setMapTipTemplate(
        f"<b>[% \"{ID_FIELD}\" %]</b><br>[% coalesce(nullif({ticked_crops(crops, '<br>')}, ''), "
        f"if(\"{DONE_FIELD}\", {_quoted(nothing)}, '')) %]"
    )
    layer.setRenderer(_outlines())
    layer.setLabeling(QgsVectorLayerSimpleLabeling(_labels(ticked)))
    layer.setLabelsEnabled(True)
    save(layer, path, feedback)


def ticked_crops(crops, between="\n"):
    """Expression that gives the ticked crops of a window as one text."""
    words = ", ".join(f"if(\"{field}\", {_quoted(name)}, '')" for field, name in crops.items())
    # an array of nothing gives NULL in older versions
    return f"coalesce(array_to_string(array_remove_all(array({words}), ''), {_quoted(between)}), '')"


def _quoted(text):
    """`text` as a literal of QGIS's expressions."""
    return "'" + text.replace("\\", "\\\\").replace("'", "''").replace("\n", "\\n") + "'"


def _form(layer, crops):
    """A check box a crop, side by side, and one that says that the window was looked at."""
    fields = layer.fields()
    place = {name: fields.indexFromName(name) for name in (*crops, ID_FIELD, DONE_FIELD)}
    for name, crop in crops.items():
        layer.setFieldAlias(place[name], crop)
        layer.setEditorWidgetSetup(place[name], QgsEditorWidgetSetup("CheckBox", CHECK_BOX))
        layer.setDefaultValueDefinition(place[name], QgsDefaultValue("false"))
    layer.setEditorWidgetSetup(place[DONE_FIELD], QgsEditorWidgetSetup("CheckBox", CHECK_BOX))
    layer.setDefaultValueDefinition(place[DONE_FIELD], QgsDefaultValue("false"))
    layer.setFieldAlias(place[DONE_FIELD], tr("Done: looked at, every crop in it is ticked"))
    layer.setFieldAlias(place[ID_FIELD], tr("Window"))
    layer.setEditorWidgetSetup(place[ID_FIELD], QgsEditorWidgetSetup("TextEdit", {}))
    form = layer.editFormConfig()
    form.clearTabs()
    form.setLayout(QgsEditFormConfig.EditorLayout.TabLayout)
    form.setReadOnly(place[ID_FIELD], True)
    root = form.invisibleRootContainer()
    root.addChildElement(QgsAttributeEditorField(ID_FIELD, place[ID_FIELD], root))
    box = QgsAttributeEditorContainer(tr("Crops in this window"), root)
    box.setColumnCount(1 if len(crops) <= 4 else 2 if len(crops) <= 16 else 3)
    for name in crops:
        box.addChildElement(QgsAttributeEditorField(name, place[name], box))
    root.addChildElement(box)
    root.addChildElement(QgsAttributeEditorField(DONE_FIELD, place[DONE_FIELD], root))
    layer.setEditFormConfig(form)


def _table(layer):
    """Windows that are not done come first."""
    config = layer.attributeTableConfig()
    config.update(layer.fields())
    columns = config.columns()
    for column in columns:
        column.hidden = column.name == "fid"
    config.setColumns(columns)
    config.setSortExpression(f'if("{DONE_FIELD}", 1, 0) * 10000000 + "{ID_FIELD}"')
    layer.setAttributeTableConfig(config)


def _outlines():
    """Green with a hatch: done. Orange: to do. No fill hides the image."""
    to_do, done = QgsFillSymbol(), QgsFillSymbol()
    to_do.changeSymbolLayer(0, _edge(OPEN_COLOR))
    done.changeSymbolLayer(0, _edge(DONE_COLOR))
    hatch = QgsLinePatternFillSymbolLayer.create({"angle": "45", "distance": "4"})
    line = QgsLineSymbol.createSimple({"color": DONE_COLOR, "width": "0.25"})
    hatch.setSubSymbol(line)
    done.appendSymbolLayer(hatch)
    return QgsCategorizedSymbolRenderer(
        f'if("{DONE_FIELD}", 1, 0)',
        [QgsRendererCategory(0, to_do, tr("To tick")), QgsRendererCategory(1, done, tr("Done"))],
    )


def _edge(color):
    """An outline of 0.6 mm that stays inside, so that neighbours don't hide each other's."""
    line = QgsSimpleLineSymbolLayer.create({"line_color": color, "line_width": "1.2"})
    line.setDrawInsidePolygon(True)
    return line


def _labels(expression):
    """The ticked crops in the middle of a window, where it is large enough on the screen."""
    settings = QgsPalLayerSettings()
    settings.fieldName = expression
    settings.isExpression = True
    settings.placement = QgsPalLayerSettings.Placement.OverPoint
    settings.centroidInside = True
    settings.fitInPolygonOnly = True
    text = QgsTextFormat()
    text.setSize(8)
    text.setColor(QColor("#1b1b1b"))
    halo = QgsTextBufferSettings()
    halo.setEnabled(True)
    halo.setSize(0.8)
    halo.setColor(QColor(255, 255, 255, 215))
    text.setBuffer(halo)
    settings.setFormat(text)
    return settings
