"""32 real LUCAS photos: import, tiny CLIP with random weights, index, layer, contact sheet. No scores."""

import re

import geopandas as gpd
import numpy as np
import pytest
from imagery import write_image
from pyproj import Transformer
from support.maps import BANDS
from support.tiny_clip import tiny_clip
from support.word_maps import DAYS, DIM, write_photo_model

from sits_engine.context import JobContext
from sits_engine.jobs.build_time_series import BuildTimeSeries
from sits_engine.jobs.retrieve_photos import RetrievePhotos
from sits_engine.retrieval.folder import open_index
from sits_engine.samples.photos import PhotoReading, read_photos

#: The three points in Flanders lie within 8 km: a simulated year of 100 m pixels around them.
MIDDLE, PIXELS, SIZE = (2.65, 50.85), 200, 100.0


@pytest.fixture(scope="module")
def photos(real_data):
    return real_data("lucas_photos")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Series, photo model and CLIP model."""
    folder = tmp_path_factory.mktemp("lucas")
    x, y = Transformer.from_crs(4326, 32631, always_xy=True).transform(*MIDDLE)
    corner = (round(x, -3) - PIXELS * SIZE / 2, round(y, -3) + PIXELS * SIZE / 2)
    rng = np.random.default_rng(0)
    level = rng.integers(500, 4000, (len(BANDS), PIXELS, PIXELS))
    for number, day in enumerate(DAYS):
        values = (level * (1 + 0.3 * np.sin(number / 2 + level / 700))).astype(np.uint16)
        write_image(folder / "images" / f"S2_{day}.tif", values, BANDS, corner=corner, size=SIZE)
    series = folder / "flanders.json"
    BuildTimeSeries.parse({"input_folder": str(folder / "images"), "output": str(series)}).run(JobContext())
    clip = tiny_clip(folder / "clip", dim=DIM)
    return series, write_photo_model(folder / "m.safetensors", clip), folder


def test_import_of_layer_folder_and_table_agree(photos):
    layer = read_photos(str(photos / "photos.gpkg"), PhotoReading(place_field="point_id"))
    folder = read_photos(str(photos / "photos"))
    assert (len(layer), len(layer.paths)) == (7, 32)
    assert (len(folder), len(folder.paths)) == (7, 32)
    assert {path.name for path in layer.paths} == {path.name for path in folder.paths}
    where = {path.name: folder.xy[place] for path, place in zip(folder.paths, folder.place, strict=True)}
    for path, place in zip(layer.paths, layer.place, strict=True):
        np.testing.assert_allclose(where[path.name], layer.xy[place], atol=1e-4)


def test_from_photos_to_layer_and_contact_sheet(photos, world, tmp_path):
    series, model, _ = world
    places = gpd.read_file(photos / "photos.gpkg")
    belgian = places[places["country"] == "BE"].drop_duplicates("point_id")
    belgian[["point_id", "geometry"]].to_file(tmp_path / "places.gpkg")
    given = {
        "series": str(series),
        "model": str(model),
        "photos": str(photos / "photos.gpkg"),
        "place_field": "point_id",
        "places": str(tmp_path / "places.gpkg"),
        "id_field": "point_id",
        "index": str(tmp_path / "index"),
        "k": 8,
        "output": str(tmp_path / "found.gpkg"),
        "report": str(tmp_path / "sheet.html"),
        "device": "cpu",
    }
    result = RetrievePhotos.parse(given).run(JobContext())
    assert (result.scores["n_places"], result.scores["n_photos"]) == (3, 32)
    assert len(open_index(tmp_path / "index")) == 32
    found = gpd.read_file(tmp_path / "found.gpkg")
    assert found["query"].value_counts().to_dict() == dict.fromkeys(belgian["point_id"].astype(str), 8)
    own = places.assign(name=places["file"].map(lambda f: f.split("/")[-1])).set_index("name")
    for _, row in found.iterrows():
        photo = own.loc[row["photo"].split("/")[-1]]
        assert row.geometry.distance(photo.geometry) < 1e-4
        assert str(row["place"]) == str(photo["point_id"])
        same = str(row["place"]) == row["query"]
        assert (row["distance_m"] < 20) == same
    page = (tmp_path / "sheet.html").read_text(encoding="utf-8")
    assert page.count("data:image/jpeg;base64,") == 24
    assert len(page) < 3_000_000
    assert set(re.findall(r"Query (\d{8})", page)) == set(belgian["point_id"].astype(str))
    again = RetrievePhotos.parse({k: v for k, v in given.items() if k != "photos"}).run(JobContext())
    assert again.scores["index_reused"]


def test_only_the_photos_of_a_country_and_a_year(photos, world, tmp_path):
    series, model, _ = world
    belgian = gpd.read_file(photos / "photos.gpkg").query("country == 'BE'").iloc[:1]
    belgian.to_file(tmp_path / "places.gpkg")
    given = {
        "series": str(series),
        "model": str(model),
        "photos": str(photos / "photos.gpkg"),
        "places": str(tmp_path / "places.gpkg"),
        "photo_region": "-9,1.9,49,60 [EPSG:4326]",
        "date_from": "2018-01-01",
        "date_to": "2018-12-31",
        "k": 50,
        "output": str(tmp_path / "found.gpkg"),
        "device": "cpu",
    }
    RetrievePhotos.parse(given).run(JobContext())
    found = gpd.read_file(tmp_path / "found.gpkg")
    assert len(found) == 6
    assert all("2018_UK" in path for path in found["photo"])
