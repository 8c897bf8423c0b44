"""Photos as fields of a job, and the part of the world that they are taken from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from sits_engine.jobs.series_reading import SeriesJob

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from sits_engine.models.card import ModelCard
    from sits_engine.samples.photos import PhotoSet
    from sits_engine.series.time_series import TimeSeries
    from sits_engine.series.types import Grid


class PhotoFields(SeriesJob):
    """Photos and how their table is read."""

    photos: str | None = Field(
        None,
        description="photos: a point layer with a field of file paths, a folder of geotagged photos, or a "
        "LUCAS table (CSV)",
    )
    path_field: str | None = Field(None, description="field with the paths of the photos; default: found")
    place_field: str | None = Field(
        None, description="photos with the same value belong together; default: those near each other"
    )
    place_distance: float = Field(
        10.0, ge=0, description="metres within which photos belong together, without place_field"
    )
    photo_folder: Path | None = Field(
        None, description="what relative paths of photos refer to; default: the folder of the layer or table"
    )

    def read_photos(self, label_fields: tuple[str, ...] | None = ()) -> PhotoSet:
        """The photos of these fields, which must be given.

        Args:
            label_fields: fields of the places to keep.

        Raises:
            InputError: as `samples.photos.read_photos`.
        """
        from sits_engine.samples.photos import PhotoReading, read_photos

        options = PhotoReading(
            path_field=self.path_field,
            place_field=self.place_field,
            place_distance=self.place_distance,
            label_fields=label_fields,
            folder=self.photo_folder,
        )
        return read_photos(self.photos or "", options)


def as_trained(series: TimeSeries, card: ModelCard) -> TimeSeries:
    """A series as a photo model reads it.

    Raises:
        ModelError: a band of the model is missing.
    """
    from sits_engine.mapping.compat import match_bands

    match_bands(series, card)
    return series if card.mask_dates else series.with_clouds()


def lon_lat_polygons(text: str | None, grid: Grid) -> npt.NDArray[np.object_] | None:
    """Polygons in longitude and latitude of a layer or an extent; None without any.

    Args:
        text: vector string of polygons, or xmin,xmax,ymin,ymax [EPSG:code], in the CRS of `grid` without one.
        grid: of the series.

    Raises:
        InputError: unreadable, no CRS, no polygons.
    """
    if not text:
        return None
    import geopandas as gpd
    import numpy as np
    import shapely

    from sits_engine.samples.region import read_polygons
    from sits_engine.samples.unlabelled import is_extent
    from sits_engine.series.gridding import parse_extent

    if is_extent(text):
        bounds, name = parse_extent(text)
        step = max(bounds[2] - bounds[0], bounds[3] - bounds[1]) / 64
        box = shapely.segmentize(shapely.box(*bounds), step)  # straight edges bend under reprojection
        shapes = gpd.GeoSeries([box], crs=name or grid.crs)
    else:
        shapes = read_polygons(text, "The region of the photos").geometry
    return np.asarray(shapes.to_crs("EPSG:4326").to_numpy(), dtype=object)
