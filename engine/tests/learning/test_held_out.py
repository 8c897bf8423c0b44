from __future__ import annotations

import numpy as np
import pytest

from sits_engine.learning.held_out import BIN_DAYS, assess, class_profiles, class_rows, too_few
from sits_engine.samples.classes import ClassInfo
from sits_engine.samples.pixel_sets import PixelSets, offsets_of

CLASSES = [
    ClassInfo("a", "#111111", ("1", "2")),
    ClassInfo("b", "#222222", ("3",)),
    ClassInfo("c", "#333333", ()),
]


def sets(positions, values, labels, valid=None) -> PixelSets:
    n, dates = np.shape(positions)
    values = np.asarray(values, dtype=np.float32)[..., None]
    return PixelSets(
        bands=("NDVI",),
        values=values,
        valid=np.ones((n, dates), dtype=bool) if valid is None else np.asarray(valid),
        offsets=offsets_of([1] * n),
        positions=np.asarray(positions, dtype=np.int32),
        labels=np.asarray(labels, dtype=np.int64),
        classes=("a", "b", "c"),
        ids=np.arange(n).astype(str),
        xy=np.zeros((n, 2)),
        region=np.zeros(n, dtype=np.int16),
        blocks=np.zeros(n, dtype=np.int64),
    )


def test_scores_by_hand() -> None:
    probabilities = np.eye(3, dtype=np.float32)[[0, 0, 1, 1] * 2] * 0.8 + 0.2 / 3
    labels = np.array([0, 1, 1, 1] * 2)
    found = assess((probabilities, labels), (probabilities, labels), 3)
    assert found.confusion.tolist() == [[2, 0, 0], [2, 4, 0], [0, 0, 0]]
    assert found.scores["accuracy"] == 0.75
    assert found.scores["macro_f1"] == pytest.approx((2 / 3 + 4 / 5) / 2)
    assert found.temperature > 1
    assert found.scores["calibration_error"] < found.scores["calibration_error_before"]
    rows = class_rows(
        sets(np.zeros((8, 2)), np.zeros((8, 2)), labels),
        np.array([0, 1, 2, 2] * 2),
        CLASSES,
        found.confusion,
    )
    assert rows[1].parcels == {"train": 0, "validation": 2, "test": 4}
    assert (rows[0].precision, rows[0].recall) == (0.5, 1.0)
    assert rows[1].f1 == pytest.approx(0.8)
    assert rows[2].f1 is None
    assert rows[0].codes == ["1", "2"]


def test_without_held_out_samples_nothing_is_claimed() -> None:
    nothing = np.zeros((0, 3), dtype=np.float32), np.zeros(0, dtype=np.int64)
    found = assess(nothing, nothing, 3)
    assert all(np.isnan(found.scores[name]) for name in ("macro_f1", "weighted_f1", "accuracy", "kappa"))
    assert found.temperature == 1.0
    assert found.confusion.sum() == 0


@pytest.mark.parametrize("labels", [[1], [1] * 30, [0, 1, 2, 2]])
def test_scores_of_too_few_samples_or_classes_are_no_figures(labels) -> None:
    labels = np.array(labels)
    right = np.eye(3, dtype=np.float32)[labels] * 0.9 + 0.1 / 3
    found = assess((right, labels), (right, labels), 3)
    assert not found.enough
    assert all(np.isnan(value) for value in found.scores.values())
    assert found.temperature == 1.0
    assert found.confusion.sum() == len(labels)
    assert found.after.counts.sum() == 0
    assert found.after.as_json()["error"] is None
    n = len(labels)
    rows = class_rows(sets(np.zeros((n, 2)), np.zeros((n, 2)), labels), labels * 0, CLASSES, found.confusion)
    assert all(row.f1 is row.precision is row.recall is None for row in rows)
    said = too_few(labels, blocks=True)
    assert "at least 5 of 2 classes" in said
    assert "SPLIT = parcels" in said
    assert "SPLIT" not in too_few(labels, blocks=False)
    assert too_few(np.array([1]), blocks=False).startswith("The test side holds 1 parcel of 1 class;")


def test_profiles_over_regions_with_other_dates() -> None:
    positions = [[10, 20], [10, 20], [15, 15]]
    valid = [[True, True], [True, False], [True, False]]
    profiles = class_profiles(sets(positions, [[0.2, 0.4], [0.4, 0.0], [0.9, 0.0]], [0, 0, 0], valid), 2019)
    assert profiles.positions.tolist() == [10, 15, 20]
    np.testing.assert_allclose(profiles.mean[0, :, 0], [0.3, 0.9, 0.4], atol=1e-6)
    np.testing.assert_allclose(profiles.std[0, :, 0], [0.1, 0.0, 0.0], atol=1e-6)
    assert np.isnan(profiles.mean[1]).all()
    assert profiles.as_json()["mean"][1][0] == [None]


def test_many_dates_are_binned() -> None:
    positions = np.arange(300).reshape(150, 2)
    profiles = class_profiles(sets(positions, np.ones((150, 2)), np.zeros(150)), 2019)
    assert len(profiles.positions) == -(-300 // BIN_DAYS)
    np.testing.assert_allclose(profiles.mean[0], 1)
