import datetime
import json

import numpy as np
from support import report_data as examples

from sits_engine.report.series import sentences, write_series_report


def test_the_report_holds_what_was_counted(tmp_path, check_page):
    path = tmp_path / "series.html"
    beside = write_series_report(path, examples.series())
    text = check_page(path)
    assert "<i>P1</i>" in text
    assert "12 %" in text
    assert "25.0 % of the area was never seen clear" in text
    numbers = json.loads(beside.read_text(encoding="utf-8"))
    assert numbers["clear_observations"]["never"] == 0.25
    assert numbers["profiles"][0]["values"][2] == [None, None]


def test_the_longest_gap_counts_useful_dates_only():
    # May is clouded (20 % clear), so the gap runs from 1 April to 1 September.
    days = (datetime.date(2023, 9, 1) - datetime.date(2023, 4, 1)).days
    words = " ".join(sentences(examples.series()))
    assert f"{days} days" in words
    assert "On 3 of the dates" in words


def test_a_series_without_points_or_scenes_or_clear_dates(tmp_path, check_page):
    path = tmp_path / "r.html"
    data = examples.series(profiles=[], scenes=[], clear_share=np.zeros(4), clear_count=np.zeros((2, 2), int))
    write_series_report(path, data)
    text = check_page(path)
    assert "Profiles" not in text
    assert "On 0 of the dates" in text
    assert "184 days" in text  # the whole season
