import json
from dataclasses import replace

import numpy as np
import pytest
from support.mask_data import NAMES, pseudo_masks, thumbnail

from sits_engine.learning.exact.refine import RefineSettings
from sits_engine.report.plots import exact_curves, masks
from sits_engine.report.pseudo_masks import doubts, pseudo_mask_page, sentences, write_pseudo_mask_report


def test_the_report_holds_what_was_measured(tmp_path, check_page) -> None:
    data = pseudo_masks()
    beside = write_pseudo_mask_report(tmp_path / "m.html", data)
    text = check_page(tmp_path / "m.html")
    for heading in (
        "From ticks to masks",
        "Ticks and masks",
        "How much was ticked",
        "How a pixel gets its label",
        "Masks against pixel labels (for the report only)",
        "How training went",
        "What these masks can't tell",
    ):
        assert heading in text
    assert "maize <b>&</b> $x$" in text
    assert data.threshold_words in text
    assert "is 0.30" in text
    assert "3 windows reach out of the images." in text
    numbers = json.loads(beside.read_text(encoding="utf-8"))
    assert numbers["threshold"] == {"value": 0.3, "chosen": data.threshold_words}
    assert numbers["pixel_labels"]["confusion"]["counts"] == data.truth.confusion.tolist()
    assert [row["name"] for row in numbers["classes"]] == NAMES


def test_without_pixel_labels_nothing_is_claimed(tmp_path, check_page) -> None:
    data = pseudo_masks(truth=False)
    beside = write_pseudo_mask_report(tmp_path / "m.html", data)
    text = check_page(tmp_path / "m.html")
    assert "How many pixels are right is not known" in text
    for word in ("IoU", "right label", "against pixel labels", "truth"):
        assert word not in text
    assert "pixel_labels" not in json.loads(beside.read_text(encoding="utf-8"))


def test_sentences_name_scores_and_what_they_are_worth() -> None:
    data = pseudo_masks(unlabelled=13_285)
    said = " ".join(sentences(data))
    assert "482 ticks in 220 polygons" in said
    assert "10 % of the pixels inside of the polygons were left unlabelled" in said
    assert "wheat best (0.93), meadow least (0.71)" in said
    assert "85 of 100 have the right label; mean IoU 0.71, of plain CAM from the same network 0.44" in said
    assert "wheat taken for background (400 of 6110)" in said


def test_windows_that_look_alike_are_two_pictures(tmp_path, check_page) -> None:
    """Ids on the page stay unique."""
    write_pseudo_mask_report(tmp_path / "m.html", pseudo_masks(thumbnails=[thumbnail(1)] * 2))
    check_page(tmp_path / "m.html")


def test_what_the_numbers_warn_of() -> None:
    data = pseudo_masks()
    assert [text.split(":")[0] for text in doubts(data)] == [
        "meadow",
        "Ticked in fewer than 15 polygons, learned badly at best",
    ]
    data.classes[0] = replace(data.classes[0], pixels=0)
    lost = doubts(data)[0]
    assert lost.startswith("Ticked, but in no mask: wheat.")
    assert lost.endswith("Other classes won all of its pixels.")
    for row in data.classes[:-1]:
        row.ticked, row.pixels = 100, 5
    assert doubts(data) == []
    data.warnings = ["from the run"]
    assert list(pseudo_mask_page(data).warnings) == ["from the run"]


def test_labels_that_dont_tell_background_say_so(tmp_path, check_page) -> None:
    data = pseudo_masks(thumbnails=[])
    data.truth = replace(data.truth, background=False)
    write_pseudo_mask_report(tmp_path / "m.html", data)
    text = check_page(tmp_path / "m.html")
    assert "don't say where none of the crops grows" in text
    assert "From ticks to masks" not in text


def test_nothing_held_out_no_curve_no_precision(tmp_path, check_page) -> None:
    data = pseudo_masks(truth=False, n_held=0, contrast_from=None, thumbnails=[])
    for row in data.epochs:
        row.validation_map_macro = row.validation_map_micro = row.contrast = row.affinity = None
    write_pseudo_mask_report(tmp_path / "m.html", data)
    text = check_page(tmp_path / "m.html")
    for words in ("precision", "dashed line", "Further parts"):
        assert words not in text
    assert "no curve chose anything" in text


def test_sharpened_masks_are_called_so(tmp_path, check_page) -> None:
    for refine in (True, False):
        data = pseudo_masks(epochs=[], thumbnails=[thumbnail(1)], parameters={"refine": refine})
        write_pseudo_mask_report(tmp_path / "m.html", data)
        text = check_page(tmp_path / "m.html")
        assert ("The masks were then sharpened" in text) == refine
        assert ("Then the masks were sharpened, see below." in text) == refine
        assert ("less than a quarter of its pixels keeps those" in text) == refine
    assert RefineSettings().least_kept == 0.25


def test_plain_maps_without_affinity_are_called_so(tmp_path, check_page) -> None:
    write_pseudo_mask_report(
        tmp_path / "m.html", pseudo_masks(maps="plain", affinity=False, epochs=[], thumbnails=[])
    )
    text = check_page(tmp_path / "m.html")
    assert "plain CAM, for comparison" in text
    assert "affinity propagation was off" in text
    assert "How training went" not in text


def shown(one) -> masks.MaskPictures:
    maps = [(a.name, a.color, a.values) for a in one.activations]
    return masks.MaskPictures(one.title, one.picture, one.picture_words, maps, one.mask, one.truth)


@pytest.mark.parametrize("n", [0, 1, 4, 7])
def test_windows_with_any_number_of_ticks(n) -> None:
    """Further crops than fit are counted; a window without a tick says so."""
    one = thumbnail(3, truth=n % 2 == 0)
    names = [f"crop {i}" for i in range(n)]
    one.activations = [replace(one.activations[0], name=name) for name in names]
    drawn = masks.mask_windows("m", [shown(one)], NAMES, ["#112233"] * 5, 0.3)
    assert ("ticked" in drawn.split("score of a ticked crop")[0]) == (n == 0)
    assert [name for name in names if name in drawn] == names[: masks.MOST]
    assert ("+3 more)" in drawn) == (n == 7)
    assert (">truth<" in drawn) == (n % 2 == 0)


def test_of_many_crops_those_of_most_pixels_are_shown(tmp_path, check_page) -> None:
    one = thumbnail(3)
    base = one.activations[0]
    one.activations = [replace(base, name=f"crop {i}") for i in range(4)] + [replace(base, name="meadow")]
    one.mask = np.full_like(one.mask, 3)  # meadow everywhere
    write_pseudo_mask_report(tmp_path / "m.html", pseudo_masks(thumbnails=[one]))
    text = check_page(tmp_path / "m.html")
    assert "crop 2" in text
    assert "crop 3" not in text


def test_a_flat_map_has_no_line_of_the_threshold() -> None:
    one = thumbnail(2, ticked=[0])
    one.activations[0].values[:] = 0.1
    assert masks.mask_windows("m", [shown(one)], NAMES, ["#112233"] * 5, 0.3)


def test_curves_of_one_epoch() -> None:
    rows = pseudo_masks().epochs[:1]
    assert "Average precision" in exact_curves.exact_curves("c", rows, None)
