import json

import numpy as np
import pytest
from support import report_data as examples

from sits_engine.report.shift import curve_warnings, shift_page, write_shift_report


def test_the_answer_comes_first_and_the_sign_is_explained(tmp_path, check_page):
    beside = write_shift_report(tmp_path / "shift.html", examples.shift_report())
    text = check_page(tmp_path / "shift.html")
    assert "Crops here are about 31 days earlier than where the model learned" in text
    assert text.index("Crops here are") < text.index("How well each shift fits")
    assert "must be added to the dates of the target" in text
    assert "Fergana <i>east</i>" in text
    assert "IS +31 days, AM +32 days and ENT +31 days" in text
    assert "2 parcels held no pixel." in text
    numbers = json.loads(beside.read_text(encoding="utf-8"))
    assert numbers["shift_days"] == 31
    assert set(numbers["scores"]) == {"IS", "AM", "ENT"}
    assert len(numbers["target_profile"]["mean"]) == 1


def test_a_later_season_has_a_minus():
    page = shift_page(examples.shift_report(curves=examples.shift_curves(peak=-20)))
    assert page.tiles[0].value == "\u221220 days"
    assert "20 days later" in page.sentences[0]


def test_a_clear_peak_raises_no_warning():
    assert curve_warnings(examples.shift_curves()) == []


def test_a_shift_at_the_edge_is_warned_of():
    (said,) = curve_warnings(examples.shift_curves(peak=60))
    assert "edge of the range" in said
    assert "+60 days" in said


def test_estimators_that_disagree_are_named():
    (said,) = curve_warnings(examples.shift_curves(best={"IS": 31, "AM": 5, "ENT": 31}))
    assert "disagree by 26 days" in said
    assert "activation maximisation +5 days" in said


@pytest.mark.parametrize("scores", [np.full(121, 0.4), np.full(121, np.nan), np.linspace(0.4, 0.41, 121)])
def test_a_flat_curve_is_warned_of(scores):
    curves = examples.shift_curves()
    curves.scores["IS"] = scores
    (said,) = curve_warnings(curves)
    assert "inception score is flat" in said


def test_resamples_far_from_the_estimate_are_warned_of():
    curves = examples.shift_curves()
    curves.resampled["IS"] = np.array([-40] * 10 + [31] * 40)
    (said,) = curve_warnings(curves)
    assert "from \u221240 days to +31 days" in said


def test_without_profiles_resamples_and_scores(tmp_path, check_page):
    none = {key: np.array([], dtype=np.int64) for key in ("IS", "AM", "ENT")}
    curves = examples.shift_curves(resampled=none)
    curves.scores["AM"] = np.full(121, np.nan)
    data = examples.shift_report(curves=curves, source_profiles=None, target_profile=None)
    beside = write_shift_report(tmp_path / "s.html", data)
    text = check_page(tmp_path / "s.html")
    assert "NDVI of the target" not in text
    assert json.loads(beside.read_text(encoding="utf-8"))["interval_days"] == [31, 31]


def test_warnings_of_the_job_and_of_the_curves_stand_together():
    data = examples.shift_report(curves=examples.shift_curves(peak=60), warnings=["The series has gaps."])
    page = shift_page(data)
    assert page.warnings[0] == "The series has gaps."
    assert len(page.warnings) == 2
