from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from support.photo_series import YearSeries, lonlat, year_series

from sits_engine.errors import InputError
from sits_engine.samples.composites import cut_composites
from sits_engine.samples.photo_pixels import common_bands, photo_pixels
from sits_engine.samples.photos import PhotoSet
from sits_engine.series.types import Grid


class Elsewhere(YearSeries):
    """The same pixels 5 km farther east."""

    @property
    def grid(self) -> Grid:
        own = super().grid
        return replace(own, transform=Affine.translation(5000, 0) * own.transform)


def elsewhere():
    near = year_series(seed=3)
    return Elsewhere(near.values, near.clear, bands=near.bands, dates=near.dates, path=Path("east.json"))


def photos(xy, each=2) -> PhotoSet:
    n = len(xy)
    place = np.tile(np.arange(n), each)
    paths = tuple(Path(f"{view} {p}.jpg") for view, p in enumerate(place))
    blank = ("",) * len(place)
    return PhotoSet(paths, place, blank, (None,) * len(place), xy, np.array([f"p{i}" for i in range(n)]))


def test_composites_stand_beside_their_photos() -> None:
    west, east = year_series(), elsewhere()
    xy = np.concatenate([lonlat(east, [4], [5]), [[9.0, 9.0]], lonlat(west, [7, 8], [1, 2])])
    asked: list[float] = []
    found = photo_pixels([west, east], photos(xy), ["B08", "B02"], 1, asked.append)
    assert found.photos.ids.tolist() == ["p0", "p2", "p3"]
    assert found.region.tolist() == [1, 0, 0]
    assert found.composites.rows.tolist() == [0, 2, 3]
    np.testing.assert_allclose(found.composites.xy, found.photos.xy)
    assert [path.name[2:] for path in found.photos.paths] == [f"{p}.jpg" for p in (0, 0, 2, 2, 3, 3)]
    alone = cut_composites(west, xy[2:], ["B08", "B02"], 1)
    np.testing.assert_array_equal(found.composites.values[1:], alone.values)
    assert asked == sorted(asked)
    assert "year.json: 2 of 4 places lie outside of the series and were left out." in found.notes


def test_photos_that_lie_nowhere_are_an_error() -> None:
    away = photos(np.array([[9.0, 9.0], [10.0, 9.0]]))
    with pytest.raises(InputError, match=r"None of the 2 places lies in the series year\.json"):
        photo_pixels([year_series()], away, ["B02"])
    with pytest.raises(InputError, match="None of the 2 places with photos lies in one of the 2 series"):
        photo_pixels([year_series(), elsewhere()], away, ["B02"])
    short = year_series(dates=3, days=4)
    with pytest.raises(InputError, match="need at least a month"):
        photo_pixels([year_series(), short], away, ["B02"])


def test_bands_that_all_series_have() -> None:
    few = year_series(bands=("B08", "B04"))
    assert common_bands([year_series(), few], []) == ["B04", "B08"]
    assert common_bands([year_series(), few], ["b8", "red"]) == ["B08", "B04"]
    with pytest.raises(InputError, match="has no band"):
        common_bands([year_series(), few], ["B02"])
    with pytest.raises(
        InputError, match=r"no band in common \(year\.json: B02, B04, B08; year\.json: NDVI\)"
    ):
        common_bands([year_series(), year_series(bands=("NDVI",))], [])
