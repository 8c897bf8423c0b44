"""How retrieved photos look on the map: numbered by rank, the photo itself as map tip."""

from qgis.core import (
    QgsCategorizedSymbolRenderer,
    QgsMarkerSymbol,
    QgsPalLayerSettings,
    QgsRendererCategory,
    QgsTextBufferSettings,
    QgsTextFormat,
    QgsVectorLayer,
    QgsVectorLayerSimpleLabeling,
)
from qgis.PyQt.QtGui import QColor

from ..i18n import tr
from . import styling

#: Ranks with a colour and size (mm) of their own; those behind share the last.
LOOKS = (("#d1495b", "4.2"), ("#e58f2a", "3.4"), ("#edc531", "3.0"), ("#7d8a90", "2.4"))
#: Pixels of a photo in the map tip.
WIDTH = 340
#: The path as address of a file: slashes, and what has a meaning in addresses, encoded ('%' first).
ADDRESS = (
    "with_variable('p', replace(replace(replace(replace(replace(\"photo\", '\\\\', '/'), '%', '%25'), "
    "'#', '%23'), '?', '%3F'), ' ', '%20'), 'file://' || if(left(@p, 1) = '/', '', '/') || @p)"
)
TIP = (
    '<b>[% "query" %]</b>, [% "rank" %]. (similarity [% format_number("similarity", 3) %])<br>'
    f'[% if("photo_there", \'<img width="{WIDTH}" src="\' || {ADDRESS} || \'">\', '
    "'The photo is not where it was: ' || \"photo\") %]<br>"
    '[% if("distance_m" < 1000, format_number("distance_m", 0) || \' m\', '
    "format_number(\"distance_m\" / 1000, 1) || ' km') %]"
    "[% coalesce(', ' || format_date(\"date\", 'yyyy-MM-dd'), '') %]"
    "[% if(length(coalesce(\"direction\", '')) > 0, ', ' || \"direction\", '') %]"
)


def style_found(path, feedback):
    """Write the style of a layer of retrieved photos.

    Args:
        path: GeoPackage with the fields query, rank, similarity, photo, photo_there, distance_m, date and
            direction.
        feedback: hears if the style can't be written.
    """
    layer = QgsVectorLayer(path, "photos", "ogr")
    if not layer.isValid():
        return
    names = [tr("most similar"), tr("second"), tr("third"), tr("further")]
    categories = []
    for number, ((color, size), name) in enumerate(zip(LOOKS, names), start=1):
        symbol = QgsMarkerSymbol.createSimple(
            {
                "name": "circle",
                "color": color,
                "outline_color": "#ffffff",
                "outline_width": "0.4",
                "size": size,
            }
        )
        categories.append(QgsRendererCategory(number, symbol, name))
    layer.setRenderer(QgsCategorizedSymbolRenderer(f'min("rank", {len(LOOKS)})', categories))
    layer.setLabeling(QgsVectorLayerSimpleLabeling(_labels()))
    layer.setLabelsEnabled(True)
    layer.setMapTipTemplate(TIP)
    layer.setDisplayExpression('"query" || \' \' || "rank"')
    styling.save(layer, path, feedback)


def _labels():
    settings = QgsPalLayerSettings()
    settings.fieldName = '"query" || \': \' || "rank"'
    settings.isExpression = True
    written = QgsTextFormat()
    written.setSize(8)
    around = QgsTextBufferSettings()
    around.setEnabled(True)
    around.setSize(0.8)
    around.setColor(QColor("white"))
    written.setBuffer(around)
    settings.setFormat(written)
    return settings
