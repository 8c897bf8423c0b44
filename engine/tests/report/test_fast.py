"""The section on the fast network."""

from sits_engine.learning.summary import FastScores
from sits_engine.report.fast import fast_section


def test_nothing_without_a_fast_network():
    assert fast_section(None, ["a"], ["#00ff00"]) is None


def test_without_labels_only_the_agreement():
    section = fast_section(FastScores(1200, 0.987, 1.1), ["a"], ["#00ff00"])
    assert section is not None
    assert not section.items
    assert "98.7 % of 1\u202f200 single pixels" in section.texts[1]


def test_figures_of_both_networks_side_by_side():
    scores = FastScores(500, 0.95, 1.2, 0.8, 0.9, 0.81, 0.91, [0.7, None], [0.71, None])
    section = fast_section(scores, ["maize", "rye"], ["#00ff00", "#0000ff"])
    assert section is not None
    table = section.items[0]
    assert [list(row) for row in table.rows] == [
        ["macro-F1", "0.810", "0.800"],
        ["accuracy", "0.910", "0.900"],
        ["F1 of maize", "0.710", "0.700"],
        ["F1 of rye", "–", "–"],
    ]
    assert len(table.colors) == len(table.rows)
    assert scores.on_card == {
        "pixels": 500,
        "agreement": 0.95,
        "macro_f1": 0.8,
        "accuracy": 0.9,
        "teacher_macro_f1": 0.81,
        "teacher_accuracy": 0.91,
    }
