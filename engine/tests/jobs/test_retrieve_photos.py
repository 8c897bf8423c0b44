"""From places of a series to photos: layer, contact sheet, index."""

import json
import re
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from PIL import Image
from pyproj import Transformer
from shapely.geometry import Point, box
from support.tiny_clip import tiny_clip
from support.word_maps import World, write_world

from sits_engine.context import JobContext
from sits_engine.errors import InputError, ModelError
from sits_engine.jobs.retrieve_photos import RetrievePhotos
from sits_engine.models.clip.encoder import ClipEncoder
from sits_engine.retrieval.folder import open_index
from sits_engine.retrieval.queries import POLYGON_PIXELS


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> World:
    return write_world(tmp_path_factory.mktemp("world"), height=40, width=50)


@pytest.fixture(scope="module")
def corner(world):
    """Upper left corner of the images and their CRS."""
    image = next(path for path in sorted(world.series.parent.rglob("*.tif")))
    with rasterio.open(image) as data:
        return data.transform.c, data.transform.f, data.crs


@pytest.fixture(scope="module")
def photos(tmp_path_factory, corner) -> Path:
    """A layer of eight photos: one every month from January, 1 km apart."""
    folder = tmp_path_factory.mktemp("Fotos äö")
    rng = np.random.default_rng(0)
    rows = []
    for i in range(8):
        path = folder / f"Blick {i}.jpg"
        Image.fromarray(rng.integers(0, 255, (48, 64, 3), dtype=np.uint8)).save(path)
        rows.append({"photo": str(path), "timestamp": f"2023-{i + 1:02d}-10", "direction": 45 * i})
    points = [Point(corner[0] + 1000 * i, corner[1] - 20) for i in range(8)]
    layer = folder / "photos.gpkg"
    gpd.GeoDataFrame(rows, geometry=points, crs=corner[2]).to_file(layer)
    return layer


def places_at(path: Path, corner, shapes, **columns) -> str:
    moved = [shape if hasattr(shape, "geom_type") else Point(*shape) for shape in shapes]
    frame = gpd.GeoDataFrame({"n": range(len(moved)), **columns}, geometry=moved, crs=corner[2])
    frame.to_crs("EPSG:4326").to_file(path)
    return str(path)


@pytest.fixture
def places(tmp_path, corner) -> str:
    x, y, _ = corner
    field = box(x + 20, y - 380, x + 480, y - 20)
    return places_at(
        tmp_path / "places.gpkg",
        corner,
        [(x + 105, y - 105), field, (x + 305, y - 205)],
        name=["Hof", "Feld", "Weg"],
    )


def run(world, places, out: Path, **params):
    given = {
        "series": str(world.series),
        "model": str(world.model),
        "places": places,
        "output": str(out / "found.gpkg"),
        "report": str(out / "sheet.html"),
        "device": "cpu",
        **params,
    }
    ctx = JobContext()
    return RetrievePhotos.parse(given).run(ctx), ctx


def test_layer_sheet_and_index(world, photos, places, corner, tmp_path):
    result, _ = run(
        world, places, tmp_path, photos=str(photos), id_field="name", k=3, index=str(tmp_path / "i")
    )
    frame = gpd.read_file(tmp_path / "found.gpkg", layer="photos")
    assert list(frame.columns) == [
        "query", "rank", "similarity", "photo", "photo_there", "place", "distance_m", "date", "direction",
        "geometry",
    ]  # fmt: skip
    assert frame["query"].tolist() == ["Hof"] * 3 + ["Feld"] * 3 + ["Weg"] * 3
    assert frame["rank"].tolist() == [1, 2, 3] * 3
    for _, rows in frame.groupby("query"):
        assert (np.diff(rows["similarity"]) <= 0).all()
    assert frame.crs == "EPSG:4326"
    hof = frame[frame["query"] == "Hof"].iloc[0]
    number = int(re.search(r"Blick (\d)", hof["photo"])[1])
    assert hof["distance_m"] == pytest.approx(np.hypot(1000 * number - 105, 85), abs=2)
    assert str(hof["date"])[:10] == f"2023-{number + 1:02d}-10"
    assert hof["direction"] == str(45 * number)
    assert frame["photo_there"].all()
    page = (tmp_path / "sheet.html").read_text(encoding="utf-8")
    assert page.count("data:image/jpeg;base64,") == 9
    assert "http" not in re.sub(r'src="data[^"]*"', "", page).replace("http://www.w3.org", "")
    assert "Query Feld" in page
    assert "mean over 100 pixels" in page
    numbers = json.loads((tmp_path / "sheet_numbers.json").read_text(encoding="utf-8"))
    assert [len(one["photos"]) for one in numbers["queries"]] == [3, 3, 3]
    assert [one["pixels"] for one in numbers["queries"]] == [1, POLYGON_PIXELS, 1]
    assert result.scores["n_photos"] == 8
    assert len(open_index(tmp_path / "i")) == 8


