from __future__ import annotations

import dataclasses

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
from shapely.geometry import box
from support.memory_series import MemorySeries, series

from sits_engine.errors import InputError
from sits_engine.samples.parcels import ParcelOptions
from sits_engine.samples.tables import TableOptions
from sits_engine.samples.unlabelled import TargetSources, gather_target, is_extent

BANDS = ["nir", "B4"]


def images(seed: int = 0) -> MemorySeries:
    made = series(seed=seed)
    made.title = f"region {seed}"
    return made


def layer(tmp_path, crops, name="p.gpkg", overlap=0):
    shapes = [box(500000 + 100 * i, 5599800, 500080 + 100 * i + overlap, 5599900) for i in range(len(crops))]
    path = tmp_path / name
    names = [f"plot {i}" for i in range(len(crops))]
    frame = gpd.GeoDataFrame({"crop": crops, "name": names}, geometry=shapes, crs=32631)
    frame.astype({"crop": "object"}).to_file(path)
    return str(path)


def sources(**changes) -> TargetSources:
    return dataclasses.replace(TargetSources(series=[images()], options=ParcelOptions(0, 1, 50)), **changes)


def test_parcels_need_no_field_and_come_in_the_models_bands(tmp_path) -> None:
    found = gather_target(sources(parcels=layer(tmp_path, list("abab")), id_field="name"), BANDS)
    assert found.sets.bands == ("B08", "B04")
    assert found.sets.classes == ()
    assert found.sets.labels.tolist() == [-1] * 4
    assert found.sets.ids.tolist() == ["plot 0", "plot 1", "plot 2", "plot 3"]
    other = gather_target(sources(parcels=layer(tmp_path, list("abab"))), ["B04", "B08"]).sets
    np.testing.assert_array_equal(found.sets.values, other.values[..., ::-1])
    assert other.ids.tolist() == ["1", "2", "3", "4"]


def test_labels_for_the_report_change_no_sample(tmp_path) -> None:
    crops = ["b", None, "a", "b"]
    path = layer(tmp_path, crops, overlap=60)  # neighbours of different crops share pixels
    without = gather_target(sources(parcels=path), BANDS).sets
    known = gather_target(sources(parcels=path, label_field="crop"), BANDS).sets
    assert known.classes == ("a", "b")
    assert known.labels.tolist() == [1, -1, 0, 1]
    for name in ("values", "valid", "offsets", "ids", "xy"):
        np.testing.assert_array_equal(getattr(known, name), getattr(without, name))


def test_pixels_of_a_region_and_of_all_images(tmp_path) -> None:
    region = "500000,500300,5599700,5600000 [EPSG:32631]"
    found = gather_target(sources(region=region, n_pixels=40), BANDS).sets
    assert len(found) == 40
    assert found.xy[:, 0].max() < 3.0043  # 300 m east of longitude 3
    outline = tmp_path / "r.gpkg"
    gpd.GeoDataFrame(geometry=[box(500000, 5599700, 500300, 5600000)], crs=32631).to_crs(4326).to_file(
        outline
    )
    again = gather_target(sources(region=str(outline), n_pixels=40), BANDS).sets
    assert set(again.ids) <= {f"pixel {r},{c}" for r in range(30) for c in range(30)}
    whole = gather_target(sources(series=[images(0), images(1)], n_pixels=60), BANDS)
    assert whole.sets.region.tolist() == [0] * 30 + [1] * 30
    assert "region 1: 30 single pixels" in " ".join(whole.notes)


def test_a_table_of_series_needs_no_label(tmp_path) -> None:
    rows = [
        {
            "id": i,
            "date": f"2019-0{m}-01",
            "crop": [None, "x"][i % 2],
            "nir": 0.3,
            "red": 0.1 * i,
            "ndvi": 0.5,
        }
        for i in range(3)
        for m in (3, 4, 5)
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "t.csv", index=False)
    table = {"series": [], "table": tmp_path / "t.csv"}
    found = gather_target(sources(**table), BANDS)
    assert found.sets.bands == ("B08", "B04")
    assert found.sets.labels.tolist() == [-1] * 3
    np.testing.assert_allclose(found.sets.values[:, 0, 1], [0, 0.1, 0.2], atol=1e-6)
    known = gather_target(sources(**table, table_options=TableOptions("crop")), BANDS).sets
    assert known.classes == ("x",)
    assert known.labels.tolist() == [-1, 0, -1]
    both = gather_target(sources(table=tmp_path / "t.csv", n_pixels=10), BANDS).sets
    assert both.region.tolist() == [0] * 10 + [1] * 3


def test_extents_are_told_from_layers() -> None:
    assert is_extent("1,2,3,4")
    assert is_extent(" -5.2, -5.1,40.0,41e0 [EPSG:4326]")
    assert not is_extent("/a,b/1,2.gpkg")
    assert not is_extent("region.gpkg|layername=1,2,3,4")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"series": []}, "There is no target"),
        ({"series": [], "table": "t.csv", "region": "1,2,3,4"}, "REGION is given without TARGET_SERIES"),
        ({"series": [], "table": "t.csv", "parcels": "p"}, "TARGET_PARCELS is given without TARGET_SERIES"),
        ({"parcels": "p.gpkg", "region": "1,2,3,4"}, "are both given"),
        ({"label_field": "crop"}, "TARGET_PARCELS is empty"),
        ({"region": "1,2,3,4"}, "does not overlap the images"),
        ({"parcels": "none.gpkg"}, "not found: none.gpkg"),
    ],
)
def test_things_that_do_not_go_together(changes, message) -> None:
    with pytest.raises(InputError, match=message):
        gather_target(sources(**changes), BANDS)


def test_a_missing_band_is_named() -> None:
    with pytest.raises(InputError, match="B11"):
        gather_target(sources(), ["B04", "B11"])
