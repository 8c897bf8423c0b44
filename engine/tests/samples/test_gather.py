from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import geopandas as gpd
import numpy as np
import pandas as pd
import psutil
import pytest
from shapely.geometry import box
from support.memory_series import MemorySeries, series

from sits_engine.errors import InputError
from sits_engine.samples.gather import Sources, common_bands, gather
from sits_engine.samples.parcels import ParcelOptions
from sits_engine.samples.tables import TableOptions


def images(seed: int = 0) -> MemorySeries:
    made = series(seed=seed)
    made.title = f"region {seed}"
    return made


@pytest.fixture
def layer(tmp_path):
    shapes = [box(500000 + 100 * i, 5599800, 500080 + 100 * i, 5599900) for i in range(6)]
    path = tmp_path / "p.gpkg"
    gpd.GeoDataFrame({"crop": list("ababab")}, geometry=shapes, crs=32631).to_file(path)
    return str(path)


def sources(layers, regions, **changes) -> Sources:
    return dataclasses.replace(Sources(regions, layers, "crop", ParcelOptions(0, 1, 50)), **changes)


def test_one_layer_for_all_series_and_several_for_one(layer) -> None:
    both = gather(sources([layer], [images(0), images(1)])).sets
    assert both.region.tolist() == [0] * 6 + [1] * 6
    assert both.n_pixels.max() == 50
    twice = gather(sources([layer, layer], [images()])).sets
    assert twice.region.tolist() == [0] * 12
    with pytest.raises(InputError, match="3 time series and 2 parcel layers"):
        gather(sources([layer, layer], [images(0), images(1), images(2)]))


def test_bands_that_all_have_and_in_any_spelling(layer, tmp_path) -> None:
    rows = [
        {"id": i, "date": f"2019-0{m}-01", "crop": "c", "nir": 0.3, "ndvi": 0.5}
        for i in range(3)
        for m in (3, 4, 5)
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "t.csv", index=False)
    table = {"table": tmp_path / "t.csv", "table_options": TableOptions("crop")}
    found = gather(sources([layer], [images()], **table)).sets
    assert found.bands == ("B08",)
    assert found.classes == ("a", "b", "c")
    assert found.counts.tolist() == [3, 3, 3]
    assert np.isclose(found.values[-1, 0, 0], 0.3)
    assert common_bands(sources([layer], [images()], bands=["nir", "b4"])) == ["B08", "B04"]
    with pytest.raises(InputError, match="no band"):
        gather(sources([layer], [images()], bands=["B11"]))
    other = images()
    other.bands = ("NDVI",)
    with pytest.raises(InputError, match="no band in common"):
        common_bands(sources([layer], [images(), other]))


PIXEL = 6 * 5 * 9  # bytes of a pixel of all six parcels


def memory(monkeypatch, total, available) -> None:
    there = SimpleNamespace(total=total * PIXEL * 5, available=available * PIXEL * 5)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: there)


def test_pixels_are_capped_where_the_machine_is_small(layer, tmp_path, monkeypatch) -> None:
    store = tmp_path / "s.zarr"
    memory(monkeypatch, 20, 20)
    found = gather(sources([layer], [images()]), store=store)
    assert found.sets.n_pixels.max() == 16
    assert "At most 16 pixels of a parcel are kept instead of 50" in found.notes[-1]
    assert "set MAX_PIXELS to 16" in found.notes[-1]
    memory(monkeypatch, 30, 30)  # as much as makes no difference
    assert gather(sources([layer], [images()]), store=store).reused
    memory(monkeypatch, 1000, 1000)
    larger = gather(sources([layer], [images()]), store=store)
    assert not larger.reused
    assert larger.sets.n_pixels.max() > 16


def test_what_others_use_of_the_memory_changes_no_sample(layer, monkeypatch) -> None:
    memory(monkeypatch, 1000, 1000)
    ample = gather(sources([layer], [images()]))
    memory(monkeypatch, 1000, 1)
    short = gather(sources([layer], [images()]))
    np.testing.assert_array_equal(ample.sets.values, short.sets.values)
    assert ample.notes == []
    assert "Close other programs, or lower MAX_PIXELS" in short.notes[-1]


def test_store_knows_its_inputs(layer, tmp_path) -> None:
    store = tmp_path / "s.zarr"
    first = gather(sources([layer], [images()]), store=store)
    again = gather(sources([layer], [images()]), store=store)
    assert (first.reused, again.reused) == (False, True)
    np.testing.assert_array_equal(first.sets.values, again.sets.values)
    assert again.notes == first.notes
    assert not gather(sources([layer], [images(1)]), store=store).reused
    moved = gpd.read_file(layer)
    moved.loc[0, "crop"] = "b"
    moved.to_file(layer)
    assert not gather(sources([layer], [images(1)]), store=store).reused
