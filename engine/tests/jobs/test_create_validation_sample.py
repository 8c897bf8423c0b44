"""Points from a map, and back into an assessment."""

import json
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyogrio
import pytest
from support.maps import CLASSES, CORNER, write_map

from sits_engine.context import JobContext
from sits_engine.errors import InputError
from sits_engine.evaluation.sampling import allocate, draw
from sits_engine.jobs.assess_map import AssessMap
from sits_engine.jobs.create_validation_sample import CreateValidationSample
from sits_engine.mapping.class_map import ClassMap

X, Y = CORNER
VALUES = np.random.default_rng(4).choice(4, (120, 90), p=[0.1, 0.6, 0.27, 0.03])


@pytest.fixture(scope="module")
def crop_map(tmp_path_factory):
    percent = np.array([0, 95, 70, 60])[VALUES]
    return write_map(tmp_path_factory.mktemp("m") / "map.tif", VALUES, percent)


def sample(crop_map, path, ctx=None, **params):
    given = {"map": str(crop_map), "output": str(path), "n": 100, "min_per_class": 10}
    CreateValidationSample.parse({**given, **params}).run(ctx or JobContext())
    return gpd.read_file(path, layer="sample")


def mapped_at(frame):
    cols, rows = (frame.geometry.x - X) / 10, (Y - frame.geometry.y) / 10
    assert ((cols % 1 - 0.5).abs() < 1e-6).all()
    return VALUES[rows.astype(int), cols.astype(int)]


def test_points_lie_in_their_stratum_and_hide_it(crop_map, tmp_path):
    frame = sample(crop_map, tmp_path / "s.gpkg")
    assert len(frame) == 100
    assert (mapped_at(frame) == frame["stratum"]).all()
    assert frame["reference"].isna().all()
    assert list(frame["id"]) == list(range(1, 101))
    assert not frame.geometry.duplicated().any()
    # neither order nor number gives the class away
    assert abs(np.corrcoef(frame["id"], frame["stratum"])[0, 1]) < 0.4
    assert frame.crs == "EPSG:32631"
    strata = pyogrio.read_dataframe(tmp_path / "s.gpkg", layer="strata")
    assert list(strata["pixels"]) == [(i == VALUES).sum() for i in (1, 2, 3)]
    assert list(strata["area_ha"]) == pytest.approx([(i == VALUES).sum() / 100 for i in (1, 2, 3)])
    assert list(strata["n"]) == [(frame["stratum"] == i).sum() for i in (1, 2, 3)]
    classes = pyogrio.read_dataframe(tmp_path / "s.gpkg", layer="classes")
    assert list(classes["class"]) == list(CLASSES)
    assert [p.name for p in tmp_path.iterdir()] == ["s.gpkg"]


def test_same_seed_same_points_whatever_the_windows(crop_map, tmp_path, monkeypatch):
    a = sample(crop_map, tmp_path / "a.gpkg", seed=5)
    b = sample(crop_map, tmp_path / "b.gpkg", seed=5)
    other = sample(crop_map, tmp_path / "c.gpkg", seed=6)
    assert a.geometry.equals(b.geometry)
    assert not a.geometry.equals(other.geometry)
    monkeypatch.setattr("sits_engine.mapping.class_map.BLOCK", 32)
    pieces = sample(crop_map, tmp_path / "d.gpkg", seed=5)
    assert (mapped_at(pieces) == pieces["stratum"]).all()


def test_every_pixel_has_the_same_chance(tmp_path, monkeypatch):
    monkeypatch.setattr("sits_engine.mapping.class_map.BLOCK", 4)
    values = np.ones((8, 8), int)
    values[:, 5:] = 2
    small = write_map(tmp_path / "m.tif", values)
    hits = np.zeros((8, 8))
    the_map = ClassMap.open(small)
    for seed in range(150):
        drawn = draw(the_map, np.array([8, 8, 0]), seed)
        np.add.at(hits, (drawn.rows, drawn.cols), 1)
    for stripe, chance in ((hits[:, :5], 8 / 40), (hits[:, 5:], 8 / 24)):
        expected, spread = 150 * chance, np.sqrt(150 * chance * (1 - chance))
        assert np.abs(stripe - expected).max() < 4.5 * spread
        assert stripe.std() > 0.4 * spread


