"""The job from map and reference to report, numbers and matrix."""

import csv
import json
import re
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from sklearn import metrics
from support.maps import CLASSES, CORNER, write_map

from sits_engine.context import JobContext
from sits_engine.errors import InputError
from sits_engine.evaluation import olofsson
from sits_engine.jobs.assess_map import AssessMap

X, Y = CORNER


@pytest.fixture(scope="module")
def values():
    """60 x 80 pixels: three vertical stripes of classes, errors, and a nodata corner."""
    rng = np.random.default_rng(0)
    truth = np.repeat([1, 2, 3], [40, 24, 16])[None].repeat(60, 0)
    mapped = np.where(rng.random(truth.shape) < 0.15, rng.integers(1, 4, truth.shape), truth)
    mapped[:6, :6] = 0
    return truth, mapped


@pytest.fixture(scope="module")
def crop_map(tmp_path_factory, values):
    return write_map(tmp_path_factory.mktemp("carte é") / "carte.tif", values[1])


def run(crop_map, reference, tmp_path, field="crop", **params):
    ctx = JobContext()
    given = {"map": str(crop_map), "reference": str(reference), "report": str(tmp_path / "r" / "report.html")}
    result = AssessMap.parse({**given, "field": field, **params}).run(ctx)
    numbers = json.loads(Path(result.outputs["numbers"]).read_text(encoding="utf-8"))
    return result, numbers, ctx.warnings


def box(c0, r0, c1, r1):
    return shapely.box(X + 10 * c0, Y - 10 * r1, X + 10 * c1, Y - 10 * r0)


def write(path, geometries, crops, crs="EPSG:32631", **fields):
    gpd.GeoDataFrame({"crop": crops, **fields}, geometry=geometries, crs="EPSG:32631").to_crs(crs).to_file(
        path
    )
    return path


PARCELS = [box(2, 2, 20, 20), box(22, 30, 38, 50), box(42, 5, 60, 30), box(66, 40, 78, 58)]


