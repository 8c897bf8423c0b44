"""The demo's second act: labels of B only assess, a map that isn't better is a defect; its picture."""

import importlib.util
import json

import demo
import layout
import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.transform import from_origin

pictures_of = importlib.util.spec_from_file_location("pictures", layout.ROOT / "tools/tutorial_pictures.py")
pictures = importlib.util.module_from_spec(pictures_of)
pictures_of.loader.exec_module(pictures)

SCORES = {
    "assessment": 0.83,
    "forest_assessment": 0.82,
    "b_source_assessment": 0.5,
    "b_adapted_assessment": 0.7,
}


class Pretended(demo.Demo):
    """Writes down what would run; assessments leave the numbers of `scores`."""

    scores = SCORES

    def algorithm(self, name, **values):
        self.ran.append((name, values))
        if name == "assessmap":
            report = values["REPORT"]
            numbers = json.dumps({"macro_f1": self.scores[report.stem]})
            report.with_name(f"{report.stem}_numbers.json").write_text(numbers, encoding="utf-8")

    def script(self, path, *arguments):
        assert (layout.ROOT / path).is_file()
        self.ran.append((path, arguments))


@pytest.fixture
def pretend(tmp_path, monkeypatch):
    """Runs the demo with the given scores in place of measured ones; returns (status, what ran)."""

    def run(**scores):
        monkeypatch.setattr(demo, "Demo", Pretended)
        monkeypatch.setattr(Pretended, "scores", SCORES | scores)
        monkeypatch.setattr(Pretended, "ran", [], raising=False)
        folders = ("--folder", tmp_path / "demo", "--home", tmp_path / "home", "--stage", tmp_path / "stage")
        monkeypatch.setattr("sys.argv", ["demo.py", *map(str, folders)])
        return demo.main(), Pretended.ran

    return run


def test_labels_of_the_second_region_go_to_the_assessment_alone(pretend, tmp_path):
    _, ran = pretend()
    labelled = tmp_path / "demo/data/region_b/parcels.gpkg"
    readers = {name for name, values in ran if labelled in (values if "/" in name else values.values())}
    assert readers == {"native:retainfields", "assessmap"}
    kept = next(values for name, values in ran if name == "native:retainfields")
    adapted = next(values for name, values in ran if name == "adapttoregion")
    assert kept["FIELDS"] == "id"  # 'code' is the crop as well
    assert adapted["TARGET_PARCELS"] == kept["OUTPUT"]
    assert "TARGET_FIELD" not in adapted


def test_both_maps_are_made_and_judged_alike(pretend, tmp_path):
    _, ran = pretend()
    out = tmp_path / "demo"
    maps = [values for name, values in ran if name == "mapcrops"][1:]
    assert [one["MODEL"] for one in maps] == [out / "model.safetensors", out / "adapted.safetensors"]
    judged = [values for name, values in ran if name == "assessmap"][2:]
    assert [one["MAP"] for one in judged] == [one["OUTPUT"] for one in maps]
    for things, same in ((maps, ("SERIES", "REGION")), (judged, ("REFERENCE", "FIELD"))):
        assert all(things[0][key] == things[1][key] for key in same)


def test_scores_and_reports_are_told(pretend, capsys, tmp_path):
    status, _ = pretend()
    said = capsys.readouterr().out
    assert status == 0
    assert "source model 0.500, adapted model 0.700" in said
    for name in ("b_source_assessment.html", "b_adapted_assessment.html", "adaptation.html"):
        assert str(tmp_path / "demo" / name) in said


@pytest.mark.parametrize("adapted", [0.3, 0.5])
def test_an_adapted_map_that_is_not_better_is_a_defect(pretend, capsys, adapted):
    status, _ = pretend(b_adapted_assessment=adapted)
    assert status == 1
    assert "isn't better than the source model's: this is a defect" in capsys.readouterr().err


def test_a_map_below_the_forest_is_a_defect_as_before(pretend, capsys):
    status, _ = pretend(assessment=0.7)
    assert status == 1
    assert "random forest's macro-F1: this is a defect" in capsys.readouterr().err


def write(path, values, west=500_000, north=100, **tags):
    """A class raster of 10 m pixels."""
    options = {"driver": "GTiff", "dtype": "uint8", "count": 1, "nodata": 0, "crs": 32631}
    transform = from_origin(west, north, 10, 10)
    height, width = values.shape
    with rasterio.open(path, "w", height=height, width=width, transform=transform, **options) as image:
        image.write(values.astype(np.uint8), 1)
        image.update_tags(1, **tags)
    return path


def test_truth_is_told_in_the_classes_of_the_model(tmp_path):
    tags = {"class_1": "wheat", "class_2": "maize", "class_3": "forest"}
    truth = write(tmp_path / "truth.tif", np.array([[1, 2], [3, 0]]), **tags)
    np.testing.assert_array_equal(pictures.truth_in_classes(truth, ["maize", "wheat"]), [[2, 1], [0, 0]])


def test_a_map_is_drawn_at_its_place(tmp_path):
    truth = write(tmp_path / "truth.tif", np.ones((4, 5)))
    inside = write(tmp_path / "map.tif", np.full((2, 2), 7), west=500_020, north=90)
    expected = np.zeros((4, 5))
    expected[1:3, 2:4] = 7
    np.testing.assert_array_equal(pictures.on_grid(inside, truth), expected)


@pytest.mark.parametrize(("west", "message"), [(500_005, "pixels"), (500_040, "beyond"), (499_990, "beyond")])
def test_a_map_of_another_place_is_an_error(tmp_path, west, message):
    truth = write(tmp_path / "truth.tif", np.ones((4, 5)))
    with pytest.raises(SystemExit, match=message):
        pictures.on_grid(write(tmp_path / "map.tif", np.ones((2, 2)), west=west), truth)


def test_a_picture_that_is_too_large_is_an_error(tmp_path, monkeypatch):
    full = tmp_path / "full.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(full)
    pictures.shrink(full, tmp_path / "small.png")
    with Image.open(tmp_path / "small.png") as image:
        assert image.mode == "P"
    monkeypatch.setattr(pictures, "LARGEST", 1000)
    with pytest.raises(SystemExit, match="more than 1000"):
        pictures.shrink(full, tmp_path / "small.png")


def test_without_a_browser_the_picture_stays(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("SITS_CHROMIUM", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    pictures.photograph(tmp_path / "report.html", tmp_path / "picture.png")
    assert "no Chromium" in capsys.readouterr().out
    assert not (tmp_path / "picture.png").exists()
