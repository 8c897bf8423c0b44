from __future__ import annotations

import geopandas as gpd
import numpy as np
import pytest
from pyproj import Transformer
from shapely.geometry import box
from support.memory_series import series

from sits_engine.errors import InputError
from sits_engine.samples import random_pixels as module
from sits_engine.samples.random_pixels import candidate_pixels, random_pixels
from sits_engine.samples.region import make_region

BANDS = ("B04", "B08")


def test_candidates_are_the_pixels_of_the_region_once_each(tmp_path) -> None:
    grid = series(height=150, width=130).grid
    layer = tmp_path / "r.gpkg"
    shape = box(500300, 5598700, 501000, 5599500)
    gpd.GeoDataFrame(geometry=[shape], crs=32631).to_file(layer)
    region = make_region(grid, polygons=str(layer))
    found = candidate_pixels(region, np.random.default_rng(0))
    rows, cols = np.sort(found) // 130, np.sort(found) % 130
    assert len(found) == len(set(found.tolist())) == 70 * 80
    assert (rows.min(), rows.max(), cols.min(), cols.max()) == (50, 129, 30, 99)
    assert not np.array_equal(found, np.sort(found))


def test_a_large_region_is_drawn_from_some_blocks(monkeypatch) -> None:
    monkeypatch.setattr(module, "MOST_BLOCKS", 2)
    region = make_region(series(height=256, width=256).grid)
    found = candidate_pixels(region, np.random.default_rng(0))
    blocks = {(int(p) // 256 // 64, int(p) % 256 // 64) for p in found}
    assert len(blocks) == 2
    assert len(found) == 2 * 64 * 64


def test_pixels_carry_their_own_values_places_and_no_label() -> None:
    images = series()
    sets, notes = random_pixels(images, make_region(images.grid), BANDS, 50, seed=3, number=2)
    assert len(sets) == len(set(sets.ids.tolist())) == 50
    assert sets.classes == ()
    assert set(sets.labels.tolist()) == {-1}
    assert set(sets.region.tolist()) == {2}
    row, col = (int(part) for part in sets.ids[7].removeprefix("pixel ").split(","))
    expected = images.values[:, :, row, col] * 1e-4 - 0.1
    clear = images.clear[:, row, col]
    np.testing.assert_array_equal(sets.valid[7], clear)
    np.testing.assert_allclose(sets.values[7], np.where(clear[:, None], expected, 0), atol=1e-6)
    place = Transformer.from_crs(32631, 4326, always_xy=True).transform(
        500000 + 10 * col + 5, 5600000 - 10 * row - 5
    )
    np.testing.assert_allclose(sets.xy[7], place, atol=1e-9)
    assert "50 single pixels were drawn" in notes[0]


def test_same_seed_same_pixels() -> None:
    images = series()
    ids = [
        random_pixels(images, make_region(images.grid), BANDS, 20, seed=s)[0].ids.tolist() for s in (1, 1, 2)
    ]
    assert ids[0] == ids[1] != ids[2]


def test_clouded_pixels_are_replaced_by_others_and_count_where_clouds_are_kept() -> None:
    images = series(dates=5)
    images.clear[:] = True
    images.clear[:3, :60] = False  # three quarters have two clear dates
    region = make_region(images.grid)
    sets, _ = random_pixels(images, region, BANDS, 100)
    rows = np.array([int(name.removeprefix("pixel ").split(",")[0]) for name in sets.ids])
    assert len(sets) == 100
    assert rows.min() >= 60
    kept, _ = random_pixels(images, region, BANDS, 100, keep_clouds=True)
    rows = np.array([int(name.removeprefix("pixel ").split(",")[0]) for name in kept.ids])
    assert rows.min() < 60
    assert kept.valid.all()


def test_fewer_than_asked_for_is_said_and_none_is_an_error() -> None:
    images = series(height=5, width=6)
    images.clear[:] = True
    images.clear[:, :2] = False
    sets, notes = random_pixels(images, make_region(images.grid), BANDS, 1000)
    assert len(sets) == 18
    assert "1000 pixels were asked for" in notes[1]
    images.clear[:] = False
    with pytest.raises(InputError, match="None of 30 pixels drawn in the region has 3 clear dates"):
        random_pixels(images, make_region(images.grid), BANDS, 1000)
    with pytest.raises(InputError, match="has 2 dates"):
        random_pixels(series(dates=2), make_region(images.grid), BANDS, 10)
