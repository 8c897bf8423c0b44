import contextlib
import hashlib
import json
import sqlite3

import geopandas
import numpy as np
import pytest
import rasterio
from rasterio.features import rasterize

from sits_engine.context import JobContext
from sits_engine.errors import Cancelled, EngineError, InputError
from sits_engine.series.simulate import simulate_pair
from sits_engine.series.simulate.crops import CROP_NAMES
from sits_engine.series.simulate.truth import class_names


def make(folder, **changes):
    options = {"size": 96, "dates": 4, "shift_days": 25.0, "difficulty": "standard", "seed": 5}
    options |= {"ctx": JobContext()} | changes
    return simulate_pair(folder, **options)


def digests(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    return make(tmp_path_factory.mktemp("démo avec espaces"))


def test_everything_promised_is_there(demo):
    names = set(digests(demo.folder))
    for region in ("region_a", "region_b"):
        files = {"parcels.gpkg", "truth.tif", "truth.tif.aux.xml", "truth_5m.tif", "truth_5m.tif.aux.xml"}
        assert {f"{region}/{name}" for name in files} <= names
        assert sum(name.startswith(f"{region}/images/S2_") for name in names) == 4
    assert {"truth.json", "README.txt"} <= names
    assert len(names) == 2 * 9 + 2
    assert "SIMULATED" in (demo.folder / "README.txt").read_text(encoding="utf-8")


def test_parcels_are_a_geopackage_that_old_versions_of_qgis_know(demo):
    with contextlib.closing(sqlite3.connect(demo.folder / "region_a" / "parcels.gpkg")) as file:
        assert file.execute("PRAGMA user_version").fetchone() == (10200,)


def test_images_look_like_sentinel_2(demo):
    for images, epsg in ((demo.images_a, 32631), (demo.images_b, 32632)):
        for path in images.glob("*.tif"):
            with rasterio.open(path) as file:
                assert file.crs.to_epsg() == epsg
                assert file.res == (10.0, 10.0)
                assert file.shape == (96, 96)
                assert file.dtypes == ("uint16",) * 11
                assert file.nodata == 0
                assert file.compression.value.lower() == "deflate"
                names = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12", "SCL")
                assert file.descriptions == names
                assert file.tags()["TIFFTAG_DATETIME"][:10].replace(":", "") == path.stem[3:]
    dates_a = {path.name for path in demo.images_a.iterdir()}
    assert dates_a != {path.name for path in demo.images_b.iterdir()}


def test_parcels_and_truth_agree(demo):
    for parcels_path, truth_path in ((demo.parcels_a, demo.truth_a), (demo.parcels_b, demo.truth_b)):
        parcels = geopandas.read_file(parcels_path)
        assert list(parcels.columns) == ["id", "crop", "code", "area_ha", "geometry"]
        assert set(parcels["crop"]) <= set(CROP_NAMES)
        assert parcels["crop"].nunique() >= 8
        with rasterio.open(truth_path) as file:
            truth, share = file.read()
            assert file.tags(1)["class_1"] == CROP_NAMES[0]
            transform = file.transform
        values = parcels["crop"].map(lambda name: CROP_NAMES.index(name) + 1)
        inner = [(g, v) for g, v in zip(parcels.buffer(-12), values, strict=True) if not g.is_empty]
        expected = rasterize(inner, truth.shape, transform=transform, dtype="uint8")
        inside = expected > 0
        assert inside.sum() > 500
        np.testing.assert_array_equal(truth[inside], expected[inside])
        assert (share[inside] == 100).all()
        assert share.min() >= 25
        assert (share < 100).mean() > 0.05  # mixed pixels at borders
        with rasterio.open(truth_path.with_name("truth_5m.tif")) as file:
            fine = file.read(1)
            assert file.res == (5.0, 5.0)
            assert file.colormap(1)[1][3] == 255
        assert fine.shape == (192, 192)
        assert fine.min() >= 1
        pure = share == 100
        np.testing.assert_array_equal(fine[::2, ::2][pure], truth[pure])


def test_truth_file_tells_shift_seed_and_varieties(demo):
    truth = json.loads(demo.truth.read_text(encoding="utf-8"))
    assert truth["shift_days"] == 25.0
    assert truth["seed"] == 5
    assert [c["name"] for c in truth["classes"]] == list(class_names())
    for name, earlier in (("region_a", 0.0), ("region_b", 25.0)):
        region = truth["regions"][name]
        days = list(region["days_earlier_than_calendar"].values())
        assert np.mean(days) == pytest.approx(earlier, abs=1e-2)
        assert len(region["variety_of_parcel"]) == region["parcels"]
        assert len(region["dates"]) == 4
    a, b = (truth["regions"][r]["parcels_by_crop"] for r in ("region_a", "region_b"))
    total_a, total_b = sum(a.values()), sum(b.values())
    assert a["winter wheat"] / total_a > b["winter wheat"] / total_b


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(demo, tmp_path):
    again = make(tmp_path / "again")
    assert digests(again.folder) == digests(demo.folder)
    other = make(tmp_path / "other", seed=6)
    same = {k for k, v in digests(other.folder).items() if digests(demo.folder).get(k) == v}
    assert not {name for name in same if name.endswith((".tif", ".gpkg", ".json"))}


def test_an_old_demo_is_replaced(tmp_path):
    make(tmp_path, dates=3)
    make(tmp_path, dates=4, seed=1)
    assert len(list((tmp_path / "region_a" / "images").iterdir())) == 4
    assert not list(tmp_path.glob(".*"))


def test_folders_of_others_are_left_alone(tmp_path):
    precious = tmp_path / "region_a" / "mine.txt"
    precious.parent.mkdir()
    precious.write_text("mine")
    with pytest.raises(InputError, match=r"region_a exists and is not demo data"):
        make(tmp_path)
    assert precious.read_text() == "mine"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["region_a"]


def test_cancelling_leaves_nothing(tmp_path):
    folder = tmp_path / "demo"
    ctx = JobContext(lambda kind, fields: ctx.cancel() if fields.get("percent", 0) >= 50 else None)
    with pytest.raises(Cancelled):
        make(folder, ctx=ctx)
    assert list(folder.iterdir()) == []


def test_a_file_in_place_of_the_folder_is_named(tmp_path):
    target = tmp_path / "demo"
    target.write_text("x")
    with pytest.raises(EngineError, match="is a file, not a folder") as caught:
        make(target)
    assert caught.value.code == "OUTPUT_NOT_WRITABLE"


def test_unknown_difficulty_and_odd_size_are_refused(tmp_path):
    with pytest.raises(InputError, match="Unknown difficulty 'brutal'"):
        make(tmp_path, difficulty="brutal")
    with pytest.raises(InputError, match="even number"):
        make(tmp_path, size=97)