def test_vectors_are_those_of_clip_and_of_the_series(world, photos, places, tmp_path):
    """What the layer states is the cosine between the model's vector and CLIP's."""
    from sits_engine.device import select
    from sits_engine.models.photo_inference import EmbeddingPredictor
    from sits_engine.samples.composites import cut_composites
    from sits_engine.series.time_series import TimeSeries

    run(world, places, tmp_path, photos=str(photos), k=8)
    frame = gpd.read_file(tmp_path / "found.gpkg")
    device = select("cpu")
    predictor = EmbeddingPredictor.open(world.model, device)
    series = TimeSeries.open(world.series)
    where = gpd.read_file(places).to_crs(4326).geometry.iloc[2]
    cut = cut_composites(series, np.array([[where.x, where.y]]), predictor.card.band_names)
    asked = predictor.embed(cut)[0]
    rows = frame[frame["query"] == "3"]
    vectors = ClipEncoder.open(world.clip, device).images([Path(p) for p in rows["photo"]]).vectors
    np.testing.assert_allclose(rows["similarity"], vectors @ asked, atol=5e-4)


def test_a_later_run_computes_nothing_and_needs_no_photos(world, photos, places, tmp_path, monkeypatch):
    index = str(tmp_path / "index")
    first, _ = run(world, places, tmp_path, photos=str(photos), index=index)
    assert not first.scores["index_reused"]
    before = gpd.read_file(tmp_path / "found.gpkg")

    def never(*_args, **_kwargs):
        raise AssertionError("computed again")

    monkeypatch.setattr("sits_engine.retrieval.build.photo_vectors", never)
    monkeypatch.setattr("sits_engine.retrieval.build.save_index", never)
    again, _ = run(world, places, tmp_path, photos=str(photos), index=index)
    assert again.scores["index_reused"]
    monkeypatch.setattr("sits_engine.models.clip.choice.ClipEncoder.open", never)
    alone, _ = run(world, places, tmp_path, index=index)
    assert alone.scores["index_reused"]
    assert gpd.read_file(tmp_path / "found.gpkg").equals(before)


def test_a_relative_layer_is_good_from_any_folder(world, photos, places, tmp_path, monkeypatch):
    near, away = tmp_path / "near", tmp_path / "away" / "from it"
    near.mkdir()
    away.mkdir(parents=True)
    frame = gpd.read_file(photos)
    for path in frame["photo"]:
        (near / Path(path).name).write_bytes(Path(path).read_bytes())
    frame.assign(photo=[Path(path).name for path in frame["photo"]]).to_file(near / "p.gpkg")
    index = str(tmp_path / "index")
    monkeypatch.chdir(tmp_path)
    run(world, places, tmp_path, photos="near/p.gpkg", index=index)
    kept = gpd.read_file(tmp_path / "found.gpkg")["photo"]
    assert {str(Path(path).parent) for path in kept} == {str(near.resolve())}
    monkeypatch.chdir(away)
    for photos_again in ({"photos": "../../near/p.gpkg"}, {}):
        result, _ = run(world, places, tmp_path, index=index, **photos_again)
        assert result.scores["index_reused"]
        assert not any("not where they were" in text for text in result.warnings)
        assert gpd.read_file(tmp_path / "found.gpkg")["photo_there"].all()


def test_changed_photos_make_a_new_index(world, photos, places, tmp_path):
    copies = tmp_path / "copies"
    copies.mkdir()
    frame = gpd.read_file(photos)
    for path in frame["photo"]:
        (copies / Path(path).name).write_bytes(Path(path).read_bytes())
    frame["photo"] = [str(copies / Path(path).name) for path in frame["photo"]]
    frame.to_file(copies / "p.gpkg")
    params = {"photos": str(copies / "p.gpkg"), "index": str(tmp_path / "index")}
    run(world, places, tmp_path, **params)
    hashes = open_index(tmp_path / "index").table.hashes.tolist()
    Image.new("RGB", (40, 30), (200, 10, 10)).save(copies / "Blick 2.jpg")
    changed, _ = run(world, places, tmp_path, **params)
    assert not changed.scores["index_reused"]
    now = open_index(tmp_path / "index").table.hashes.tolist()
    assert [a == b for a, b in zip(hashes, now, strict=True)].count(False) == 1
    # touched, but the same content: nothing to do
    (copies / "Blick 2.jpg").write_bytes((copies / "Blick 2.jpg").read_bytes())
    assert run(world, places, tmp_path, **params)[0].scores["index_reused"]


def test_a_photo_that_is_gone_keeps_its_row(world, photos, places, tmp_path):
    folder = tmp_path / "some"
    folder.mkdir()
    frame = gpd.read_file(photos).iloc[:3]
    paths = [folder / f"{i}.jpg" for i in range(3)]
    for old, new in zip(frame["photo"], paths, strict=True):
        new.write_bytes(Path(old).read_bytes())
    frame = frame.assign(photo=[str(path) for path in paths])
    frame.to_file(folder / "p.gpkg")
    index = str(tmp_path / "index")
    run(world, places, tmp_path, photos=str(folder / "p.gpkg"), index=index)
    paths[1].unlink()
    result, _ = run(world, places, tmp_path, index=index)
    found = gpd.read_file(tmp_path / "found.gpkg")
    assert set(found.loc[~found["photo_there"], "photo"]) == {str(paths[1])}
    assert any("not where they were" in text for text in result.warnings)
    page = (tmp_path / "sheet.html").read_text(encoding="utf-8")
    assert page.count("The photo is not there any more") == 3


