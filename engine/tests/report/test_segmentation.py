import json
import re

import numpy as np
import pytest
from support.report_data import COLORS, NAMES, profiles
from support.segmentation_data import example, segmentation

from sits_engine.report import words
from sits_engine.report.plots import windows
from sits_engine.report.segmentation import segmentation_page, sentences, write_segmentation_report


def test_the_report_holds_what_was_measured(tmp_path, check_page):
    data = segmentation()
    beside = write_segmentation_report(tmp_path / "s.html", data)
    text = check_page(tmp_path / "s.html")
    for heading in (
        "Truth beside map",
        "How well it draws borders",
        "How well it does on each class",
        "What the network takes for alike",
        "can be trusted",
        "used for what",
        "How training went",
    ):
        assert heading in text
    assert "maize <b>&</b> $x$" in text
    assert "row 48, column 96" in text
    assert "3 windows held no label." in text
    assert f"{data.borders[0].f1:.3f}" in text
    numbers = json.loads(beside.read_text(encoding="utf-8"))
    assert numbers["confusion"]["counts"] == data.confusion.tolist()
    assert [row["zone"] for row in numbers["zones"]] == ["all", "boundary", "interior"]
    assert numbers["borders"][1]["distance"] == 2
    assert numbers["scores"]["boundary_f1_1px"] == pytest.approx(data.borders[0].f1, abs=1e-6)
    assert len(numbers["pretraining"]) == 7


def test_profiles_are_shown_where_there_are_some(tmp_path, check_page):
    data = segmentation(examples=[])
    write_segmentation_report(tmp_path / "without.html", data)
    assert "over the season" not in check_page(tmp_path / "without.html")
    data.profiles = profiles(len(data.classes))
    beside = write_segmentation_report(tmp_path / "with.html", data)
    text = check_page(tmp_path / "with.html")
    assert "What it saw: NDVI of each class over the season" in text
    assert "clear labelled pixels for training" in text
    assert json.loads(beside.read_text(encoding="utf-8"))["profiles"] == data.profiles.as_json()


def test_sentences_say_borders_and_insides():
    data = segmentation()
    said = " ".join(sentences(data))
    border = next(row for row in data.zones if row.zone == "boundary")
    assert border.accuracy < 0.9  # the made-up map is wrong at borders only
    assert f"At borders it is right for {100 * border.accuracy:.0f} of 100, inside of fields for 100" in said
    assert f"{100 * data.borders[0].precision:.0f} % of the map's borders within one pixel" in said
    assert "on land that training never saw" in said
    assert "expect less elsewhere" in said


def test_border_f1_stands_beside_precision_and_recall(tmp_path, check_page):
    data = segmentation(examples=[])
    near = data.borders[0]
    tile = next(tile for tile in segmentation_page(data).tiles if tile.name == "border F1, 1 pixel")
    assert tile.note.startswith(f"precision {near.precision:.2f}, recall {near.recall:.2f}; within 2 pixels ")
    write_segmentation_report(tmp_path / "s.html", data)
    said = f"The map has {words.count(near.found)} border pixels, the truth {words.count(near.true)}."
    assert " ".join(said.split()) in check_page(tmp_path / "s.html")


@pytest.mark.parametrize(
    ("provenance", "heading"),
    [
        ({"parcels": ["fields.gpkg"], "labels": []}, "parcels"),
        ({"parcels": [], "labels": ["truth.tif"]}, "patches"),
        ({"data_sets": [{"name": "w.zarr"}]}, "parcels or patches"),
    ],
)
def test_what_a_label_raster_holds_is_not_called_parcels(provenance, heading):
    page = segmentation_page(segmentation(examples=[], provenance=provenance))
    section = next(s for s in page.sections if s.title == "How well it does on each class")
    table = section.items[-1]
    assert table.columns[1].name == heading
    assert ("connected pixels" in table.caption) == (heading != "parcels")


def test_a_split_inside_windows_is_called_what_it_is(tmp_path, check_page):
    data = segmentation(split_kind="tiles", block_size=None, examples=[])
    said = " ".join(sentences(data))
    assert "often in the same field" in said
    assert "land that training never saw" not in said
    write_segmentation_report(tmp_path / "s.html", data)
    assert "Every window was cut into tiles" in check_page(tmp_path / "s.html")


def test_without_pretraining_nothing_is_said_of_a_first_stage(tmp_path, check_page):
    write_segmentation_report(tmp_path / "s.html", segmentation(pretraining=[], examples=[]))
    text = check_page(tmp_path / "s.html")
    assert "stage" not in text
    assert "Contrastive" not in text


def test_a_finer_model_names_its_pixels(tmp_path, check_page):
    data = segmentation(scale=2, examples=[])
    write_segmentation_report(tmp_path / "s.html", data)
    assert "pixels of 5 m (2 times finer than the images)" in check_page(tmp_path / "s.html")
    assert "2 pixels (10 m)" in check_page(tmp_path / "s.html")


def test_nothing_to_test_gives_a_page_that_says_so(tmp_path, check_page):
    data = segmentation()
    rows = data.classes
    for row in rows:
        row.iou = row.f1 = row.precision = row.recall = None
        row.pixels["test"] = 0
    nan = float("nan")
    for zone in data.zones:
        zone.pixels, zone.accuracy, zone.miou, zone.macro_f1 = 0, nan, nan, nan
    for border in data.borders:
        border.precision = border.recall = border.f1 = nan
    for epoch in data.epochs:
        epoch.validation_loss, epoch.validation_miou, epoch.validation_accuracy = nan, 0.0, 0.0
    for step in data.pretraining:
        step.validation_loss = step.positive = step.negative = nan
    data.reliability_after.counts[:] = 0
    data.examples.clear()
    data.confusion = np.zeros_like(data.confusion)
    data.scores = {"miou": nan, "accuracy": nan}
    data.xy = np.full_like(data.xy, nan)
    data.pixel_size = None
    write_segmentation_report(tmp_path / "s.html", data)
    text = check_page(tmp_path / "s.html")
    assert "nothing can be said about the accuracy" in text
    assert "Truth beside map" not in text
    assert "can be trusted" not in text
    assert not re.search(r"\bnan\b", text)


def pictures(one):
    shown = windows.WindowPictures(**vars(one))
    return windows.class_windows("a", [shown], NAMES, COLORS)


def test_pictures_show_the_mistakes_and_stay_small():
    one, right, large = example(1), example(1), example(1)
    right.found = np.where(right.truth < 0, 0, right.truth).astype(np.int16)
    assert pictures(one) == pictures(example(1))
    assert pictures(one) != pictures(right)
    for name in ("truth", "found", "similarity"):
        setattr(large, name, np.tile(getattr(large, name), (40, 40)))  # 1920 pixels
    assert len(pictures(large)) < 600_000


def test_similarity_that_is_not_known_is_left_out():
    one = windows.WindowPictures(**vars(example(1)))
    one.similarity[:] = np.nan
    assert "<svg" in windows.similarity_windows("a", [one], COLORS)
    data = segmentation(examples=[example(2)])
    data.examples[0].similarity[:] = np.nan
    assert "What the network takes for alike" not in [s.title for s in segmentation_page(data).sections]
