"""Style of the demo's photo points: a colour for each class, and the photo as map tip."""

from qgis.core import QgsCategorizedSymbolRenderer, QgsMarkerSymbol, QgsRendererCategory, QgsVectorLayer

from . import styling
from .foundphotos import ADDRESS, WIDTH

#: The photo's path is relative to the folder of the layer's file.
HERE = "regexp_replace(layer_property(@layer_id, 'source'), '[^/]*$', '') || \"photo\""
TIP = (
    '<b>[% "class" %]</b>, [% "date" %], [% "direction" %]<br>'
    f'<img width="{WIDTH}" src="[% {ADDRESS.replace(chr(34) + "photo" + chr(34), HERE)} %]">'
)


def style_photos(path, colours, field, feedback):
    """Write the style of a layer of photo points.

    Args:
        path: GeoPackage with the fields photo, class, date and direction.
        colours: colour of each class, by name.
        field: name of the field with the class.
        feedback: hears if the style can't be written.
    """
    layer = QgsVectorLayer(path, "photos", "ogr")
    if not layer.isValid():
        return
    here = layer.uniqueValues(layer.fields().indexFromName(field))
    categories = [
        QgsRendererCategory(
            name,
            QgsMarkerSymbol.createSimple({"color": color, "outline_color": "#202225", "size": "2.4"}),
            name,
        )
        for name, color in colours.items()
        if name in here
    ]
    layer.setRenderer(QgsCategorizedSymbolRenderer(field, categories))
    layer.setMapTipTemplate(TIP)
    styling.save(layer, path, feedback)
