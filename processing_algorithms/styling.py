"""How results look: style files beside them, layer names, and the season as temporal range.

Styles are written as .qml side-cars, which QGIS applies when it opens the file: the user's own style for an
output (Processing, "Edit rendering styles") comes later and wins, and the file looks the same elsewhere.
"""

import os

from osgeo import gdal
from qgis.core import (
    Qgis,
    QgsCategorizedSymbolRenderer,
    QgsDateTimeRange,
    QgsEditorWidgetSetup,
    QgsFillSymbol,
    QgsMarkerSymbol,
    QgsPalettedRasterRenderer,
    QgsProcessingContext,
    QgsProcessingLayerPostProcessorInterface,
    QgsProperty,
    QgsRasterLayer,
    QgsRendererCategory,
    QgsSymbol,
    QgsVectorLayer,
)
from qgis.PyQt.QtCore import QDate, QDateTime, QTime
from qgis.PyQt.QtGui import QColor

from ..i18n import tr
from .facts import ClassFacts

#: Post-processors must outlive the algorithm that made them, or QGIS calls into freed memory.
_alive = []
KEPT = 200
#: Renderers that QGIS itself gives a new layer.
PLAIN = ("singleSymbol", "multibandcolor", "singlebandgray")
#: What the pointer shows over a parcel; fields of the parcel layer of 'Map crops'.
PARCEL_TIP = (
    '<b>[% "class" %]</b> [% "confidence" %] %<br>[% "runner_up" %] [% "runner_up_confidence" %] %<br>'
    '[% "n_pixels" %] pixels, [% "n_dates" %] dates'
)
POLYGON_TIP = '<b>[% "class" %]</b> [% "confidence" %] %<br>[% "area_ha" %] ha, [% "n_pixels" %] pixels'


class Dress(QgsProcessingLayerPostProcessorInterface):
    """Gives a loaded layer its name and, if known, the season as temporal range."""

    def __init__(self, name, season=None):
        super().__init__()
        self.name = name
        self.season = season
        _alive.append(self)
        del _alive[:-KEPT]

    def postProcessLayer(self, layer, context, feedback):
        """Called by QGIS on the main thread when the layer is added to the project."""
        side = side_car(layer.source().split("|")[0])
        renderer = layer.renderer()  # None of a table
        # Processing opens files without their style (3.22); a style that the user chose for it is kept.
        if renderer is not None and renderer.type() in PLAIN and os.path.exists(side):
            layer.loadNamedStyle(side)
        layer.setName(self.name)
        if self.season is not None:
            set_season(layer, self.season)
        layer.triggerRepaint()
        # The layer tree drew the legend before the style was there.
        layer.emitStyleChanged()


def dress(context, path, name, season=None):
    """Name the layer that QGIS will load from `path` and set its season; nothing if it won't be loaded."""
    if path and context.willLoadLayerOnCompletion(path):
        details = context.layerToLoadOnCompletionDetails(path)
        details.name = name
        details.setPostProcessor(Dress(name, season))


def load(context, path, name, season=None):
    """Have QGIS load a file that is no destination parameter, where there is a project to load it into."""
    if path and context.project() is not None and os.path.exists(path.split("|")[0]):
        details = QgsProcessingContext.LayerDetails(name, context.project(), name)
        details.setPostProcessor(Dress(name, season))
        context.addLayerToLoadOnCompletion(path, details)


def load_table(context, path, name):
    """Have QGIS load a CSV file with its numbers as numbers."""
    if path:
        load(context, f"{path}|option:AUTODETECT_TYPE=YES", name)


def season_of(dates):
    """Temporal range from the first to the last of `dates` (ISO strings), or None."""
    days = [QDate.fromString(date, "yyyy-MM-dd") for date in (dates[:1] + dates[-1:])]
    if not days or not all(day.isValid() for day in days):
        return None
    return QgsDateTimeRange(QDateTime(days[0], QTime(0, 0)), QDateTime(days[-1], QTime(23, 59, 59)))


def set_season(layer, season):
    """Show `layer` in the temporal controller during `season` only."""
    temporal = layer.temporalProperties()
    if isinstance(layer, QgsRasterLayer):
        temporal.setMode(Qgis.RasterTemporalMode.FixedTemporalRange)
    elif isinstance(layer, QgsVectorLayer):
        temporal.setMode(Qgis.VectorTemporalMode.FixedTemporalRange)
    else:
        return
    temporal.setFixedTemporalRange(season)
    temporal.setIsActive(True)


def raster_classes(path):
    """`ClassFacts` by value (dict) from colour table and category names of band 1; {} without them."""
    data = gdal.Open(path)
    if data is None:
        return {}
    band = data.GetRasterBand(1)
    # Names come last: GDAL 3.6 reads the side-car file that holds them only when asked for something else.
    nodata, colours = band.GetNoDataValue(), band.GetColorTable()
    classes = {}
    for value, name in enumerate(band.GetRasterCategoryNames() or []):
        if not name or value == nodata:
            continue
        entry = (
            colours.GetColorEntry(value)
            if colours is not None and value < colours.GetCount()
            else (128, 128, 128)
        )
        classes[value] = ClassFacts(name, "#{:02x}{:02x}{:02x}".format(*entry[:3]))
    return classes


