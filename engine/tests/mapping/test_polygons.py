"""Polygons of a map: the patches of the whole map, whatever the strips, with class, area and confidence."""

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from rasterio.features import shapes
from scipy import ndimage
from support.disks import mounted
from support.maps import CLASSES, CORNER, write_map

from sits_engine.errors import Cancelled, EngineError
from sits_engine.mapping.polygons import write_polygons


def noise(height=41, width=37, seed=0, smooth=1.2):
    """A map of three classes and nodata with patches of all shapes, holes among them."""
    rng = np.random.default_rng(seed)
    return np.argmax([ndimage.gaussian_filter(rng.random((height, width)), smooth) for _ in range(4)], axis=0)


def make(tmp_path, values, strip_pixels, name="p.gpkg", **options):
    path = write_map(tmp_path / "map.tif", values, **options)
    tmp_path.joinpath(name).unlink(missing_ok=True)
    count = write_polygons(path, tmp_path / name, strip_pixels=strip_pixels)
    frame = gpd.read_file(tmp_path / name, layer="patches")
    assert len(frame) == count
    return frame


def expected(values):
    """(value, polygon) of every patch, by one call on the whole map."""
    with_place = rasterio.transform.from_origin(*CORNER, 10, 10)
    found = shapes(values.astype(np.uint8), mask=values > 0, connectivity=4, transform=with_place)
    return [(int(value), shapely.geometry.shape(outline)) for outline, value in found]


@pytest.mark.parametrize("rows", [1, 2, 5, 16, 100])
@pytest.mark.parametrize("smooth", [0.4, 1.2, 4])
def test_strips_give_the_patches_of_the_whole_map(tmp_path, rows, smooth):
    values = noise(smooth=smooth)
    frame = make(tmp_path, values, rows * values.shape[1])
    wanted = expected(values)
    assert len(frame) == len(wanted)
    assert frame.geometry.is_valid.all()
    assert (frame.geom_type == "Polygon").all()
    # each patch of the whole map is there: its inner point finds one polygon of its class and exact shape
    tree = shapely.STRtree(frame.geometry.to_numpy())
    for value, outline in wanted:
        point = shapely.point_on_surface(outline)
        (hit,) = tree.query(point, predicate="within")
        assert frame["value"][hit] == value
        assert frame.geometry[hit].symmetric_difference(outline).area == 0
        assert frame["n_pixels"][hit] == outline.area / 100
        assert frame["area_ha"][hit] == pytest.approx(outline.area / 1e4)


def test_cuts_leave_no_points(tmp_path):
    values = np.zeros((40, 20), int)
    values[2:38, 3:9] = 2
    frame = make(tmp_path, values, 20 * 7)
    assert len(shapely.get_coordinates(frame.geometry[0])) <= 6  # four corners, the ring's start twice
    assert frame["class"][0] == CLASSES[1]


def test_fields_and_place(tmp_path):
    values = np.zeros((30, 20), int)
    values[4:10, 2:5], values[8:30, 10:20] = 1, 3
    confidence = np.where(values == 1, 50, 0)
    confidence[values == 3] = np.tile([60, 80], 110)
    frame = make(tmp_path, values, 20 * 6, confidence=confidence).sort_values("value")
    assert list(frame["class"]) == [CLASSES[0], CLASSES[2]]
    assert list(frame["confidence"]) == [50, 70]
    assert list(frame["area_ha"]) == [0.18, 2.2]
    assert list(frame["n_pixels"]) == [18, 220]
    x, y = CORNER
    assert frame.geometry.iloc[0].bounds == (x + 20, y - 100, x + 50, y - 40)
    assert frame.crs.to_epsg() == 32631


def test_a_map_without_patches_gives_an_empty_layer_with_fields(tmp_path):
    frame = make(tmp_path, np.zeros((9, 9), int), 30)
    assert len(frame) == 0
    assert {"value", "class", "area_ha", "confidence", "n_pixels"} <= set(frame.columns)


def test_many_polygons_are_written_in_parts(tmp_path, monkeypatch):
    monkeypatch.setattr("sits_engine.mapping.polygons.BATCH", 7)
    values = noise(smooth=0.8)
    frame = make(tmp_path, values, 200)
    assert len(frame) == len(expected(values)) > 21
    assert frame["area_ha"].sum() == pytest.approx((values > 0).sum() / 100)


def test_cancelled_leaves_nothing(tmp_path):
    path = write_map(tmp_path / "map.tif", noise())

    def stop(share):
        if share > 0.5:
            raise Cancelled

    with pytest.raises(Cancelled):
        write_polygons(path, tmp_path / "p.gpkg", stop, strip_pixels=100)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["map.tif", "map.tif.aux.xml"]


@pytest.mark.parametrize("kib", [200, 2500, 3000, 4000])
def test_a_full_disk_is_named(tmp_path, kib):
    """SQLite says that it can't commit, when it has given the space free again."""
    path = write_map(tmp_path / "map.tif", noise(300, 300, smooth=0.3))
    with mounted(tmp_path / "disk", f"size={kib}k") as disk:
        with pytest.raises(EngineError) as caught:
            write_polygons(path, disk / "p.gpkg")
        assert caught.value.code == "DISK_FULL"
        assert list(disk.iterdir()) == []
