"""Items in the layouts of providers; no file is opened where the item says all."""

import copy

import pystac
import pytest
from imagery import DATES, ramp, write_folder, write_image

from sits_engine.errors import InputError
from sits_engine.series import sentinel2
from sits_engine.series.item_collection import document_of, item_of_scene, load_json, write_document
from sits_engine.series.items import scene_of_item
from sits_engine.series.raster_files import NumberRules, find, scenes_of_files

COG = "image/tiff; application=geotiff; profile=cloud-optimized"
GRID = {"proj:shape": [10980, 10980], "proj:transform": [10, 0, 600000, 0, -10, 5700000]}


def asset(name, common=None, offset=None, **extra):
    band = {"name": name} | ({"common_name": common} if common else {})
    numbers = {"data_type": "uint16", "nodata": 0, "scale": 0.0001}
    if offset is not None:
        numbers["offset"] = offset
    return {
        "href": f"https://x.test/{name}.tif",
        "type": COG,
        "roles": ["data"],
        "eo:bands": [band],
        **GRID,
    } | {
        "raster:bands": [numbers],
        **extra,
    }


def item(assets, collection="sentinel-2-l2a", **properties):
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": "one",
        "collection": collection,
        "geometry": None,
        "properties": {
            "datetime": "2023-05-01T10:00:00.5Z",
            "proj:epsg": 32631,
            "platform": "sentinel-2a",
            **properties,
        },
        "assets": assets,
        "links": [],
    }


def bands_of(plain):
    return {band.name: band for band in scene_of_item(plain, "https://x.test/items/one.json").bands}


def test_earth_search():
    found = bands_of(
        item(
            {
                "blue": asset("blue", "blue"),
                "blue-jp2": asset("blue", "blue", href="s3://x/B02.jp2", type="image/jp2"),
                "rededge1": asset("rededge1", "rededge"),
                "nir08": asset("nir08", "nir08"),
                "scl": {"href": "https://x.test/scl.tif", "type": COG, "roles": ["data"], **GRID}
                | {"raster:bands": [{"data_type": "uint8", "nodata": 0}]},
                "visual": asset("red", "red", roles=["visual"]),
                "aot": asset("aot"),
            }
        )
    )
    assert {n for n in found if n not in ("AOT",)} == {"B02", "B05", "B8A", "SCL"}
    assert found["B02"].href == "https://x.test/blue.tif"
    assert found["B02"].grid.width == 10980


def test_planetary_computer_names_win_over_common_names():
    """Three of its bands have the common name `rededge`."""
    found = bands_of(item({n: asset(n, "rededge") for n in ("B05", "B06", "B07")}))
    assert list(found) == ["B05", "B06", "B07"]


def test_copernicus_the_finest_of_each_band():
    coarse = {"proj:shape": [5490, 5490], "proj:transform": [20, 0, 600000, 0, -20, 5700000]}
    found = bands_of(
        item({"B02_20m": asset("B02", **coarse), "B02_10m": asset("B02"), "B11_20m": asset("B11", **coarse)})
    )
    assert {n: b.grid.resolution[0] for n, b in found.items()} == {"B02": 10, "B11": 20}


def test_stac_1_1():
    plain = item({}, **{"proj:code": "EPSG:32632"})
    del plain["properties"]["proj:epsg"]
    plain["assets"]["red"] = {
        "href": "./red.tif",
        "type": COG,
        "data_type": "int16",
        "nodata": -999,
        **GRID,
    } | {"bands": [{"name": "B4", "eo:common_name": "red", "raster:scale": 2e-4, "raster:offset": -0.2}]}
    band = bands_of(plain)["B04"]
    assert (band.scale, band.offset, band.nodata, band.dtype) == (2e-4, -0.2, -999, "int16")
    assert band.href == "https://x.test/items/red.tif"


def test_landsat_common_names_win():
    plain = item(
        {"nir08": asset("OLI_B5", "nir08"), "red": asset("OLI_B4", "red")},
        "landsat-c2-l2",
        platform="landsat-8",
    )
    assert list(bands_of(plain)) == ["B8A", "B04"]