@pytest.mark.parametrize("allocation", ["equal", "proportional", "optimal"])
@pytest.mark.parametrize("n", [60, 101, 997])
def test_allocations_add_up_and_respect_limits(allocation, n):
    pixels = np.array([50_000, 0, 900, 15, 7_000])
    confidence = np.array([0.9, np.nan, 0.6, 0.7, np.nan])
    points = allocate(n, pixels, allocation, 12, confidence)
    assert points.sum() == n
    assert points[1] == 0
    assert (points <= pixels).all()
    assert (points[[0, 2, 3, 4]] >= 12).all()


def test_rules():
    pixels, unknown = np.array([8000, 1000, 1000]), np.full(3, np.nan)
    assert allocate(100, pixels, "equal", 0, unknown).tolist() == [34, 33, 33]
    assert allocate(100, pixels, "proportional", 0, unknown).tolist() == [80, 10, 10]
    assert allocate(100, pixels, "proportional", 25, unknown).tolist() == [50, 25, 25]
    # Neyman: W sqrt(U (1 - U)); 0.8 x 0.3, 0.1 x 0.4, 0.1 x 0.5
    optimal = allocate(1000, pixels, "optimal", 0, np.array([0.9, 0.8, 0.5]))
    assert optimal.tolist() == [round(1000 * x / 0.33) for x in (0.24, 0.04, 0.05)]


def test_more_points_than_pixels_takes_all(tmp_path):
    small = write_map(tmp_path / "m.tif", [[1, 2], [0, 3]])
    ctx = JobContext()
    assert len(sample(small, tmp_path / "s.gpkg", ctx, n=50, min_per_class=0)) == 3
    assert any("only 3 classified pixels" in w for w in ctx.warnings)


def test_sample_filled_in_gives_a_random_design(crop_map, tmp_path):
    path = tmp_path / "s.gpkg"
    frame = sample(crop_map, path, n=200)
    rng = np.random.default_rng(0)
    truth = np.where(rng.random(200) < 0.8, frame["stratum"], rng.integers(1, 4, 200))
    frame["reference"] = [CLASSES[i - 1] for i in truth]
    frame.loc[:4, "reference"] = None
    frame.to_file(path, layer="sample", driver="GPKG", mode="w")
    result, numbers = assess(crop_map, f"{path}|layername=sample", tmp_path)
    assert numbers["adjusted"]["probability_sample"]
    assert "Olofsson" in numbers["adjusted"]["note"]
    assert result.scores["n"] == 195
    assert 0 < result.scores["adjusted_overall_accuracy_half_width"] < 0.1
    assert any("5 of 200 points" in w for w in numbers["warnings"])
    # a later map, other classes at many points: the sample keeps its own strata
    other = write_map(tmp_path / "later.tif", np.where(VALUES == 2, 1, VALUES))
    _, later = assess(other, f"{path}|layername=sample", tmp_path)
    assert later["adjusted"]["probability_sample"]
    assert "Stehman" in later["adjusted"]["note"]
    # what grows there does not depend on the map that is judged
    for mine, theirs in zip(later["adjusted"]["classes"], numbers["adjusted"]["classes"], strict=True):
        assert mine["area_ha"]["value"] == pytest.approx(theirs["area_ha"]["value"])


def assess(the_map, reference, tmp_path):
    ctx = JobContext()
    params = {"map": str(the_map), "reference": reference, "field": "reference"}
    result = AssessMap.parse({**params, "report": str(tmp_path / "r.html")}).run(ctx)
    return result, json.loads(Path(result.outputs["numbers"]).read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"output": "s.shp"}, "must be a GeoPackage"),
        ({"n": 20, "min_per_class": 10}, "N is 20"),
        ({"allocation": "best"}, "ALLOCATION"),
        ({"map": "none.tif"}, "Map not found"),
    ],
)
def test_bad_input(crop_map, tmp_path, monkeypatch, params, words):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=words):
        CreateValidationSample.parse({"map": str(crop_map), "output": "s.gpkg", "n": 100, **params}).run(
            JobContext()
        )


def test_empty_map(tmp_path):
    empty = write_map(tmp_path / "m.tif", np.zeros((5, 5)))
    with pytest.raises(InputError, match="no classified pixel"):
        sample(empty, tmp_path / "s.gpkg")


def test_the_map_is_never_overwritten(crop_map, tmp_path):
    the_map = tmp_path / "map.gpkg"  # GeoPackages hold rasters too
    the_map.write_bytes(crop_map.read_bytes())
    with pytest.raises(InputError, match="is an input of this run"):
        sample(the_map, the_map)
    assert the_map.read_bytes() == crop_map.read_bytes()
