import json

import numpy as np
from support import report_data as examples

from sits_engine.report.training import sentences, training_page, write_training_report


def test_the_report_holds_what_was_measured(tmp_path, check_page):
    path = tmp_path / "training.html"
    beside = write_training_report(path, examples.training())
    text = check_page(path)
    assert "84 of 100" in text  # 84 of the 100 test parcels lie on the diagonal
    assert "maize <b>&</b> $x$" in text
    assert "гречиха" in text
    for heading in (
        "How well it does",
        "NDVI of each class",
        "used for what",
        "can be trusted",
        "training went",
    ):
        assert heading in text
    assert "3 parcels were too small." in text
    numbers = json.loads(beside.read_text(encoding="utf-8"))
    assert numbers["confusion"]["counts"] == examples.CONFUSION.tolist()
    assert numbers["profiles"]["mean"][-1][2] == [None, None]


def test_sentences_name_best_worst_and_the_most_frequent_mistake():
    words = " ".join(sentences(examples.training()))
    assert "On 100 parcels in parts of the region that training never saw" in words
    assert "between 76 and 90" in words  # Wilson's interval of 84 in 100
    assert "knows гречиха best" in words
    assert "maize <b>&</b> $x$ least" in words
    assert "maize <b>&</b> $x$ taken for wheat (8 of 40)" in words
    assert "by 3.4 percentage points on average on the test parcels" in words


def test_a_random_split_is_called_what_it_is():
    words = " ".join(sentences(examples.training(split_kind="parcels", block_size=None)))
    assert "may lie beside training parcels" in words
    assert "parts of the region" not in words


def test_few_or_no_test_parcels_are_said():
    few = examples.CONFUSION.copy()
    few[2] = [0, 0, 4]
    few[0] = 0
    words = " ".join(sentences(examples.training(confusion=few)))
    assert "Fewer than ten test parcels stand behind the figures of гречиха" in words
    assert "No test parcels were there for wheat" in words


def test_one_test_parcel_gives_no_figures(tmp_path, check_page):
    one = np.zeros((3, 3), dtype=int)
    one[1, 1] = 1
    nothing = examples.reliability(float("nan"))
    nothing.counts[:] = 0
    data = examples.training(confusion=one, scores={"macro_f1": float("nan")}, reliability_after=nothing)
    for row in data.classes:
        row.precision = row.recall = row.f1 = None
    beside = write_training_report(tmp_path / "r.html", data)
    text = check_page(tmp_path / "r.html")
    assert "Only 1 parcel could be held out for a test" in text
    assert "or split by parcels" in text
    assert "100 of 100" not in text
    assert "Confusion matrix" not in text
    assert json.loads(beside.read_text(encoding="utf-8"))["scores"] == {"macro_f1": None}


def test_the_map_shows_what_is_right_and_what_is_wrong(tmp_path, check_page):
    places = np.column_stack([np.linspace(4, 5, 9), np.linspace(50, 51, 9)])
    labels = np.array([0, 1, 2] * 3)
    split = np.array([0, 0, 0, 1, 1, 2, 2, 2, 2])
    predicted = np.where(split == 2, np.array([0, 1, 2, 0, 1, 2, 0, 2, 1]), -1)
    data = examples.training(xy=places, labels=labels, split=split, predicted=predicted)
    assert data.right[split == 2].tolist() == [True, True, False, False]
    write_training_report(tmp_path / "r.html", data)
    assert "Crosses: the model took them for another class" in check_page(tmp_path / "r.html")


def test_labelled_series_are_called_samples():
    data = examples.training(provenance={"labelled_series": "sinop.csv"}, notes=[])
    assert "On 100 samples" in " ".join(sentences(data))
    page = str(training_page(data))
    assert "Test samples" in page
    assert "parcels" not in page


def test_nothing_to_test_with_is_no_crash(tmp_path, check_page):
    path = tmp_path / "r.html"
    none = np.zeros((3, 3), dtype=int)
    empty = examples.reliability()
    empty.counts[:] = 0
    data = examples.training(
        confusion=none,
        scores={"macro_f1": float("nan")},
        epochs=[],
        xy=np.full((3, 2), np.nan),
        reliability_after=empty,
    )
    write_training_report(path, data)
    text = check_page(path)
    assert "nothing can be said about the accuracy" in text
    assert "training went" not in text


def test_thirty_classes(tmp_path, check_page):
    path = tmp_path / "r.html"
    names = [f"class {i}" for i in range(30)]
    confusion = np.full((30, 30), 1) + 20 * np.eye(30, dtype=int)
    write_training_report(path, examples.training(names, ["#336699"] * 30, confusion))
    assert "class 29" in check_page(path)
    assert path.stat().st_size < 2_000_000
