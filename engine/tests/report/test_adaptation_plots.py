"""What the figures on shifts and adaptations show."""

import re

import numpy as np
import pytest
from support import report_data as examples

from sits_engine.learning.summary import Profiles
from sits_engine.report.plots import changes, epochs, methods, moved, shifts


def texts(svg):
    return [t.strip() for t in re.findall(r">([^<>]+)</text>", svg)]


def test_the_best_shift_is_up_whichever_end_is_the_best():
    scores = np.array([0.2, np.nan, 0.6, 0.4])
    assert shifts.upright("IS", scores) == pytest.approx([0, np.nan, 1, 0.5], nan_ok=True)
    assert shifts.upright("ENT", scores) == pytest.approx([1, np.nan, 0, 0.5], nan_ok=True)
    assert shifts.upright("AM", np.full(3, 0.7)).tolist() == [0.5] * 3
    assert np.isnan(shifts.upright("IS", np.full(3, np.nan))).all()


def test_estimate_zero_and_the_shift_in_use_are_named():
    curves = examples.shift_curves()
    found = texts(shifts.shift_curves("s", curves, used=20))
    assert {"estimate +31 days", "used +20 days", "no shift"} <= set(found)
    assert "inception score (IS, decides): +31 days" in found
    assert not [t for t in texts(shifts.shift_curves("s", curves, used=31)) if t.startswith("used")]
    assert "no shift (used)" in texts(shifts.shift_curves("s", curves, used=0))
    assert "no shift" not in texts(shifts.shift_curves("s", examples.shift_curves(peak=0)))


def test_ndvi_is_shown_where_it_can_be():
    label, ours, theirs = moved.lines_of(examples.seasons(3), examples.seasons(1))
    assert label == "NDVI"
    assert (ours.shape, theirs.shape) == ((3, 24), (1, 24))
    assert np.nanmax(ours) == pytest.approx(0.75, abs=0.01)


def test_without_ndvi_the_band_that_tells_the_classes_apart_is_shown():
    mean = np.zeros((2, 5, 3), dtype=np.float32)
    mean[1, :, 0], mean[1, :, 2] = 0.1, 0.1  # VV and the ratio differ between the classes ...
    std = np.full((2, 5, 3), 0.01, dtype=np.float32)
    std[..., 0] = 0.5  # ... VV less than within them
    mean[:, 0] = np.nan
    source = Profiles(np.arange(5.0), ("VV", "VH", "ratio"), mean, std, 2023)
    label, ours, _ = moved.lines_of(source, source)
    assert label == "ratio"
    assert ours[1, 1] == pytest.approx(0.1)


def test_profiles_before_and_after_and_what_was_not_found():
    source, target = examples.seasons(2), examples.seasons(2, early=31)
    target.mean[1] = np.nan
    svg, label = moved.class_pairs("p", ["a", "b"], ["#336699"] * 2, source, target, 31)
    assert label == "NDVI"
    assert {"b (not found)", "a", "target as it is", "target, dates +31 days"} <= set(texts(svg))
    plain = texts(moved.class_pairs("p", ["a", "b"], ["#336699"] * 2, source, target, 0)[0])
    assert "target as it is" not in plain
    alone = texts(moved.season_pair("p", None, examples.seasons(1), -5)[0])
    assert "mean of the target, dates −5 days" in alone
    assert "classes where the model learned" not in alone


def test_panels_without_numbers_are_left_out():
    full = texts(epochs.adaptation_curves("e", examples.adapt_epochs()))
    plain = texts(epochs.adaptation_curves("e", examples.adapt_epochs(self_training=False)))
    for title in (
        "Target samples above the confidence threshold",
        "Days added for the pseudo labels",
        "target",
    ):
        assert title in full
        assert title not in plain
    assert "Loss" in plain


def test_shares_by_epoch_name_the_classes_and_the_larger_shares():
    rows = examples.adapt_epochs(2, 2)
    rows[0].class_shares, rows[1].class_shares = [0.97, 0.03], [float("nan"), 0.5]
    found = texts(epochs.shares_by_epoch("e", rows, ["a", "b"], ["#ffffff", "#000000"]))
    assert {"a", "b", "97 %", "50 %"} <= set(found)
    assert "3 %" not in found


def test_shares_of_source_before_and_after():
    found = texts(
        changes.class_shares("s", ["a", "b"], ["#ffffff", "#000000"], np.array([0.5, np.nan]),
                             np.array([0.25, 0.75]), np.array([1.0, 0.0]))
    )  # fmt: skip
    assert {"50.0 %", "–", "25.0 %", "75.0 %", "100.0 %", "0.0 %"} <= set(found)


def test_the_map_counts_what_stayed_and_what_changed():
    xy = np.array([[4.0, 50.0], [4.1, 50.1], [4.2, 50.0], [np.nan, 50.0]])
    before, after = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 0])
    found = texts(changes.change_map("m", xy, before, after, ["a", "b"], ["#336699", "#993366"]))
    assert {"same class (2)", "now b (1)"} <= set(found)
    assert not [t for t in found if t.startswith("now a")]  # its only change has no place
    one = changes.change_map("m", xy[:1], before[:1], before[:1], ["a", "b"], ["#336699", "#993366"])
    assert "same class (1)" in texts(one)


def test_methods_show_mean_and_deviation():
    svg = methods.method_dots(
        "m", ["A", "B", "C"], [[0.4, 0.6], [0.3], [np.nan]], [("low", 0.1), ("high", 0.9)]
    )
    assert {"0.500 ± 0.100", "0.300", "no figure", "low", "high", "one seed"} <= set(texts(svg))
    assert "one seed" not in texts(methods.method_dots("m", ["B"], [[0.3]], []))