@pytest.mark.parametrize(
    ("stated", "properties", "offset"),
    [
        (None, {}, 0.0),
        (None, {"s2:processing_baseline": "03.01"}, 0.0),
        (None, {"s2:processing_baseline": "05.09"}, -0.1),
        (None, {"processing:version": "04.00"}, -0.1),
        (-0.1, {}, -0.1),
        (0.0, {"s2:processing_baseline": "05.09"}, 0.0),
        (-0.1, {"earthsearch:boa_offset_applied": True, "s2:processing_baseline": "05.09"}, 0.0),
        (None, {"earthsearch:boa_offset_applied": True, "s2:processing_baseline": "05.09"}, 0.0),
        (-0.1, {"earthsearch:boa_offset_applied": False}, -0.1),
        (None, {"earthsearch:boa_offset_applied": False, "s2:processing_baseline": "04.00"}, -0.1),
    ],
)
def test_offset_of_sentinel2_once_and_never_twice(tmp_path, stated, properties, offset):
    plain = item({"B04": asset("B04", offset=stated)}, **properties)
    scene = scene_of_item(plain, "https://x.test/one.json")
    assert (scene.bands[0].scale, scene.bands[0].offset) == (1e-4, offset)
    # Written and read again, it stays as it is.
    again = scene_of_item(item_of_scene(scene, tmp_path), str(tmp_path / "series.json"))
    assert (again.bands[0].scale, again.bands[0].offset) == (1e-4, offset)


def test_only_reflectance_of_sentinel2_has_the_offset():
    late = {"s2:processing_baseline": "05.09"}
    scl = asset("SCL")
    assert bands_of(item({"SCL": scl}, **late))["SCL"].offset == 0
    assert (
        bands_of(
            item({"B04": asset("B04")}, "landsat", platform="landsat-8", **{"processing:version": "05.09"})
        )["B04"].offset
        == 0
    )
    assert sentinel2.baseline({"s2:processing_baseline": "junk"}) is None


def test_what_an_item_does_not_say_is_read_from_the_file(tmp_path):
    write_image(tmp_path / "x.tif", ramp(2, 4, 6), ["red", "SCL"], nodata=7, scale=3e-4, offset=0.25)
    plain = item(
        {"all": {"href": "./x.tif", "eo:bands": [{"name": "red"}, {"name": "SCL"}]}}, collection="own"
    )
    plain["properties"] = {"datetime": "2023-05-01T00:00:00"}
    scene = scene_of_item(plain, str(tmp_path / "items.json"))
    red = scene.band("B04")
    assert (red.grid.width, red.dtype, red.nodata, red.scale, red.offset, red.index) == (
        6,
        "uint16",
        7,
        3e-4,
        0.25,
        1,
    )
    assert scene.band("SCL").index == 2
    plain["assets"]["all"]["eo:bands"].append({"name": "blue"})
    with pytest.raises(InputError, match="has 2 bands, but the item one names 3"):
        scene_of_item(plain, str(tmp_path / "items.json"))


def test_items_that_can_not_be_used():
    nothing = item({"thumbnail": {"href": "a.jpg", "type": "image/jpeg", "roles": ["thumbnail"]}})
    with pytest.raises(InputError, match=r"item one has no image that can be read \(assets: thumbnail\)"):
        scene_of_item(nothing, "/x.json")
    undated = item({"B04": asset("B04")}, datetime=None)
    with pytest.raises(InputError, match="item one has no readable date"):
        scene_of_item(undated, "/x.json")


def test_what_is_written_is_valid_stac_with_relative_paths(tmp_path):
    write_folder(tmp_path / "bilder ü")
    scenes = scenes_of_files(find(tmp_path / "bilder ü"), NumberRules())
    path = tmp_path / "series.json"
    write_document(path, document_of({"features": [item_of_scene(s, tmp_path) for s in scenes]}, str(path)))
    plain = load_json(path)
    collection = pystac.ItemCollection.from_dict(copy.deepcopy(plain))
    assert [i.datetime.date() for i in collection.items] == list(DATES)
    first = plain["features"][0]
    assert first["stac_version"] == "1.0.0"
    data = first["assets"]["data"]
    assert data["href"] == "./bilder ü/S2_20190305.tif"
    assert data["proj:epsg"] == 32631
    assert data["eo:bands"][0] == {"name": "B02", "common_name": "blue"}
    assert data["raster:bands"][0] == {"data_type": "uint16", "scale": 1e-4, "offset": 0.0, "nodata": 0}
    west, south, east, north = first["bbox"]
    assert 4 < west < east < 5
    assert 50 < south < north < 51
    assert [s.bands for s in document_of(plain, str(path)).scenes] == [s.bands for s in scenes]
