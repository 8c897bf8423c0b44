import csv
import json

import numpy as np
import pytest
from support import report_data as examples

from sits_engine.errors import EngineError
from sits_engine.report.comparison import (
    comparison_page,
    sentences,
    write_comparison_report,
    write_comparison_table,
)


def test_the_best_method_comes_first_between_its_bounds(tmp_path, check_page):
    data = examples.comparison()
    beside = write_comparison_report(tmp_path / "c.html", data)
    text = check_page(tmp_path / "c.html")
    assert "TimeMatch does best: macro-F1 0.62 ± 0.02 (mean and deviation of 3 seeds)" in text
    assert "against 0.19 without adaptation and 0.93 with labels of the target" in text
    assert "It closes 58 % of the gap" in text  # (0.6195 - 0.1937) / (0.9337 - 0.1937)
    assert "DANN and ALDA did worse than no adaptation" in text
    assert "Source only (no adaptation) · bound" in text
    assert "TimeMatch · best" in text
    numbers = json.loads(beside.read_text(encoding="utf-8"))
    assert len(numbers["rows"]) == 30
    assert [row["method"] for row in numbers["summary"]] == list(examples.METHOD_SCORES)


def test_the_table_holds_a_row_a_method_bounds_at_its_ends(tmp_path):
    backwards = dict(reversed(examples.METHOD_SCORES.items()))
    data = examples.comparison(methods=backwards)
    assert write_comparison_table(tmp_path / "c.csv", data) == tmp_path / "c.csv"
    with (tmp_path / "c.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [rows[0]["method"], rows[-1]["method"]] == ["source", "target"]
    shift = next(row for row in rows if row["method"] == "shift")
    runs = [row.macro_f1 for row in data.rows if row.method == "shift"]
    assert float(shift["macro_f1"]) == pytest.approx(np.mean(runs), abs=1e-5)
    assert float(shift["macro_f1_std"]) == pytest.approx(np.std(runs), abs=1e-5)
    assert (shift["seeds"], shift["shift"]) == ("3", "31")
    assert shift["f1_гречиха"] == ""
    wheat = data.classes.index("wheat")
    runs = [row.per_class[wheat] for row in data.rows if row.method == "shift"]
    assert float(shift["f1_wheat"]) == pytest.approx(np.mean(runs), abs=1e-5)
    assert float(shift["f1_wheat_std"]) == pytest.approx(np.std(runs), abs=1e-5)
    assert shift["f1_гречиха_std"] == ""


def test_a_table_that_cannot_be_written(tmp_path):
    (tmp_path / "c.csv").mkdir()
    with pytest.raises(EngineError, match="is a folder"):
        write_comparison_table(tmp_path / "c.csv", examples.comparison())


def test_one_seed_has_no_deviation(tmp_path, check_page):
    write_comparison_report(tmp_path / "c.html", examples.comparison(seeds=1))
    text = check_page(tmp_path / "c.html")
    assert "±" not in text
    assert "With one seed, differences of a few points may be chance." in text


def test_no_bounds_no_gap():
    page = comparison_page(examples.comparison(methods={"timematch": (0.6, 3), "mmd": (0.5, None)}))
    said = " ".join(page.sentences)
    assert "gap" not in said
    assert "against" not in said
    assert "upper bound" not in said
    assert len(page.tiles) == 1


def test_methods_that_all_hurt_are_called_so():
    methods = {"source": (0.8, None), "timematch": (0.6, 3), "mmd": (0.5, None), "target": (0.9, None)}
    assert "No method helps here" in " ".join(sentences(examples.comparison(methods=methods)))


def test_a_method_above_the_upper_bound_closes_no_gap_of_150_percent():
    methods = {"source": (0.5, None), "timematch": (0.8, 3), "target": (0.7, None)}
    page = comparison_page(examples.comparison(methods=methods))
    said = " ".join(page.sentences)
    assert "of the gap closed" not in [tile.name for tile in page.tiles]
    assert "no less than training on the target's own labels" in said
    assert "It closes" not in said


def test_a_difference_within_the_deviations_is_called_so():
    data = examples.comparison(methods={"timematch": (0.6, 3), "mmd": (0.6, None)})
    assert "within the deviations of the seeds" in " ".join(sentences(data))


def test_places_without_figures(tmp_path, check_page):
    data = examples.comparison(methods={"timematch": (float("nan"), 3), "mmd": (0.5, None)})
    write_comparison_report(tmp_path / "c.html", data)
    text = check_page(tmp_path / "c.html")
    assert "MMD does best" in text
    assert "no figure" in text
    assert "nan" not in text.split()
    none = examples.comparison(methods={"mmd": (float("nan"), None)})
    assert sentences(none) == ["No method gave a figure, so nothing can be compared."]
    write_comparison_report(tmp_path / "none.html", examples.comparison(methods={}))
    check_page(tmp_path / "none.html")
