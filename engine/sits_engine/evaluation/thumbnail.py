"""A small picture of a map."""

from __future__ import annotations

import numpy as np
import rasterio
from pyproj import CRS

from sits_engine.evaluation.summary import Thumbnail
from sits_engine.mapping.class_map import ClassMap

#: Longer side of the picture in pixels.
SIDE = 720


def thumbnail_of(the_map: ClassMap) -> Thumbnail:
    """The map at most `SIDE` pixels wide and high, every n-th pixel (overviews are used if any)."""
    grid = the_map.grid
    shrink = max(1.0, max(grid.height, grid.width) / SIDE)
    shape = (max(1, round(grid.height / shrink)), max(1, round(grid.width / shrink)))
    with rasterio.open(the_map.path) as image:
        values = image.read(1, out_shape=shape)
    values = np.where((values < 0) | (values > 255), 0, values)
    index = (the_map.lookup[values] + 1).astype(np.uint8)
    crs = CRS.from_user_input(grid.crs)
    authority = crs.to_authority()
    return Thumbnail(index, grid.bounds, ":".join(authority) if authority else str(crs.name))
