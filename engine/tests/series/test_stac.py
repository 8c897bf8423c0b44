import datetime
import json
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pystac
import pytest
from imagery import DATES, UTM31, write_image
from rasterio.warp import transform_bounds
from stac_server import serve

from sits_engine.context import JobContext
from sits_engine.errors import EngineError, InputError
from sits_engine.series import gridding
from sits_engine.series.item_collection import Document, write_document
from sits_engine.series.probe import probe
from sits_engine.series.stac import Query, scenes_of_stac, split_header
from sits_engine.series.time_series import TimeSeries

EXTENT = ((600000.0, 5599900.0, 600100.0, 5600000.0), gridding.parse_crs(UTM31))


@contextmanager
def file_server(folder):
    """The server in a process of its own: GDAL holds Python's lock while it waits for a file over HTTP."""
    command = [sys.executable, "-c", "import sys, stac_server; stac_server.main(sys.argv[1])", str(folder)]
    tests = str(Path(__file__).resolve().parents[1])
    with subprocess.Popen(
        command, cwd=tests, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


def bbox(corner, side=100):
    return list(
        transform_bounds(UTM31, "EPSG:4326", corner[0], corner[1] - side, corner[0] + side, corner[1])
    )


def item(
    folder, date, *, base="", number=0, cloud=10.0, corner=(600000.0, 5600000.0), collection="s2", **extra
):
    """An item in the layout of Earth Search: common names as keys, one COG a band, SCL with 20 m."""
    identity = f"S2_{date:%Y%m%d}_{number}"
    red = np.full((1, 10, 10), 2000 + number, "uint16")
    write_image(folder / f"{identity}_red.tif", red, None, corner=corner)
    scl = np.full((1, 5, 5), 4, "uint8")
    write_image(folder / f"{identity}_scl.tif", scl, None, corner=corner, size=20)
    kind = "image/tiff; application=geotiff; profile=cloud-optimized"
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "stac_extensions": [],
        "id": identity,
        "collection": collection,
        "geometry": None,
        "bbox": bbox(corner),
        "properties": {
            "datetime": f"{date}T10:30:00Z",
            "eo:cloud_cover": cloud,
            "platform": "sentinel-2a",
            **extra,
        },
        "assets": {
            "red": {
                "href": f"{base}{identity}_red.tif",
                "type": kind,
                "roles": ["data", "reflectance"],
                "eo:bands": [{"name": "red", "common_name": "red"}],
            },
            "scl": {"href": f"{base}{identity}_scl.tif", "type": kind, "roles": ["data"]},
            "thumbnail": {"href": f"{base}preview.jpg", "type": "image/jpeg", "roles": ["thumbnail"]},
            "visual": {"href": f"{base}tci.tif", "type": kind, "roles": ["visual"]},
        },
        "links": [],
    }


@pytest.fixture
def api(tmp_path):
    items = [item(tmp_path, date, base=f"{tmp_path.as_uri()}/", number=n) for n, date in enumerate(DATES)]
    items.append(item(tmp_path, DATES[0], base=f"{tmp_path.as_uri()}/", number=10, cloud=90.0))
    far = item(tmp_path, DATES[1], base=f"{tmp_path.as_uri()}/", number=11, corner=(700000.0, 5600000.0))
    items += [far, item(tmp_path, DATES[2], base=f"{tmp_path.as_uri()}/", number=12, collection="other")]
    with serve(items, tmp_path) as server:
        yield server


def ask(source, ctx=None, **query):
    query = {"extent": EXTENT, **query}
    return scenes_of_stac(str(source), Query(**query), None, ctx or JobContext())


def test_api_all_pages_arrive(api):
    scenes = ask(api.url, collections=("s2",), max_cloud=50)
    assert [s.id for s in scenes] == [f"S2_{d:%Y%m%d}_{n}" for n, d in enumerate(DATES)]
    assert api.pages == 3  # five items, two a page
    assert [b.name for b in scenes[0].bands] == ["B04", "SCL"]
    assert scenes[0].cloud_cover == 10


def test_api_gets_the_limits_and_they_hold_if_it_ignores_them(api, monkeypatch):
    limits = {"start": datetime.date(2019, 4, 1), "end": datetime.date(2019, 6, 5), "max_cloud": 50.0}
    expected = [f"S2_{d:%Y%m%d}_{n}" for n, d in enumerate(DATES)][1:4]
    assert [s.id for s in ask(api.url, collections=("s2",), **limits)] == expected
    body = next(body for method, path, body, _ in api.requests if path == "/search")
    assert body["collections"] == ["s2"]
    assert body["query"] == {"eo:cloud_cover": {"lte": 50.0}}
    assert body["datetime"] == "2019-04-01T00:00:00Z/2019-06-05T23:59:59Z"
    np.testing.assert_allclose(body["bbox"], bbox((600000, 5600000)))
    monkeypatch.setattr("stac_server.fits", lambda item, asked: True)
    assert [s.id for s in ask(api.url, collections=("s2",), **limits)] == expected


def test_the_address_of_a_collection_of_an_api_and_of_its_items(api):
    expected = [f"S2_{d:%Y%m%d}_{n}" for n, d in enumerate(DATES)]
    assert [s.id for s in ask(f"{api.url}collections/s2", max_cloud=50)] == expected
    api.requests.clear()
    assert [s.id for s in ask(f"{api.url}collections/s2/items", max_cloud=50)] == expected
    assert api.pages > 1


