"""A small land of square fields with two crops in turn: images as GeoTIFF, parcels as GeoJSON."""

import json
import struct
from dataclasses import dataclass

from osgeo import gdal, osr

LEFT, TOP, PIXEL = 600000, 5600000, 10
BANDS = ("B04", "B08")


@dataclass(frozen=True)
class Chessboard:
    """`side` pixels of 10 m a side, fields of `field` pixels; the last ones may be cut off."""

    side: int
    field: int
    names: tuple[str, str]
    noise: bool = False

    def crops(self):
        """Rows of 0 or 1, the crop of each pixel."""
        return [[(r // self.field + c // self.field) % 2 for c in range(self.side)] for r in range(self.side)]

    def image(self, path, level):
        """Two bands; the crops are told apart by `level`; `noise` is a fixed pattern."""
        file = gdal.GetDriverByName("GTiff").Create(
            str(path), self.side, self.side, len(BANDS), gdal.GDT_UInt16
        )
        file.SetGeoTransform((LEFT, PIXEL, 0, TOP, 0, -PIXEL))
        system = osr.SpatialReference()
        system.ImportFromEPSG(32631)
        file.SetProjection(system.ExportToWkt())
        for number, name in enumerate(BANDS, start=1):
            pixels = [
                1000 + number * level * crop + ((row * 31 + col * 17) % 97 if self.noise else 0)
                for row, line in enumerate(self.crops())
                for col, crop in enumerate(line)
            ]
            band = file.GetRasterBand(number)
            band.WriteRaster(0, 0, self.side, self.side, struct.pack(f"<{len(pixels)}H", *pixels))
            band.SetDescription(name)
        file.FlushCache()

    def parcels(self, path):
        """The fields as polygons, their crop in the field 'crop'."""
        features = []
        crops = self.crops()
        for row in range(0, self.side, self.field):
            for col in range(0, self.side, self.field):
                left, top = LEFT + PIXEL * col, TOP - PIXEL * row
                right = left + PIXEL * min(self.field, self.side - col)
                low = top - PIXEL * min(self.field, self.side - row)
                ring = [[left, top], [right, top], [right, low], [left, low], [left, top]]
                shape = {"type": "Polygon", "coordinates": [ring]}
                crop = self.names[crops[row][col]]
                features.append({"type": "Feature", "properties": {"crop": crop}, "geometry": shape})
        crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32631"}}
        collection = {"type": "FeatureCollection", "crs": crs, "features": features}
        path.write_text(json.dumps(collection), encoding="utf-8")
