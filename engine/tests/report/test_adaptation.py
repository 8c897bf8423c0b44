import json

import numpy as np
import pytest
from support import report_data as examples

from sits_engine.learning.adaptation.summary import Reason, Verdict
from sits_engine.report.adaptation import (
    adaptation_page,
    judgement,
    sentences,
    warnings_of,
    write_adaptation_report,
)

LONG = [
    "permanent grassland with scattered fruit trees",
    "гречиха",
    "cotton",
    "wheat, then a second crop",
    "maize",
]


def test_the_verdict_comes_first_with_its_reasons_and_what_it_is_worth(tmp_path, check_page):
    beside = write_adaptation_report(tmp_path / "a.html", examples.adaptation())
    text = check_page(tmp_path / "a.html")
    places = [
        text.index(part)
        for part in (
            "Verdict: likely better",
            "The adapted model is likely better here",
            "+ All estimators agree",
            "− The share of maize <b>fell</b> to a tenth.",
            "○ The classes keep their shares",
            "no label of the target was used",
            "'Assess map'",
            "shift used",
        )
    ]
    assert places == sorted(places)
    assert 'class="judgement good"' in (tmp_path / "a.html").read_text(encoding="utf-8")
    assert "inception gain 0.42" in text
    numbers = json.loads(beside.read_text(encoding="utf-8"))
    assert numbers["verdict"]["word"] == "better"
    assert numbers["verdict"]["measures"]["drift"] is None
    assert numbers["labelled_for_the_report_only"] is None


@pytest.mark.parametrize(("word", "tone"), [("same", "even"), ("worse", "bad"), ("unclear", "open")])
def test_each_verdict_has_a_colour(word, tone):
    found = judgement(examples.adaptation(verdict=Verdict(word, "Headline.", [Reason(0, "Reason.")])))
    assert (found.tone, found.headline) == (tone, "Headline.")
    assert found.reasons == [(0, "Reason.")]


def test_all_sections_are_there(tmp_path, check_page):
    write_adaptation_report(tmp_path / "a.html", examples.adaptation())
    text = check_page(tmp_path / "a.html")
    for heading in (
        "The shift between",
        "NDVI of each class in the source",
        "How the adaptation went",
        "Shares of the classes",
        "What the adaptation changed",
        "Where it changed",
    ):
        assert heading in text
    assert "In the last epoch 350 of 500 target samples" in text
    assert "3 samples without a place are left out." in text
    assert "гречиха (not found)" in text
    assert "labels that you gave" not in text


def test_sentences_say_what_changed():
    data = examples.adaptation()
    changed = int((data.before != data.after).sum())
    said = " ".join(sentences(data))
    assert "TimeMatch went on training the model of Kashkadarya for 6 epochs" in said
    assert f"{100 * changed / 150:.0f} of 100 samples of the target have another class" in said
    assert "most often гречиха becomes wheat (9 of 51)" in said


def test_nothing_changed_is_said():
    data = examples.adaptation()
    data.after, data.changes = data.before, np.diag(np.bincount(data.before))
    assert "No sample of the target has another class than before." in sentences(data)


def test_shift_alone_has_no_epochs(tmp_path, check_page):
    write_adaptation_report(tmp_path / "a.html", examples.adaptation(method="shift", epochs=[]))
    text = check_page(tmp_path / "a.html")
    assert "it was not trained any further" in text
    assert "How the adaptation went" not in text


def test_a_method_without_shift_says_so_and_repeats_no_warning_on_it():
    edge = examples.shift_curves(peak=60)
    data = examples.adaptation(method="mmd", shift=0, curves=edge, epochs=examples.adapt_epochs(3, 2, False))
    page = adaptation_page(data)
    assert "this run used no shift" in " ".join(page.sentences)
    assert "MMD uses no shift" in " ".join(page.sections[0].texts)
    assert page.warnings == []
    assert len(warnings_of(examples.adaptation(curves=edge))) == 1


@pytest.mark.parametrize(
    ("method", "words"),
    [
        ("timematch", "samples were confident enough to count."),
        ("alda", "samples were confident enough to count."),
        ("mmd", "samples were above the confidence threshold, which MMD does not use."),
    ],
)
def test_pseudo_labels_count_only_where_a_method_learns_from_them(method, words, tmp_path, check_page):
    write_adaptation_report(tmp_path / "a.html", examples.adaptation(method=method))
    assert words in check_page(tmp_path / "a.html")


def test_labels_are_for_the_report_only(tmp_path, check_page):
    write_adaptation_report(tmp_path / "a.html", examples.adaptation(labelled=examples.labelled()))
    text = check_page(tmp_path / "a.html")
    assert "used for this report only: nothing was chosen with them" in text
    assert "macro-F1 goes from 0.40 to 0.70" in text
    assert "7 more have classes that the model doesn't know" in text
    assert "unlike the verdict" not in text


@pytest.mark.parametrize(
    ("word", "before", "after", "side"),
    [
        ("better", 0.7, 0.5, "worse"),
        ("worse", 0.5, 0.7, "better"),
        ("same", 0.5, 0.7, "better"),
        ("same", 0.7, 0.5, "worse"),
        ("better", 0.7, 0.695, ""),
        ("unclear", 0.7, 0.5, ""),
        ("better", float("nan"), 0.5, ""),
    ],
)
def test_labels_that_contradict_the_verdict_are_no_secret(word, before, after, side):
    verdict, check = Verdict(word, "Headline."), examples.labelled(before=before, after=after)
    warnings = warnings_of(examples.adaptation(verdict=verdict, labelled=check))
    assert [f"is {side} than the source model" in text for text in warnings] == ([True] if side else [])


@pytest.mark.parametrize("count", [2, 5, 15])
def test_any_number_of_classes_with_long_names(count, tmp_path, check_page):
    names = [f"{LONG[i % 5]} {i}" for i in range(count)]
    write_adaptation_report(tmp_path / "a.html", examples.adaptation(names, ["#336699"] * count, number=60))
    assert names[0][:15] in check_page(tmp_path / "a.html")


def test_no_place_no_map_and_no_sample_no_matrix(tmp_path, check_page):
    nowhere = examples.adaptation(xy=np.full((150, 2), np.nan))
    assert "Where it changed" not in str(adaptation_page(nowhere))
    write_adaptation_report(tmp_path / "a.html", examples.adaptation(number=0))
    text = check_page(tmp_path / "a.html")
    assert "What the adaptation changed" not in text
    assert "nan" not in text.split()


def test_many_samples_keep_the_page_small(tmp_path, check_page):
    write_adaptation_report(tmp_path / "a.html", examples.adaptation(number=20_000))
    check_page(tmp_path / "a.html")
    assert (tmp_path / "a.html").stat().st_size < 1_500_000
