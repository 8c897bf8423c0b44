import json
import re
from dataclasses import replace

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
    labels = numbers["pixel_labels"]
    assert labels["confusion"]["counts"] == data.truth.confusion.tolist()
    assert [labels[one]["miou"] for one in ("scores", "not_sharpened", "plain_cam_not_sharpened")] == [
        *(0.71, 0.61, 0.44),
    ]
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
    assert "0.85 over 3 of 4 crops" in said
    assert (
        "85 of 100 have the right label; mean IoU 0.71. Before sharpening it was 0.61; plain CAM of the same "
        "network, not sharpened either, has 0.44."
    ) in said
    assert "wheat taken for background (400 of 6110)" in said


@pytest.mark.parametrize(
    ("unsharpened", "plain", "rows", "sentence"),
    [
        (
            0.61,
            0.44,
            ["masks", "masks, not sharpened", "plain CAM, not sharpened"],
            "not sharpened either, has 0.44.",
        ),
        (0.61, None, ["masks", "masks, not sharpened (plain CAM)"], "mean IoU 0.71, before sharpening 0.61."),
        (None, 0.44, ["masks", "plain CAM, not sharpened"], "0.71, of plain CAM of the same network 0.44."),
        (None, None, ["masks"], "mean IoU 0.71."),
    ],
)
def test_like_stands_beside_like_and_nothing_twice(unsharpened, plain, rows, sentence) -> None:
    data = pseudo_masks(thumbnails=[], epochs=[])
    before, cam = (None if one is None else {"miou": one} for one in (unsharpened, plain))
    data.truth = replace(data.truth, unsharpened=before, plain=cam)
    sections = {section.title: section.items for section in pseudo_mask_page(data).sections}
    (against,) = (items for title, items in sections.items() if title.startswith("Masks against"))
    assert [row[0] for row in against[0].rows] == rows
    assert sentence in " ".join(sentences(data))
    table = sections["Ticks and masks"][1]
    heads = [column.name for column in table.columns]
    assert ("IoU, not sharpened" in heads, "IoU, plain CAM" in heads) == (before is not None, cam is not None)
    assert all(len(row) == len(heads) for row in table.rows)


def test_why_a_crop_has_no_average_precision() -> None:
    data = pseudo_masks(thumbnails=[], epochs=[])
    data.classes[1] = replace(data.classes[1], average_precision=None, held=22)
    page = pseudo_mask_page(data)
    table = next(s for s in page.sections if s.title == "Ticks and masks").items[1]
    column = [c.name for c in table.columns].index("average precision")
    assert [row[column] for row in table.rows] == ["0.93", "in all", "in none", "0.71", "–"]
    assert "there is nothing to rank" in table.caption
    assert any(tile.note.startswith("mean over 2 of 4 crops") for tile in page.tiles)


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


@pytest.mark.parametrize("n", [0, 1, 4, 7, 13])
def test_windows_with_any_number_of_ticks(n) -> None:
    """All maps are shown; a window without a tick says so."""
    one = thumbnail(3, truth=n % 2 == 0)
    names = [f"crop {i}" for i in range(n)]
    one.activations = [replace(one.activations[0], name=name) for name in names]
    drawn = masks.mask_windows("m", [shown(one)], NAMES, ["#112233"] * 5, 0.3)
    assert ("ticked" in drawn.split("score of a ticked crop")[0]) == (n == 0)
    assert [name for name in names if f">{name}<" in drawn] == names
    assert (">truth<" in drawn) == (n % 2 == 0)
    assert ">mask<" in drawn


def test_windows_are_left_out_before_maps_are(tmp_path, check_page) -> None:
    many = thumbnail(3)
    many.activations = [replace(many.activations[0], name=f"crop {i}") for i in range(25)]
    few = thumbnail(1, ticked=[0, 1])
    drawn = [shown(one) for one in (few, many, few, many, few)]
    # 25 maps take five lines
    assert masks.fitting(drawn) == [drawn[i] for i in (0, 1, 2, 4)]
    assert masks.fitting([shown(replace(many, activations=many.activations * 3))] * 2)[1:] == []
    write_pseudo_mask_report(tmp_path / "m.html", pseudo_masks(thumbnails=[few, many, many]))
    text = check_page(tmp_path / "m.html")
    assert "mask and truth of 2 windows" in (tmp_path / "m.html").read_text("utf-8")
    assert "crop 24" in text


def test_counts_have_whole_numbers_at_the_axis() -> None:
    drawn = masks.counts("c", [1, 2, 3], ["0", "1", "2"], "Polygons", "ticks")
    marks = re.findall(r">([\d.]+)</", drawn)
    assert sorted(set(marks)) == ["0", "1", "2", "3"]
    assert len(marks) == 3 + 4


def test_a_flat_map_has_no_line_of_the_threshold() -> None:
    one = thumbnail(2, ticked=[0])
    one.activations[0].values[:] = 0.1
    assert masks.mask_windows("m", [shown(one)], NAMES, ["#112233"] * 5, 0.3)


def test_curves_of_one_epoch() -> None:
    rows = pseudo_masks().epochs[:1]
    assert "Average precision" in exact_curves.exact_curves("c", rows, None)
