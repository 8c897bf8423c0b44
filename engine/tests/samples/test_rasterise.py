from __future__ import annotations

import numpy as np
import pytest
from affine import Affine
from shapely.geometry import Polygon, box

from sits_engine.samples.rasterise import ParcelLayer
from sits_engine.series.types import Grid, Window

GRID = Grid("EPSG:32631", Affine(10, 0, 500000, 0, -10, 5600000), 8, 8)


def layer(*parcels) -> ParcelLayer:
    """Parcels as (shape in pixels, class)."""
    x0, y0 = 500000, 5600000
    shapes = [Polygon([(x0 + 10 * x, y0 - 10 * y) for x, y in s.exterior.coords]) for s, _ in parcels]
    codes = np.array([code for _, code in parcels])
    numbers = np.arange(1, len(parcels) + 1, dtype=np.int32)
    return ParcelLayer.of(np.array(shapes, dtype=object), codes, numbers, GRID)


def row(burnt, name):
    return getattr(burnt, name)[0].tolist()


def test_class_of_most_of_the_pixel_and_at_least_half() -> None:
    parcels = layer((box(0.6, 0, 2.3, 8), 0), (box(2.3, 0, 4.45, 8), 1), (box(5.51, 0, 8, 8), 1))
    burnt = parcels.burn(GRID.whole)
    assert row(burnt, "labels") == [-1, 0, 1, 1, -1, -1, 1, 1]
    assert row(burnt, "parcels") == [0, 1, 2, 2, 0, 0, 3, 3]
    assert row(burnt, "mixed") == [0, 0, 1, 0, 0, 0, 0, 0]
    assert row(burnt, "covered") == pytest.approx([0.4, 1, 1, 1, 0.45, 0.49, 1, 1])
    assert burnt.labelled == 5 / 8
    assert row(parcels.burn(GRID.whole, least=0.4), "labels") == [0, 0, 1, 1, 1, 1, 1, 1]
    assert row(parcels.burn(GRID.whole, least=1), "labels") == [-1, 0, -1, 1, -1, -1, 1, 1]


def test_neighbours_with_the_same_crop_keep_their_numbers() -> None:
    burnt = layer((box(0, 0, 2.4, 8), 3), (box(2.4, 0, 5, 8), 3)).burn(GRID.whole)
    assert row(burnt, "labels") == [3, 3, 3, 3, 3, -1, -1, -1]
    assert row(burnt, "parcels") == [1, 1, 2, 2, 2, 0, 0, 0]
    assert row(burnt, "mixed") == [0, 0, 1, 0, 0, 0, 0, 0]


def test_parcels_of_a_class_count_together() -> None:
    burnt = layer((box(0, 0, 0.3, 8), 0), (box(0.3, 0, 0.6, 8), 0), (box(0.6, 0, 1, 8), 1)).burn(GRID.whole)
    assert burnt.labels[0, 0] == 0
    assert burnt.parcels[0, 0] in (1, 2)


def test_overlaps_of_different_classes_stay_unknown() -> None:
    burnt = layer((box(0, 0, 4, 8), 0), (box(2, 0, 6, 8), 1), (box(2.7, 0, 4, 8), 1)).burn(GRID.whole)
    assert row(burnt, "labels") == [0, 0, -1, -1, 1, 1, -1, -1]
    assert row(burnt, "mixed") == [0, 0, 2, 2, 0, 0, 0, 0]
    assert row(burnt, "covered") == [1, 1, 1, 1, 1, 1, 0, 0]
    halves = layer((box(0, 0, 0.5, 8), 0), (box(0.5, 0, 1, 8), 1)).burn(GRID.whole)
    assert halves.labels[0, 0] == -1
    assert halves.parcels[0, 0] == 0


def test_slivers_of_drawing_do_not_mix() -> None:
    burnt = layer((box(0, 0, 2.005, 8), 0), (box(2, 0, 4, 8), 1)).burn(GRID.whole)
    assert row(burnt, "mixed") == [0] * 8


def test_a_window_is_a_part_of_the_whole() -> None:
    rng = np.random.default_rng(1)
    parcels = layer(
        *[(box(x, y, x + 2.3, y + 1.7), k % 3) for k, (x, y) in enumerate(rng.uniform(0, 6, (9, 2)))]
    )
    whole, part = parcels.burn(GRID.whole), parcels.burn(Window(2, 1, 4, 5))
    for name in ("labels", "parcels", "mixed", "covered"):
        np.testing.assert_allclose(getattr(part, name), getattr(whole, name)[2:6, 1:6], atol=1e-6)
    assert (whole.labels >= 0).any()
    assert (whole.labels == -1).any()


def test_broken_polygons_are_repaired() -> None:
    bow = Polygon([(0, 0), (4, 4), (4, 0), (0, 4)])
    burnt = layer((bow, 0)).burn(GRID.whole)
    assert burnt.covered.sum() == pytest.approx(8)


def test_far_parcels_are_not_looked_at() -> None:
    parcels = layer((box(0, 0, 2, 2), 0), (box(6, 6, 8, 8), 1))
    assert parcels.near(Window(5, 5, 3, 3)).tolist() == [1]
    assert (parcels.burn(Window(3, 3, 2, 2)).labels == -1).all()
