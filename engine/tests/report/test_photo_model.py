import json
from dataclasses import replace

import numpy as np
import pytest

from sits_engine.learning.timesenclip.scores import Retrieval
from sits_engine.learning.timesenclip.summary import PhotoEpochRow, PhotoReportData
from sits_engine.report.photo_model import (
    nothing_learned,
    photo_model_page,
    sentences,
    write_photo_model_report,
)


def report(**changes) -> PhotoReportData:
    rng = np.random.default_rng(0)
    found = Retrieval(60, (0.25, 0.5, 0.75), (0.35, 0.6, 0.85), 0.45)
    year = Retrieval(60, (0.05, 0.2, 0.3), (0.05, 0.2, 0.3), 0.15)
    data = PhotoReportData(
        title="Photos & <images>",
        provenance={"photos_from": "photos.gpkg"},
        parameters={"masking": "mixed"},
        epochs=[PhotoEpochRow(e, 1e-3, 5.0 / e, 14.3, 0.02 * e, 0.05 * e, 0.04 * e) for e in range(1, 9)],
        best_epoch=6,
        xy=rng.random((300, 2)),
        side=np.repeat([0, 1, 2], [200, 40, 60]),
        split_kind="blocks",
        block_size=2500.0,
        photos_per_place=np.repeat([1, 4, 12], 100),
        months=np.linspace(0, 1, 12),
        masking="Half of the time a place was shown whole.",
        steps={12: found, 1: year},
        n_bands=10,
        context=3,
        n_parameters=8_000_000,
        scale=14.3,
        clip="a clip model",
        seconds=12.0,
        samples_per_second=800.0,
        notes=["12 of 312 places lie outside of the series and were left out."],
        warnings=["Photo left out: a.jpg."],
    )
    return replace(data, **changes)


def test_the_report_holds_what_was_measured(tmp_path, check_page) -> None:
    beside = write_photo_model_report(tmp_path / "r.html", report())
    text = check_page(tmp_path / "r.html")
    for words in (
        "Photos & <images>",
        "How well images and photos find each other on the test places",
        "How training went",
        "Which places were used for what",
        "What it learned from",
        "What these figures can't tell",
        "a clip model, 10 bands, 3 x 3 pixels",
        "The weights of epoch 6 were kept",
        "Half of the time a place was shown whole.",
        "12 of 312 places lie outside",
        "Photo left out: a.jpg.",
        "1 median of the year",
        "9+",
    ):
        assert words in text
    numbers = json.loads(beside.read_text(encoding="utf-8"))
    assert numbers["scores"]["recall_10"] == pytest.approx(0.8)
    assert numbers["places"] == {"training": 200, "validation": 40, "test": 60}
    assert numbers["photos_per_place"] == {"1": 100, "4": 100, "12": 100}
    assert numbers["retrieval"]["1"]["recall"] == [0.05, 0.2, 0.3]
    assert len(numbers["epochs"]) == 8


def test_sentences_say_how_often_and_beside_it_chance() -> None:
    text = " ".join(sentences(report()))
    assert "Among 60 places in parts of the region that training never saw" in text
    assert "at once for 30 of 100 and among the first ten for 80 of 100" in text
    assert "guessing would give 2 of 100 and 17 of 100" in text
    assert "instead of twelve months it is 5 of 100 and 30 of 100" in text
    few = report(side=np.repeat([0, 1, 2], [270, 15, 15]), split_kind="places")
    assert "So few test places (15) say little" in " ".join(sentences(few))
    assert "often beside places that it did see" in " ".join(sentences(few))


def test_without_a_test_nothing_is_claimed() -> None:
    rows = [PhotoEpochRow(1, 1e-3, 4.0, 14.3), PhotoEpochRow(2, 1e-3, 3.0, 14.3)]
    data = report(side=np.zeros(300, np.int64), steps={}, split_kind="none", epochs=rows, best_epoch=2)
    page = photo_model_page(data)
    assert "nothing can be said about how well it works" in " ".join(page.sentences)
    titles = [section.title for section in page.sections]
    assert titles == ["How training went", "What it learned from", "What these figures can't tell"]
    assert np.isnan(data.scores["recall_1"])
    assert data.as_json()["retrieval"] == {}


def test_ten_answers_of_eight_places_are_not_counted() -> None:
    eight = Retrieval(8, (0.625, 1.0, 1.0), (0.625, 1.0, 1.0), 0.8)
    page = photo_model_page(report(side=np.repeat([0, 1, 2], [284, 8, 8]), steps={12: eight, 1: eight}))
    assert [tile.name for tile in page.tiles] == ["places", "photos", "partner found at once"]
    assert "ten" not in " ".join(page.sentences).split()
    assert page.warnings == ["Photo left out: a.jpg."]
    eleven = photo_model_page(report(side=np.repeat([0, 1, 2], [281, 8, 11])))
    assert [tile.note for tile in eleven.tiles][-1] == "chance 90.9 %"


@pytest.mark.parametrize(
    ("test", "recall", "learned"),
    [
        (60, (0.02, 0.08, 0.17), False),
        (60, (0.05, 0.15, 0.25), False),
        (60, (0.05, 0.15, 0.35), True),
        (8, (0.25, 0.625, 1.0), False),
        (8, (0.625, 1.0, 1.0), True),
        (8, (0.0, 0.0, 1.0), False),
    ],
)
def test_a_model_no_better_than_guessing_is_called_so(test, recall, learned) -> None:
    found = Retrieval(test, recall, recall, recall[0])
    data = report(side=np.repeat([0, 1, 2], [290 - test, 10, test]), steps={12: found, 1: found})
    page = photo_model_page(data)
    assert (nothing_learned(data) == []) == learned
    assert any("not learned anything usable" in text for text in page.sentences) != learned
    assert any("then try more places" in text for text in page.warnings) != learned
    assert any("better than this shows" in text for text in page.warnings) == (not learned and test < 50)
    assert nothing_learned(report(steps={})) == []
