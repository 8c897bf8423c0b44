from __future__ import annotations

import numpy as np
import pytest
import shapely
from affine import Affine
from shapely.geometry import LineString, MultiPolygon, Polygon, box

from sits_engine.samples.area_fractions import area_fractions, to_pixels
from sits_engine.series.types import Grid, Window


def one_by_one(shape, window: Window) -> np.ndarray:
    """The plain way: each pixel cut with the polygon."""
    rows, cols = np.mgrid[0 : window.height, 0 : window.width]
    left, top = cols + window.col, rows + window.row
    return shapely.area(shapely.intersection(shape, shapely.box(left, top, left + 1, top + 1)))


def dense(patch, window: Window) -> np.ndarray:
    out = np.zeros((window.height, window.width))
    if patch is not None:
        out[patch.place] = patch.shares
    return out


def star(rng, centre, radius, points=11):
    angles = np.sort(rng.uniform(0, 2 * np.pi, points))
    ring = centre + radius * rng.uniform(0.2, 1, (points, 1)) * np.column_stack(
        [np.cos(angles), np.sin(angles)]
    )
    return shapely.make_valid(Polygon(ring))


def areal(shape):
    return shapely.union_all([p for p in shapely.get_parts(shape) if p.geom_type.endswith("Polygon")])


def test_equals_cutting_each_pixel() -> None:
    rng = np.random.default_rng(5)
    window = Window(10, 20, 17, 13)
    shapes = []
    for _ in range(40):
        outer = areal(star(rng, rng.uniform((15, 5), (40, 32)), rng.uniform(0.3, 14)))
        hole = areal(star(rng, rng.uniform((15, 5), (40, 32)), 4))
        shapes.append(outer.difference(hole))
    shapes = np.array([s if not s.is_empty else Polygon() for s in shapes], dtype=object)
    found = area_fractions(shapes, window)
    assert sum(patch is not None for patch in found) > 25
    for shape, patch in zip(shapes, found, strict=True):
        np.testing.assert_allclose(dense(patch, window), one_by_one(shape, window), atol=1e-9)


def test_whatever_way_the_rings_run() -> None:
    ring, hole = [(0, 0), (4, 0), (4, 4), (0, 4)], [(1, 1), (3, 1), (3, 3), (1, 3)]
    turned = [Polygon(a, [b]) for a in (ring, ring[::-1]) for b in (hole, hole[::-1])]
    expected = np.ones((4, 4))
    expected[1:3, 1:3] = 0
    for patch in area_fractions(np.array(turned, dtype=object), Window(0, 0, 4, 4)):
        np.testing.assert_array_equal(patch.shares, expected)


def test_holes_and_all_parts_count() -> None:
    """Pitfalls 4.3: the published parser keeps the last ring only."""
    hole = box(2, 2, 4, 4)
    shape = MultiPolygon([box(0, 0, 6, 6).difference(hole), box(7.5, 0, 8.25, 1)])
    found = dense(area_fractions(np.array([shape], dtype=object), Window(0, 0, 6, 9))[0], Window(0, 0, 6, 9))
    assert found.sum() == pytest.approx(36 - 4 + 0.75)
    assert found[2:4, 2:4].max() == 0
    assert found[0, 7:9].tolist() == pytest.approx([0.5, 0.25])


def test_nothing_moves_to_the_pixels() -> None:
    """Pitfalls 4.2: the published tool counts from the corner of each parcel and may lose a row."""
    found = area_fractions(np.array([box(0.9, 0.9, 2.9, 3.2)], dtype=object), Window(0, 0, 5, 5))[0]
    expected = np.outer([0.1, 1, 1, 0.2], [0.1, 1, 0.9])
    assert (found.row, found.col) == (0, 0)
    np.testing.assert_allclose(found.shares, expected, atol=1e-12)


def test_neighbours_fill_each_pixel_once() -> None:
    rng = np.random.default_rng(2)
    points = shapely.MultiPoint(rng.uniform(0, 30, (40, 2)))
    cells = shapely.get_parts(shapely.voronoi_polygons(points, extend_to=box(-5, -5, 35, 35)))
    window = Window(3, 4, 20, 21)
    total = sum(dense(patch, window) for patch in area_fractions(cells, window))
    np.testing.assert_allclose(total, 1, atol=1e-8)


def test_no_area_no_patch() -> None:
    shapes = np.array([box(50, 50, 60, 60), box(4, 0, 9, 4), Polygon(), LineString([(0, 0), (2, 2)])], object)
    assert area_fractions(shapes, Window(0, 0, 4, 4)) == [None] * 4


def test_pixel_coordinates_of_any_grid() -> None:
    turned = Affine.translation(500000, 5600000) * Affine.rotation(30) * Affine.scale(10, -20)
    grid = Grid("EPSG:32631", turned, 10, 10)
    corners = [turned * point for point in ((2, 3), (5, 3), (5, 7.5), (2, 7.5))]
    shape = to_pixels(np.array([Polygon(corners)], dtype=object), grid)
    found = dense(area_fractions(shape, grid.whole)[0], grid.whole)
    expected = np.zeros((10, 10))
    expected[3:7, 2:5], expected[7, 2:5] = 1, 0.5
    np.testing.assert_allclose(found, expected, atol=1e-8)
