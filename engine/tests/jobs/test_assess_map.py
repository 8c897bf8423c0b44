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
    # no random sample: nothing adjusted, but the areas on the map and the way out
    assert numbers["adjusted"] is None
    assert not [name for name in result.scores if name.startswith("adjusted")]
    assert "Create validation sample" in numbers["not_adjusted"]
    assert numbers["mapped_ha"] == pytest.approx(list(np.bincount(mapped.ravel(), minlength=4)[1:] / 100))
    with open(result.outputs["confusion"], encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert rows[0][1:] == list(CLASSES)
    assert [[int(v) for v in row[1:]] for row in rows[1:]] == matrix.tolist()
    page = (tmp_path / "r" / "report.html").read_text(encoding="utf-8")
    assert "maïs" in page
    assert "Areas as counted on the map" in page
    assert "area-adjusted" not in page
    assert "±" not in page
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
    labels = [CLASSES[i - 1] for i in truth[rows, cols]]
    result, numbers, _ = run(crop_map, write(tmp_path / "plain.gpkg", points, labels), tmp_path)
    assert numbers["adjusted"] is None
    area_of = np.bincount(mapped.ravel(), minlength=4) / 100
    design = {
        "id": range(150), "stratum": mapped[rows, cols], "stratum_ha": area_of[mapped[rows, cols]],
    }  # fmt: skip
    path = write(tmp_path / "p.gpkg", points, labels, **design)
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


def test_what_the_map_cannot_show_is_its_mistake_for_random_points(crop_map, values, tmp_path):
    truth, mapped = values
    rng = np.random.default_rng(5)
    rows, cols = np.nonzero(mapped)
    chosen = rng.choice(len(rows), 200, replace=False)
    rows, cols = rows[chosen], cols[chosen]
    labels = np.array(CLASSES, object)[truth[rows, cols] - 1]
    labels[:20], labels[20] = "f", "wheet"
    area_of = np.bincount(mapped.ravel(), minlength=4) / 100
    stratum = mapped[rows, cols]
    points = [shapely.Point(X + 10 * c + 5, Y - 10 * r - 5) for r, c in zip(rows, cols, strict=True)]
    path = write(
        tmp_path / "p.gpkg", points, labels, id=range(200), stratum=stratum, stratum_ha=area_of[stratum]
    )
    (tmp_path / "t.csv").write_text("code,class\nf,forest\n", encoding="utf-8")
    result, numbers, warnings = run(crop_map, path, tmp_path, class_table=str(tmp_path / "t.csv"))
    assert numbers["other_classes"] == ["forest", "wheet"]
    matrix = np.array(numbers["confusion"])
    assert matrix.shape == (3, 5)
    assert matrix[:, 3:].sum(axis=0).tolist() == [20, 1]
    assert result.scores["n"] == 200
    right = labels == np.array(CLASSES, object)[stratum - 1]
    assert result.scores["overall_accuracy"] == pytest.approx(right.mean())
    share = sum(area_of[i] * right[stratum == i].mean() for i in (1, 2, 3)) / area_of[1:].sum()
    assert result.scores["adjusted_overall_accuracy"] == pytest.approx(share)
    forest = numbers["adjusted"]["other_classes"][0]
    expected = sum(area_of[i] * (labels == "f")[stratum == i].mean() for i in (1, 2, 3))
    assert forest["name"] == "forest"
    assert forest["area_ha"]["value"] == pytest.approx(expected)
    assert 0 < forest["area_ha"]["half_width"] < expected
    whole = [
        c["area_ha"]["value"] for part in ("classes", "other_classes") for c in numbers["adjusted"][part]
    ]
    assert sum(whole) == pytest.approx(area_of[1:].sum())
    said = " ".join(warnings)
    assert "count as mistakes" in said
    assert "'wheet' looks like 'wheat'" in said
    assert "class table" in said
    with open(result.outputs["confusion"], encoding="utf-8") as file:
        assert next(csv.reader(file))[1:] == [*CLASSES, "forest", "wheet"]
    page = (tmp_path / "r" / "report.html").read_text(encoding="utf-8")
    assert "forest (not on the map)" in page
    assert "21 reference points are of classes that the map doesn&#39;t have" in page.replace(
        "&#x27;", "&#39;"
    )


def test_what_the_map_cannot_show_is_its_mistake_in_a_raster(crop_map, values, tmp_path):
    truth, mapped = values
    path = tmp_path / "truth.tif"
    other = np.where(np.arange(80) < 10, 9, truth).astype(np.uint8)
    profile = {"driver": "GTiff", "height": 60, "width": 80, "count": 1, "dtype": "uint8", "nodata": 0}
    transform = rasterio.transform.from_origin(X, Y, 10, 10)
    with rasterio.open(path, "w", crs="EPSG:32631", transform=transform, **profile) as image:
        image.write(other, 1)
    (tmp_path / "t.csv").write_text("code,class\n9,forest\n", encoding="utf-8")
    result, numbers, warnings = run(crop_map, path, tmp_path, field="", class_table=str(tmp_path / "t.csv"))
    known = mapped > 0
    assert numbers["other_classes"] == ["forest"]
    assert np.array(numbers["confusion"])[:, 3].sum() == (known & (other == 9)).sum()
    assert result.scores["overall_accuracy"] == pytest.approx((mapped == other)[known].mean())
    assert result.scores["adjusted_overall_accuracy"] == pytest.approx((mapped == other)[known].mean())
    assert numbers["n_unmapped"] == 0
    assert any("forest (" in w and "mistakes" in w for w in warnings)


def test_windows_do_not_change_the_counts(crop_map, tmp_path, monkeypatch):
    path = write(tmp_path / "p.gpkg", PARCELS, [1, 1, 2, 3])
    _, whole, _ = run(crop_map, path, tmp_path)
    monkeypatch.setattr("sits_engine.mapping.class_map.BLOCK", 16)
    _, pieces, _ = run(crop_map, path, tmp_path)
    for name in ("confusion", "parcel_confusion", "n_unmapped"):
        assert whole[name] == pieces[name]
    assert pieces["mapped_ha"] == pytest.approx(whole["mapped_ha"])


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