def test_only_photos_of_the_region_and_the_days(world, photos, places, corner, tmp_path):
    x, y, crs = corner
    extent = f"{x + 1500},{x + 6500},{y - 500},{y + 500} [{crs}]"
    days = {"date_from": "2023-04-01", "date_to": "2023-06-10"}
    run(world, places, tmp_path, photos=str(photos), k=8, photo_region=extent, **days)
    found = gpd.read_file(tmp_path / "found.gpkg")
    assert {Path(p).name for p in found["photo"]} == {"Blick 3.jpg", "Blick 4.jpg", "Blick 5.jpg"}
    polygons = tmp_path / "polygons.gpkg"
    gpd.GeoDataFrame(geometry=[box(x - 10, y - 500, x + 1500, y + 500)], crs=crs).to_file(polygons)
    run(world, places, tmp_path, photos=str(photos), k=8, photo_region=str(polygons))
    assert set(gpd.read_file(tmp_path / "found.gpkg")["photo"].map(lambda p: Path(p).name)) == {
        "Blick 0.jpg", "Blick 1.jpg",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"date_from": "2031-01-01"}, "None of the 8 photos lies in the days from 2031-01-01"),
        ({"photo_region": "10,11,10,11 [EPSG:4326]"}, "None of the 8 photos lies in PHOTO_REGION"),
        ({"date_from": "2023-05-01", "date_to": "2023-04-01"}, "DATE_FROM .* is later"),
        ({"photos": None}, "no photos to search in"),
        ({"output": "found.shp"}, "must be a GeoPackage"),
        ({"photos": None, "index": "nothing here"}, "holds no photo index"),
    ],
)
def test_what_can_not_be_answered_is_said(world, photos, places, tmp_path, params, message):
    if "index" in params:
        params = {**params, "index": str(tmp_path / "none")}
    with pytest.raises(InputError, match=message):
        run(world, places, tmp_path, **{"photos": str(photos), **params})
    assert not (tmp_path / "found.gpkg").exists()


def test_places_outside_and_never_clear(world, photos, corner, tmp_path):
    x, y, _ = corner
    outside = places_at(tmp_path / "o.gpkg", corner, [(x - 5000, y), (x + 105, y - 105)])
    result, _ = run(world, outside, tmp_path, photos=str(photos))
    assert any("1 of 2 places lie outside of the series" in text for text in result.warnings)
    assert result.scores["n_places"] == 1
    assert "The series has no image in December; the encoder goes without." in result.warnings
    gone = places_at(tmp_path / "g.gpkg", corner, [(x - 5000, y)])
    with pytest.raises(InputError, match="lies in the series"):
        run(world, gone, tmp_path, photos=str(photos))


def test_places_are_checked_before_photos_are_looked_at(world, photos, corner, tmp_path, monkeypatch):
    def never(*_args, **_kwargs):
        raise AssertionError("looked at photos")

    monkeypatch.setattr("sits_engine.retrieval.build.photo_vectors", never)
    gone = places_at(tmp_path / "g.gpkg", corner, [(corner[0] - 5000, corner[1])])
    with pytest.raises(InputError, match="lies in the series"):
        run(world, gone, tmp_path, photos=str(photos), index=str(tmp_path / "index"))


def test_another_clip_model_is_refused(world, photos, places, tmp_path):
    other = tiny_clip(tmp_path / "other", dim=16, seed=9)
    with pytest.raises(ModelError, match="is not the one"):
        run(world, places, tmp_path, photos=str(photos), clip=str(other))


def test_an_index_of_another_clip_model_is_refused(world, photos, places, tmp_path):
    index = tmp_path / "index"
    run(world, places, tmp_path, photos=str(photos), index=str(index))
    facts = json.loads((index / "index.json").read_text())
    facts["clip"]["fingerprint"] = "0" * 64
    (index / "index.json").write_text(json.dumps(facts))
    for params in ({"photos": str(photos)}, {}):
        with pytest.raises(InputError, match="was made with the CLIP model"):
            run(world, places, tmp_path, index=str(index), **params)


def test_coordinates_of_queries_are_the_places(world, photos, places, corner, tmp_path):
    run(world, places, tmp_path, photos=str(photos))
    numbers = json.loads((tmp_path / "sheet_numbers.json").read_text(encoding="utf-8"))
    lon, lat = Transformer.from_crs(corner[2], 4326, always_xy=True).transform(
        corner[0] + 105, corner[1] - 105
    )
    assert (numbers["queries"][0]["lon"], numbers["queries"][0]["lat"]) == pytest.approx((lon, lat), abs=1e-6)
