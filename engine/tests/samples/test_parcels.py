from __future__ import annotations

import geopandas as gpd
import numpy as np
import pytest
import rasterio.features
import shapely
from affine import Affine
from pyproj import CRS
from shapely.geometry import MultiPolygon, Point, Polygon, box
from support.memory_series import CRS31, series

from sits_engine.context import JobContext
from sits_engine.errors import Cancelled, InputError
from sits_engine.samples import parcels
from sits_engine.samples.footprints import default_buffer, eroded, find_footprints, inside_pixels
from sits_engine.samples.parcels import ParcelOptions, collect, read_pixels
from sits_engine.samples.vectors import Labelled
from sits_engine.series.types import Grid

WHOLE = ParcelOptions(buffer=0, min_pixels=1, max_pixels=10_000)


def pixels_box(row, col, height, width):
    return box(
        500000 + 10 * col, 5600000 - 10 * (row + height), 500000 + 10 * (col + width), 5600000 - 10 * row
    )


def layer(geometries, codes) -> Labelled:
    ids = [str(i + 1) for i in range(len(codes))]
    frame = gpd.GeoDataFrame({"id": ids, "code": codes}, geometry=list(geometries), crs=CRS31)
    return Labelled(frame, "parcels.gpkg")


def test_pixel_centre_rule_equals_gdal() -> None:
    rng = np.random.default_rng(3)
    grid = series().grid
    for _ in range(20):
        centre = rng.uniform((500100, 5599300), (500800, 5599900))
        angles = np.sort(rng.uniform(0, 2 * np.pi, 9))
        ring = centre + rng.uniform(30, 250, (9, 1)) * np.column_stack([np.cos(angles), np.sin(angles)])
        shape = shapely.make_valid(Polygon(ring))
        burnt = rasterio.features.rasterize([shape], (grid.height, grid.width), transform=grid.transform)
        np.testing.assert_array_equal(inside_pixels(shape, grid), np.flatnonzero(burnt))


def test_holes_parts_and_the_edge_of_the_image() -> None:
    grid = series().grid
    hole = pixels_box(0, 0, 6, 6).difference(pixels_box(2, 2, 2, 2))
    assert len(inside_pixels(hole, grid)) == 32
    assert len(inside_pixels(MultiPolygon([pixels_box(0, 0, 2, 2), pixels_box(70, 80, 2, 3)]), grid)) == 10
    assert inside_pixels(pixels_box(78, 88, 10, 10), grid).tolist() == [
        78 * 90 + 88,
        78 * 90 + 89,
        79 * 90 + 88,
        79 * 90 + 89,
    ]
    assert len(inside_pixels(pixels_box(200, 200, 3, 3), grid)) == 0


def test_collected_values_are_those_of_the_pixels() -> None:
    images = series()
    sets, notes = collect(
        images,
        layer([pixels_box(3, 4, 5, 6), pixels_box(50, 60, 4, 4)], ["b", "a"]),
        ["B04", "B08"],
        WHOLE,
        region=2,
    )
    assert sets.n_pixels.tolist() == [30, 16]
    assert sets.classes == ("a", "b")
    assert sets.labels.tolist() == [1, 0]
    assert sets.ids.tolist() == ["1", "2"]
    assert sets.region.tolist() == [2, 2]
    assert sets.positions[0].tolist() == [-20, -10, 0, 10, 20]
    clear = images.clear[:, 3:8, 4:10].reshape(5, 30).T
    expected = images.values[:, :, 3:8, 4:10].reshape(5, 2, 30).transpose(2, 0, 1) * 1e-4 - 0.1
    np.testing.assert_array_equal(sets.valid[:30], clear)
    np.testing.assert_allclose(sets.values[:30], np.where(clear[..., None], expected, 0), atol=1e-6)
    assert notes == []


def test_clouded_pixels_are_kept_on_wish() -> None:
    images = series()
    images.clear[1] = False
    parcel = layer([pixels_box(3, 4, 5, 6)], ["a"])
    masked, _ = collect(images, parcel, ["B04", "B08"], WHOLE)
    kept, _ = collect(images, parcel, ["B04", "B08"], ParcelOptions(0, 1, 100, mask_clouds=False))
    assert not masked.valid[:, 1].any()
    assert kept.valid.all()
    assert (kept.values[:, 1] != 0).all()


