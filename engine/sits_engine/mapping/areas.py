"""Area of pixels in hectares."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from pyproj import CRS, Geod

from sits_engine.series.types import Grid


def pixel_area_ha(grid: Grid) -> npt.NDArray[np.float64]:
    """(H,) area of one pixel of each row, in hectares.

    Projected grids: pixel size in the CRS (its units turned to metres; the projection's own distortion,
    below 0.1 % inside a UTM zone, is not corrected). Geographic grids: on the ellipsoid, so that rows
    near the poles weigh less.
    """
    crs = CRS.from_user_input(grid.crs)
    if not crs.is_geographic:
        factor = crs.axis_info[0].unit_conversion_factor if crs.axis_info else 1.0
        area = abs(grid.transform.determinant) * factor**2 / 1e4
        return np.full(grid.height, area)
    geod: Geod = crs.get_geod() or Geod(ellps="WGS84")
    width, height = grid.resolution
    rows = np.arange(grid.height)
    north = grid.transform.f + rows * grid.transform.e
    areas = np.empty(grid.height)
    for row in rows:
        top, bottom = north[row], north[row] - np.sign(-grid.transform.e) * height
        area, _ = geod.polygon_area_perimeter([0, width, width, 0], [top, top, bottom, bottom])
        areas[row] = abs(area) / 1e4
    return areas
