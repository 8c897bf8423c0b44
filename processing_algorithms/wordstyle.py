"""How maps of similarities and ratings look: a continuous ramp, and numbered places."""

from qgis.core import (
    QgsColorRampShader,
    QgsGradientColorRamp,
    QgsGradientStop,
    QgsMarkerSymbol,
    QgsPalLayerSettings,
    QgsRasterLayer,
    QgsRasterShader,
    QgsRectangle,
    QgsSingleBandPseudoColorRenderer,
    QgsSingleSymbolRenderer,
    QgsTextBufferSettings,
    QgsTextFormat,
    QgsVectorLayer,
    QgsVectorLayerSimpleLabeling,
)
from qgis.PyQt.QtGui import QColor

from . import styling

#: From dark (low) to bright (high), of even steps in lightness, readable for the colour-blind (viridis).
RAMP = ("#440154", "#3b528b", "#21918c", "#5ec962", "#fde725")
#: Shares of the pixels that lie below and above the ramp, and pixels that are looked at to find out.
CUT, LOOKED_AT = 0.02, 250_000
PLACE_TIP = '<b>[% "rank" %]</b> [% "query" %]<br>similarity [% round("similarity", 3) %]'


def style_values(path, feedback, season=None, limits=None):
    """Write the style of a raster of numbers: a ramp over the middle 96 % of its pixels.

    Args:
        path: GeoTIFF; band 1 is shown.
        feedback: hears if the style can't be written.
        season: temporal range, or None.
        limits: (low, high) of the ramp instead.
    """
    layer = QgsRasterLayer(path, "values", "gdal")
    if not layer.isValid():
        return
    low, high = limits or layer.dataProvider().cumulativeCut(1, CUT, 1 - CUT, QgsRectangle(), LOOKED_AT)
    if not high > low:  # an empty map, or one number everywhere
        low, high = (low - 0.01, low + 0.01) if low == low else (0.0, 1.0)
    shader = QgsColorRampShader(low, high, ramp())
    shader.classifyColorRamp(len(RAMP), 1)
    around = QgsRasterShader(low, high)
    around.setRasterShaderFunction(shader)
    renderer = QgsSingleBandPseudoColorRenderer(layer.dataProvider(), 1, around)
    renderer.setClassificationMin(low)
    renderer.setClassificationMax(high)
    layer.setRenderer(renderer)
    if season is not None:
        styling.set_season(layer, season)
    styling.save(layer, path, feedback)


def ramp():
    """The colour ramp."""
    inner = [QgsGradientStop(i / (len(RAMP) - 1), QColor(c)) for i, c in enumerate(RAMP[1:-1], start=1)]
    return QgsGradientColorRamp(QColor(RAMP[0]), QColor(RAMP[-1]), False, inner)


def style_places(path, feedback):
    """Write the style of the best places: points with their rank beside them."""
    layer = QgsVectorLayer(path, "places", "ogr")
    if not layer.isValid():
        return
    symbol = QgsMarkerSymbol.createSimple(
        {
            "name": "circle",
            "color": "255,255,255,40",
            "outline_color": "#d1495b",
            "outline_width": "0.7",
            "size": "4",
        }
    )
    layer.setRenderer(QgsSingleSymbolRenderer(symbol))
    settings = QgsPalLayerSettings()
    settings.fieldName = "rank"
    text = QgsTextFormat()
    text.setSize(9)
    text.setColor(QColor("#202225"))
    halo = QgsTextBufferSettings()
    halo.setEnabled(True)
    halo.setSize(1)
    halo.setColor(QColor("#ffffff"))
    text.setBuffer(halo)
    settings.setFormat(text)
    layer.setLabeling(QgsVectorLayerSimpleLabeling(settings))
    layer.setLabelsEnabled(True)
    layer.setMapTipTemplate(PLACE_TIP)
    styling.save(layer, path, feedback)