def side_car(path):
    """Path of the style file that QGIS looks for beside `path`."""
    return os.path.splitext(path)[0] + ".qml"


def save(layer, path, feedback):
    """Write the style of `layer` beside `path`."""
    message, ok = layer.saveNamedStyle(side_car(path))
    if not ok:
        feedback.pushWarning(tr("The style file could not be written: {message}").format(message=message))


def style_map(path, classes, feedback, season=None):
    """Write the style of a crop map: band 1 with a legend of its classes.

    Args:
        path: GeoTIFF.
        classes: `ClassFacts` by value.
    """
    layer = QgsRasterLayer(path, "map", "gdal")
    if not layer.isValid() or not classes:
        return
    entries = [
        QgsPalettedRasterRenderer.Class(v, QColor(c.color), c.name) for v, c in sorted(classes.items())
    ]
    layer.setRenderer(QgsPalettedRasterRenderer(layer.dataProvider(), 1, entries))
    if season is not None:
        set_season(layer, season)
    save(layer, path, feedback)


def style_parcels(path, classes, field, feedback, *, confidence=None, tip=""):
    """Write the style of a parcel layer: one colour a class, paler where the confidence is low.

    Args:
        path: GeoPackage with one layer.
        classes: iterable of `ClassFacts`; the field holds their names.
        field: name of the field with the class.
        confidence: name of the field with the confidence (percent), or None.
        tip: HTML template of the map tip.
    """
    layer = QgsVectorLayer(path, "parcels", "ogr")
    if not layer.isValid():
        return
    categories = []
    for item in classes:
        symbol = QgsFillSymbol.createSimple(
            {
                "color": item.color,
                "outline_color": "#35373b",
                "outline_width": "0.2",
                "outline_width_unit": "MM",
            }
        )
        if confidence:
            # From a third (a guess) to full colour (certain): doubtful parcels catch the eye as pale.
            symbol.setDataDefinedProperty(
                _opacity(), QgsProperty.fromExpression(f'33 + 0.67 * coalesce("{confidence}", 0)')
            )
        categories.append(QgsRendererCategory(item.name, symbol, item.name))
    layer.setRenderer(QgsCategorizedSymbolRenderer(field, categories))
    if tip:
        layer.setMapTipTemplate(tip)
    save(layer, path, feedback)


def _opacity():
    """The enum value of a symbol's opacity; it was renamed in later versions of QGIS."""
    old = getattr(QgsSymbol.Property, "PropertyOpacity", None)
    return QgsSymbol.Property.Opacity if old is None else old


def style_sample(path, names, feedback):
    """Write style and form of a validation sample: a list of the classes, and what must stay unseen hidden.

    Args:
        path: GeoPackage with fields id, stratum and reference.
        names: class names that an interpreter may choose.
    """
    layer = QgsVectorLayer(path, "sample", "ogr")
    if not layer.isValid():
        return
    fields = layer.fields()
    widgets = {
        "fid": ("Hidden", {}),
        # Who sees the class of the map, or its area, judges with it in mind.
        "stratum": ("Hidden", {}),
        "stratum_ha": ("Hidden", {}),
        # A raster without category names has nothing to choose from: then the form takes any text.
        **({"reference": ("ValueMap", {"map": [{name: name} for name in names]})} if names else {}),
    }
    for name, (kind, settings) in widgets.items():
        if fields.indexFromName(name) >= 0:
            layer.setEditorWidgetSetup(fields.indexFromName(name), QgsEditorWidgetSetup(kind, settings))
    form = layer.editFormConfig()
    if fields.indexFromName("id") >= 0:
        form.setReadOnly(fields.indexFromName("id"), True)
    layer.setEditFormConfig(form)
    hidden = layer.attributeTableConfig()
    hidden.update(fields)
    columns = hidden.columns()
    for column in columns:
        if column.name in ("stratum", "stratum_ha", "fid"):
            column.hidden = True
    hidden.setColumns(columns)
    layer.setAttributeTableConfig(hidden)
    layer.setFieldAlias(fields.indexFromName("reference"), tr("What is there (class)"))
    to_do = QgsMarkerSymbol.createSimple(
        {
            "name": "circle",
            "color": "255,255,255,60",
            "outline_color": "#d1495b",
            "outline_width": "0.6",
            "size": "3",
        }
    )
    done = QgsMarkerSymbol.createSimple(
        {
            "name": "circle",
            "color": "#2e933c",
            "outline_color": "#ffffff",
            "outline_width": "0.3",
            "size": "3",
        }
    )
    categories = [
        QgsRendererCategory(1, done, tr("Interpreted")),
        QgsRendererCategory(0, to_do, tr("To interpret")),
    ]
    layer.setRenderer(QgsCategorizedSymbolRenderer("length(coalesce(\"reference\", '')) > 0", categories))
    layer.setMapTipTemplate('<b>[% "id" %]</b> [% coalesce("reference", \'–\') %]')
    save(layer, path, feedback)
