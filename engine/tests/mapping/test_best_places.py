"""The highest pixels some distance apart: as a search over all pixels would find them."""

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from sits_engine.errors import Cancelled
from sits_engine.mapping import best_places as module
from sits_engine.mapping.best_places import best_places, write_places


def write(path, values, crs="EPSG:32631", pixel=10.0, corner=(600_000.0, 5_600_000.0)):
    height, width = values.shape
    with rasterio.open(
        path, "w", driver="GTiff", height=height, width=width, count=1, dtype="float32", crs=crs,
        transform=from_origin(*corner, pixel, pixel), nodata=np.nan,
    ) as image:  # fmt: skip
        image.write(values.astype(np.float32), 1)
    return path


def search(values, k, distance, down=10.0, right=10.0):
    """All pixels from high to low; each is taken if it is far from those that were."""
    found = []
    for at in np.argsort(-values, axis=None, kind="stable"):
        row, col = np.unravel_index(at, values.shape)
        if np.isnan(values[row, col]) or len(found) == k:
            break
        if all(np.hypot((row - r) * down, (col - c) * right) >= distance for r, c in found):
            found.append((row, col))
    return found


@pytest.mark.parametrize("distance", [0, 10, 35, 200])
def test_as_a_search_over_all_pixels(tmp_path, distance, monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 16)
    rng = np.random.default_rng(distance)
    values = rng.random((45, 61)).astype(np.float32)
    values[rng.random(values.shape) < 0.2] = np.nan
    values[10:14, 14:20] = 2 + rng.random((4, 6))  # the best ones lie together, over the edge of a block
    places = best_places(write(tmp_path / "a.tif", values), 12, distance)
    assert [(p.row, p.col) for p in places] == search(values, 12, distance)
    np.testing.assert_array_equal([p.value for p in places], [values[p.row, p.col] for p in places])


def test_equal_values_come_row_by_row(tmp_path):
    places = best_places(write(tmp_path / "a.tif", np.ones((3, 4))), 5, 0)
    assert [(p.row, p.col) for p in places] == [(0, 0), (0, 1), (0, 2), (0, 3), (1, 0)]


def test_fewer_where_there_is_no_room(tmp_path):
    path = write(tmp_path / "a.tif", np.random.default_rng(0).random((10, 10)))
    assert len(best_places(path, 5, 1000)) == 1
    assert best_places(write(tmp_path / "b.tif", np.full((10, 10), np.nan)), 5, 0) == []


def test_degrees_are_turned_into_metres(tmp_path):
    values = np.zeros((21, 21))
    values[10, 10], values[10, 12], values[12, 10] = 3, 2, 1.9
    # at 60 degrees north 0.002 degrees are 111 m to the east and 222 m to the south
    path = write(tmp_path / "a.tif", values, "EPSG:4326", 0.001, (5.0, 60.0))
    places = best_places(path, 2, 150)
    assert [(p.row, p.col) for p in places] == [(10, 10), (12, 10)]


def test_it_can_be_cancelled(tmp_path):
    def tick(share):
        raise Cancelled

    with pytest.raises(Cancelled):
        best_places(write(tmp_path / "a.tif", np.ones((3, 3))), 1, 0, tick)


def test_points(tmp_path):
    values = np.random.default_rng(1).random((10, 10))
    path = write(tmp_path / "a.tif", values)
    places = best_places(path, 4, 20)
    write_places(tmp_path / "p.gpkg", path, places, "similarity", {"query": "vineyard"})
    frame = gpd.read_file(tmp_path / "p.gpkg")
    assert frame.crs.to_epsg() == 32631
    assert frame["rank"].tolist() == [1, 2, 3, 4]
    assert set(frame["query"]) == {"vineyard"}
    assert frame.similarity.is_monotonic_decreasing
    with rasterio.open(path) as image:
        read = [v[0] for v in image.sample([(p.x, p.y) for p in frame.geometry])]
    np.testing.assert_allclose(read, frame.similarity, atol=1e-5)
    back = frame.to_crs(4326).geometry
    np.testing.assert_allclose(back.x, frame.lon, atol=1e-6)
    np.testing.assert_allclose(back.y, frame.lat, atol=1e-6)


def test_no_place_is_an_empty_layer(tmp_path):
    path = write(tmp_path / "a.tif", np.full((4, 4), np.nan))
    write_places(tmp_path / "p.gpkg", path, [], "similarity", {"query": "x"})
    frame = gpd.read_file(tmp_path / "p.gpkg")
    assert len(frame) == 0
    assert "similarity" in frame.columns
