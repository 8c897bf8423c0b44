"""Inputs of algorithms made up for tests: model and series files as dialogs read them, layers in memory."""

import json
import struct

from qgis.core import QgsFeature, QgsGeometry, QgsProject, QgsVectorLayer


def model(path, bands=("B02", "B04"), classes=()):
    card = {
        "bands": [{"name": b} for b in bands],
        "classes": [{"name": c, "color": "#d9a01c"} for c in classes],
        "season_year": 2019,
    }
    header = json.dumps({"__metadata__": {"sits_model_card": json.dumps(card)}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header)
    return str(path)


def series(path, bands=("B02", "B04")):
    item = {
        "properties": {"datetime": "2019-06-01T00:00:00Z"},
        "assets": {"data": {"eo:bands": [{"name": b} for b in bands]}},
    }
    own = {"title": path.stem, "season_year": 2019}
    path.write_text(json.dumps({"features": [item], "sits:series": own}), encoding="utf-8")
    return str(path)


def layer(name, crops=("maize", "wheat", "")):
    """A layer in memory with a square a crop."""
    memory = QgsVectorLayer("Polygon?crs=EPSG:32631&field=crop:string", name, "memory")
    features = []
    for number, crop in enumerate(crops):
        feature = QgsFeature(memory.fields())
        feature.setGeometry(
            QgsGeometry.fromWkt(f"POLYGON(({number} 0,{number} 1,{number + 1} 1,{number} 0))")
        )
        feature["crop"] = crop
        features.append(feature)
    memory.dataProvider().addFeatures(features)
    QgsProject.instance().addMapLayer(memory)
    return memory