def test_each_tile_is_read_once_whatever_the_order(monkeypatch) -> None:
    monkeypatch.setattr(parcels, "CUBE_BYTES", 64 * 64 * 10 * 4)
    images = series(height=150, width=140)
    rng = np.random.default_rng(1)
    wanted = rng.integers(0, 150 * 140, 500)
    values, valid = read_pixels(images, wanted, ["B04", "B08"])
    rows, cols = wanted // 140, wanted % 140
    np.testing.assert_array_equal(valid, images.clear[:, rows, cols].T)
    expected = images.values[:, :, rows, cols].transpose(2, 0, 1) * 1e-4 - 0.1
    np.testing.assert_allclose(values[valid], expected[valid], atol=1e-6)
    assert len(images.reads) == 9
    assert len({(w.row // 64, w.col // 64) for w in images.reads}) == 9


def test_erosion_small_parcels_and_counts() -> None:
    images = series()
    shapes = [pixels_box(0, 0, 10, 10), pixels_box(20, 20, 1, 1), pixels_box(30, 30, 3, 3)]
    sets, notes = collect(images, layer(shapes, ["a", "b", "c"]), ["B04", "B08"], ParcelOptions(min_pixels=4))
    assert default_buffer(images.grid) == 7.1
    assert sets.ids.tolist() == ["1"]
    assert sets.n_pixels.tolist() == [64]
    assert "1 of 3 parcels vanish when eroded by 7.1 m" in notes[0]
    assert "1 parcels have fewer than 4 pixels" in notes[1]
    with pytest.raises(InputError, match=r"No parcel of parcels\.gpkg is large enough: 1 parcels"):
        collect(images, layer(shapes[1:2], ["b"]), ["B04", "B08"], ParcelOptions())


def test_erosion_is_in_metres_in_a_geographic_crs() -> None:
    frame = gpd.GeoDataFrame(geometry=gpd.GeoSeries([pixels_box(10, 10, 20, 20)], crs=CRS31).to_crs(4326))
    grid = Grid(CRS.from_epsg(4326).to_wkt(), Affine(1e-4, 0, 3, 0, -1e-4, 50.55), 100, 100)
    area = gpd.GeoSeries(eroded(frame, 20, grid), crs=4326).to_crs(CRS31).area[0]
    assert area == pytest.approx(160 * 160, rel=0.01)


def test_the_cap_is_random_but_seeded() -> None:
    images, shapes = series(), np.array([pixels_box(0, 0, 20, 20), pixels_box(40, 40, 2, 2)], dtype=object)
    codes = np.array(["a", "b"], dtype=object)
    first = find_footprints(shapes, codes, images.grid, max_pixels=50, seed=1)
    again = find_footprints(shapes, codes, images.grid, max_pixels=50, seed=1)
    other = find_footprints(shapes, codes, images.grid, max_pixels=50, seed=2)
    assert first.sizes.tolist() == [50, 4]
    assert first.found.tolist() == [400, 4]
    np.testing.assert_array_equal(first.pixels, again.pixels)
    assert (first.pixels != other.pixels).any()


def test_overlaps_belong_to_nobody_or_to_the_first() -> None:
    images = series()
    shapes = [
        pixels_box(0, 0, 4, 4),
        pixels_box(0, 2, 4, 4),
        pixels_box(10, 0, 4, 4),
        pixels_box(10, 2, 4, 4),
    ]
    sets, notes = collect(images, layer(shapes, ["a", "b", "c", "c"]), ["B04", "B08"], WHOLE)
    assert sets.n_pixels.tolist() == [8, 8, 16, 8]
    assert "8 pixels lie in parcels of different labels" in notes[0]


def test_points_share_the_pixel_under_them() -> None:
    images = series()
    places = [
        Point(500004, 5599996),
        Point(500006, 5599993),
        Point(500015, 5599995),
        Point(500016, 5599995),
        Point(500100, 5599905),
    ]
    sets, notes = collect(images, layer(places, ["a", "a", "a", "b", "b"]), ["B04", "B08"], ParcelOptions())
    assert sets.ids.tolist() == ["1", "5"]
    assert sets.n_pixels.tolist() == [1, 1]
    np.testing.assert_array_equal(sets.valid[1], images.clear[:, 9, 10])
    assert "3 points lie in the pixel of another point" in notes[0]


def test_too_few_dates_and_never_clear() -> None:
    parcel = layer([pixels_box(0, 0, 4, 4)], ["a"])
    with pytest.raises(InputError, match=r"a\.json has 2 dates; at least 3"):
        collect(series(dates=2), parcel, ["B04", "B08"], WHOLE)
    cloudy = series()
    cloudy.clear[:] = False
    with pytest.raises(InputError, match="has a clear pixel"):
        collect(cloudy, parcel, ["B04", "B08"], WHOLE)
    cloudy.clear[:, :4, :4] = True
    both = layer([pixels_box(0, 0, 4, 4), pixels_box(10, 10, 4, 4)], ["a", "b"])
    sets, notes = collect(cloudy, both, ["B04", "B08"], WHOLE)
    assert len(sets) == 1
    assert "1 without a clear pixel" in notes[-1]


def test_cancel_stops_between_tiles(monkeypatch) -> None:
    monkeypatch.setattr(parcels, "CUBE_BYTES", 64 * 64 * 10 * 4)
    images, ctx = series(height=300, width=300), JobContext()

    def progress(fraction: float) -> None:
        if fraction > 0.2:
            ctx.cancel()
        ctx.progress(fraction)

    with pytest.raises(Cancelled):
        read_pixels(images, np.arange(0, 300 * 300, 7), ["B04", "B08"], progress=progress)
    assert len(images.reads) < 25