def test_polygons_count_all_their_pixels_and_one_vote_each(crop_map, values, tmp_path):
    path = write(tmp_path / "p.gpkg", PARCELS, ["wheat", "wheat", "maïs", "sugar beet"])
    result, numbers, warnings = run(crop_map, path, tmp_path)
    truth, mapped = values
    where = np.zeros(truth.shape, bool)
    for c0, r0, c1, r1 in ((2, 2, 20, 20), (22, 30, 38, 50), (42, 5, 60, 30), (66, 40, 78, 58)):
        where[r0:r1, c0:c1] = True
    unmapped = where & (mapped == 0)
    where &= mapped > 0
    matrix = metrics.confusion_matrix(mapped[where], truth[where])
    assert numbers["confusion"] == matrix.tolist()
    assert result.scores["macro_f1"] == pytest.approx(
        metrics.f1_score(truth[where], mapped[where], average="macro")
    )
    assert numbers["n_unmapped"] == unmapped.sum() == 16
    assert any("no class" in w for w in warnings)
    assert result.scores["parcel_overall_accuracy"] == 1
    assert result.scores["parcel_n"] == 4
    assert not numbers["adjusted"]["probability_sample"]
    assert "not drawn at random" in numbers["adjusted"]["note"]
    with open(result.outputs["confusion"], encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert rows[0][1:] == list(CLASSES)
    assert [[int(v) for v in row[1:]] for row in rows[1:]] == matrix.tolist()
    page = (tmp_path / "r" / "report.html").read_text(encoding="utf-8")
    assert "maïs" in page
    assert not re.search(r"(src|href)\s*=\s*[\"']?https?:", page)  # nothing is fetched
    written = {p.name for p in (tmp_path / "r").iterdir()}
    assert written == {"report.html", "report_numbers.json", "report_confusion.csv"}


def test_codes_other_crs_and_class_table(crop_map, values, tmp_path):
    by_name, _, _ = run(
        crop_map,
        write(tmp_path / "a.gpkg", PARCELS, list("wwmb"), id=range(4)),
        tmp_path,
        class_table=str(table(tmp_path)),
    )
    by_code, _, _ = run(crop_map, write(tmp_path / "b.gpkg", PARCELS, [1, 1, 2, 3]), tmp_path)
    assert by_code.scores == by_name.scores
    elsewhere, _, _ = run(
        crop_map, write(tmp_path / "c.gpkg", PARCELS, [1, 1, 2, 3], crs="EPSG:4326"), tmp_path
    )
    assert elsewhere.scores["n"] == pytest.approx(by_code.scores["n"], rel=0.01)


def table(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("code;class\nw;wheat\nm;Maïs\nb;sugar beet\n", encoding="utf-8")
    return path


def test_one_pixel_a_polygon(crop_map, values, tmp_path):
    path = write(tmp_path / "p.gpkg", PARCELS, [1, 1, 2, 3])
    result, numbers, _ = run(crop_map, path, tmp_path, sampling="one")
    assert result.scores["n"] == 4
    assert np.array(numbers["confusion"]).sum(axis=0).tolist() == [2, 1, 1]


def test_points_are_the_pixels_under_them(crop_map, values, tmp_path):
    truth, mapped = values
    rng = np.random.default_rng(3)
    rows, cols = rng.integers(0, 60, 150), rng.integers(0, 80, 150)
    points = [shapely.Point(X + 10 * c + 3, Y - 10 * r - 8) for r, c in zip(rows, cols, strict=True)]
    path = write(tmp_path / "p.gpkg", points, [CLASSES[i - 1] for i in truth[rows, cols]])
    result, numbers, _ = run(crop_map, path, tmp_path)
    known = mapped[rows, cols] > 0
    expected = metrics.confusion_matrix(mapped[rows, cols][known], truth[rows, cols][known])
    assert numbers["confusion"] == expected.tolist()
    areas = np.bincount(mapped.ravel(), minlength=4)[1:] / 100
    adjusted = olofsson.estimate(expected, areas)
    assert result.scores["adjusted_overall_accuracy"] == pytest.approx(adjusted.overall)
    assert [c["area_ha"]["value"] for c in numbers["adjusted"]["classes"]] == pytest.approx(
        list(adjusted.areas)
    )
    assert [c["mapped_ha"] for c in numbers["adjusted"]["classes"]] == pytest.approx(list(areas))


def test_reference_raster_of_other_resolution(crop_map, values, tmp_path):
    truth, mapped = values
    fine = write_map(tmp_path / "truth.tif", truth.repeat(2, 0).repeat(2, 1), pixel=5.0)
    result, numbers, _ = run(crop_map, fine, tmp_path, field="")
    known = mapped > 0
    assert numbers["confusion"] == metrics.confusion_matrix(mapped[known], truth[known]).tolist()
    assert result.scores["n"] == known.sum()


def test_labels_without_a_class_are_listed_and_left_out(crop_map, tmp_path):
    path = write(tmp_path / "p.gpkg", PARCELS, ["wheat", "tulips", "maïs", None])
    _, numbers, warnings = run(crop_map, path, tmp_path)
    assert numbers["unmatched"] == {"tulips": 1}
    assert any("tulips (1)" in w for w in warnings)
    assert any("have no value" in w for w in warnings)


def test_windows_do_not_change_the_counts(crop_map, tmp_path, monkeypatch):
    path = write(tmp_path / "p.gpkg", PARCELS, [1, 1, 2, 3])
    _, whole, _ = run(crop_map, path, tmp_path)
    monkeypatch.setattr("sits_engine.mapping.class_map.BLOCK", 16)
    _, pieces, _ = run(crop_map, path, tmp_path)
    for name in ("confusion", "parcel_confusion", "n_unmapped"):
        assert whole[name] == pieces[name]
    assert pieces["adjusted"]["total_ha"] == pytest.approx(whole["adjusted"]["total_ha"])


def test_map_of_another_program(values, tmp_path):
    path = tmp_path / "foreign.tif"
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=60,
        width=80,
        count=1,
        dtype="int16",
        nodata=-9999,
        crs="EPSG:32631",
        transform=rasterio.transform.from_origin(X, Y, 10, 10),
    ) as image:
        image.write(np.where(values[1] == 0, -9999, values[1] * 10).astype(np.int16), 1)
    result, numbers, _ = run(path, write(tmp_path / "p.gpkg", PARCELS, [10, 10, 20, 30]), tmp_path)
    assert numbers["classes"] == ["10", "20", "30"]
    assert result.scores["parcel_overall_accuracy"] == 1


@pytest.mark.parametrize(
    ("crops", "shapes", "words"),
    [
        (["a", "b"], PARCELS[:2], "No label of p.gpkg, field 'crop' is a class of the map. Labels: a, b."),
        ([1, 2], [box(900, 900, 910, 910)] * 2, "don't overlap"),
        ([1, 2], [box(0, 0, 5, 5), box(1, 1, 4, 4)], "lies on a classified pixel"),
        ([None, None], PARCELS[:2], "is empty for every feature"),
    ],
)
def test_bad_reference(crop_map, tmp_path, crops, shapes, words):
    with pytest.raises(InputError) as caught:
        run(crop_map, write(tmp_path / "p.gpkg", shapes, crops), tmp_path)
    assert words in caught.value.message
    assert not (tmp_path / "r" / "report.html").exists()


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"field": ""}, "FIELD is missing"),
        ({"field": "nothing"}, "no field 'nothing'"),
        ({"reference": "nowhere.gpkg"}, "not found"),
        ({"reference": "nowhere.tif"}, "not found"),
        ({"map": "nowhere.tif"}, "Map not found"),
        ({"map": "p.gpkg"}, "no class map|can't be read|no coordinate"),
    ],
)
def test_bad_input(crop_map, tmp_path, monkeypatch, params, words):
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path / "p.gpkg", PARCELS, [1, 1, 2, 3])
    given = {"map": str(crop_map), "reference": str(path), "field": "crop", "report": "r.html"}
    with pytest.raises(InputError, match=words):
        AssessMap.parse({**given, **params}).run(JobContext())


def test_raster_reference_elsewhere(crop_map, tmp_path):
    other = write_map(tmp_path / "o.tif", np.ones((20, 20)), crs="EPSG:32633")
    with pytest.raises(InputError, match="does not overlap the map"):
        run(crop_map, other, tmp_path, field="")
