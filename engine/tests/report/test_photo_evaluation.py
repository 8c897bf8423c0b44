"""What the report on a photo model claims, and how sure it is."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from sits_engine.evaluation.photo_scores import ZeroShot, zero_shot
from sits_engine.report.photo_evaluation import EvaluationData, evaluation_page
from sits_engine.report.plots import photo_scores

NAMES = ("maize", "wheat")


def report(right: int, n: int) -> EvaluationData:
    """`n` places of two classes, of which `right` are named rightly."""
    labels = np.arange(n) % 2
    said = np.where(np.arange(n) < right, labels, 1 - labels)
    classes = np.eye(2, dtype=np.float32)
    scores: list[ZeroShot] = []
    for steps in (12, 4, 1):
        scores += zero_shot(classes[said], classes, labels, task="crop", steps=steps, prompts="name")
    return EvaluationData(
        "Photo model", "m", "c", n, 0, {"crop": NAMES}, {"crop": [n - n // 2, n // 2]}, scores
    )


def test_all_right_at_ten_places_is_not_sure() -> None:
    text = " ".join(evaluation_page(report(10, 10)).sentences)
    assert "right at 100 of 100 places" in text
    assert "anywhere between 72 and 100" in text
    assert "So few places (10) say little" in text
    assert "well above" not in text


@pytest.mark.parametrize(
    ("right", "n", "words"),
    [
        (60, 60, "the most frequent class at 50 of 100: above both."),
        (7, 10, "not above chance by more than its uncertainty"),
    ],
)
def test_the_verdict_is_that_of_the_interval(right, n, words) -> None:
    text = " ".join(evaluation_page(report(right, n)).sentences)
    assert words in text
    assert ("say little" in text) == (n < 30)


@pytest.mark.parametrize("right", [10, 9, 5, 0])
def test_bars_stay_between_nought_and_one(right, monkeypatch) -> None:
    drawn: list[Figure] = []

    def draw(name, width, height, paint):
        figure = Figure()
        paint(figure)
        drawn.append(figure)
        return "<svg></svg>"

    monkeypatch.setattr(photo_scores, "draw", draw)
    evaluation_page(report(right, 10))
    (axes,) = drawn[0].axes
    left, end = axes.get_xlim()
    ends = np.concatenate([bar.get_segments() for bar in axes.collections])[:, :, 0]
    assert ends.min() >= max(0, left)
    assert ends.max() <= min(1, end)
    assert (ends[:, 1] - ends[:, 0] > 0.2).all()