def test_api_with_several_collections_asks_which(api):
    with pytest.raises(InputError, match="2 collections") as error:
        ask(api.url)
    assert "other, s2" in error.value.advice


def test_api_wants_an_area(api):
    with pytest.raises(InputError, match="area"):
        ask(api.url, extent=None, collections=("s2",))


def test_nothing_found(api):
    with pytest.raises(InputError, match="no images for this area"):
        ask(api.url, collections=("s2",), start=datetime.date(2025, 1, 1))


@pytest.mark.parametrize("header", ["Authorization: Bearer s3cr3t", "Bearer s3cr3t", "s3cr3t"])
def test_api_with_a_key(api, header):
    api.key = "Bearer s3cr3t"
    assert len(ask(api.url, collections=("s2",), max_cloud=50, auth_header=header)) == 5


def test_a_refused_key_is_said_but_not_shown(api):
    api.key = "Bearer right"
    with pytest.raises(EngineError, match="refuses access") as error:
        ask(api.url.replace("127", "user:pw@127"), collections=("s2",), auth_header="Bearer wr0ng")
    assert error.value.code == "NETWORK"
    assert "wr0ng" not in str(error.value)
    assert "pw" not in str(error.value)


def test_the_key_does_not_go_to_another_host(api):
    """`next` points to the same server under another name: its pages are fetched without the key."""
    api.next_host = api.url.replace("127.0.0.1", "localhost")
    ask(api.url, collections=("s2",), max_cloud=50, auth_header="Bearer s3cr3t")
    hosts = {headers["Host"].split(":")[0]: headers.get("Authorization") for _, _, _, headers in api.requests}
    assert hosts == {"127.0.0.1": "Bearer s3cr3t", "localhost": None}


def test_headers():
    assert split_header("X-Api-Key: a:b") == ("X-Api-Key", "a:b")
    assert split_header("Basic dXNlcjpwdw==") == ("Authorization", "Basic dXNlcjpwdw==")


def test_no_server():
    with pytest.raises(EngineError, match="can't be reached") as error:
        ask("http://127.0.0.1:9/", collections=("s2",))
    assert error.value.code == "NETWORK"


def test_a_page_that_is_no_stac(api):
    with pytest.raises(InputError, match="no STAC"):
        ask(f"{api.url}files/S2_20190305_0_red.tif")


def test_static_catalogue(tmp_path):
    catalogue = pystac.Catalog("root", "test")
    for year in ("a", "b"):
        catalogue.add_child(pystac.Catalog(year, "part"))
    for number, date in enumerate(DATES):
        one = pystac.Item.from_dict(item(tmp_path, date, number=number, base=f"{tmp_path.as_posix()}/"))
        one.bbox, one.geometry = bbox((600000, 5600000)), {"type": "Point", "coordinates": [4.4, 50.5]}
        catalogue.get_child("ab"[number % 2]).add_item(one)
    catalogue.normalize_hrefs(str(tmp_path / "catalogue"))
    catalogue.make_all_asset_hrefs_relative()
    catalogue.save(pystac.CatalogType.SELF_CONTAINED)
    for source in (tmp_path / "catalogue" / "catalog.json", tmp_path / "catalogue"):
        scenes = ask(source, end=datetime.date(2019, 6, 30))
        assert sorted(s.date for s in scenes) == list(DATES[:4])
        assert all(Path(b.href).is_file() for s in scenes for b in s.bands)
    next((tmp_path / "catalogue" / "a").rglob("S2_*.json")).unlink()
    with pytest.raises(InputError, match=r"catalogue .*catalog\.json can't be read"):
        ask(tmp_path / "catalogue" / "catalog.json")


def test_item_collection_file_and_url(tmp_path):
    items = [item(tmp_path, date, number=n, base="./") for n, date in enumerate(DATES)]
    path = tmp_path / "items.json"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    assert len(ask(path)) == len(ask(path.as_uri())) == 5
    with file_server(tmp_path) as url:
        scenes = ask(f"{url}files/items.json")
        assert scenes[0].bands[0].href == f"{url}files/S2_20190305_0_red.tif"
        assert scenes[0].bands[0].grid.width == 10
        write_document(tmp_path / "remote.json", Document(tuple(scenes)))
        series = TimeSeries.open(tmp_path / "remote.json")
        cube = series.read(series.grid.whole, ["B04"])
        assert cube.values[:, 0, 5, 5].tolist() == [2000, 2001, 2002, 2003, 2004]
        assert cube.valid.all()
        with pytest.raises(EngineError, match="Can't read http") as error:
            probe(f"{url}files/missing.tif")
    assert error.value.code == "NETWORK"


def test_an_offset_that_the_pixels_show_to_be_applied_is_left_out(tmp_path):
    """Numbers around 700 with an offset of -1000 would reflect less than nothing."""
    items = []
    for n, date in enumerate(DATES):
        one = item(tmp_path, date, number=n, **{"earthsearch:boa_offset_applied": False})
        one["assets"]["red"]["raster:bands"] = [
            {"data_type": "uint16", "scale": 1e-4, "offset": -0.1, "nodata": 0}
        ]
        items.append(one)
    write_image(tmp_path / "S2_20190305_0_red.tif", np.full((1, 10, 10), 700, "uint16"), None)
    (tmp_path / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    ctx = JobContext()
    scenes = ask(tmp_path / "items.json", ctx)
    assert [s.bands[0].offset for s in scenes] == [0.0, -0.1, -0.1, -0.1, -0.1]
    assert len(ctx.warnings) == 1
    assert "S2_20190305_0" in ctx.warnings[0]
