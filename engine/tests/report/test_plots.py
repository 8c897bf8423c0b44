import re

import numpy as np
import pytest

from sits_engine.report.plots import bars, confusion, maps, profiles, style


def texts(svg):
    return [t.strip() for t in re.findall(r">([^<>]+)</text>", svg)]


def test_confusion_matrix_shows_counts_and_row_shares():
    svg = confusion.confusion_matrix("m", np.array([[30, 10], [0, 7]]), ["a & b", "<c>"], "truth", "map")
    found = texts(svg)
    for expected in ("30", "75 %", "10", "25 %", "7", "100 %", "a &amp; b", "&lt;c&gt;"):
        assert expected in found
    assert "0" not in found


@pytest.mark.parametrize("size", [2, 14, 20, 40])
def test_confusion_matrix_of_any_size(size):
    counts = np.arange(size * size).reshape(size, size)
    svg = confusion.confusion_matrix("m", counts, [f"class number {i}" for i in range(size)], "r", "c")
    assert svg.startswith("<svg")
    shares = [t for t in texts(svg) if t.endswith("%")]
    assert bool(shares) == (size <= confusion.ONE_LINE)


def test_ids_carry_the_name_of_the_figure():
    counts = np.eye(2, dtype=int)
    first, second = (confusion.confusion_matrix(n, counts, ["a", "b"], "r", "c") for n in ("one", "two"))
    ids = [set(re.findall(r'id="([^"]+)"', svg)) for svg in (first, second)]
    assert ids[0]
    assert not ids[0] & ids[1]


def test_the_same_figure_twice_is_the_same_text():
    draw = [bars.areas("a", ["x"], ["#336699"], [10.0], [2.0], [9.0]) for _ in range(2)]
    assert draw[0] == draw[1]


def test_ndvi_is_computed_where_red_and_near_infrared_are_known():
    values = np.array([[[0.1, 0.3], [np.nan, 0.3], [0.0, 0.0]]])
    label, lines = profiles.index_of(["red", "nir"], values)
    assert label == "NDVI"
    assert lines[0, 0] == pytest.approx(0.5)
    assert np.isnan(lines[0, 1:]).all()
    label, lines = profiles.index_of(["EVI", "ndvi"], values)
    assert (label, lines[0, 0]) == ("NDVI", 0.3)
    label, lines = profiles.index_of(["VV", "VH"], values)
    assert (label, lines[0, 0]) == ("VV", 0.1)


def test_areas_without_an_interval_are_drawn_without_one():
    svg = bars.areas("a", ["x", "y"], ["#336699"] * 2, [10.0, np.nan], [np.nan, np.nan], [9.0, 1.0])
    assert "x" in texts(svg)


def test_class_scores_say_where_nothing_was_tested():
    svg = bars.class_scores("s", ["x", "y"], ["#336699"] * 2, [0.51, np.nan], [0.5, np.nan], [0.6, np.nan])
    assert {"0.51", "not tested"} <= set(texts(svg))


def test_map_colours_and_legend_hold_what_occurs():
    picture = style.rgba(np.array([[0, 1], [2, 1]], dtype=np.uint8), ["#ff0000", "#0000ff"])
    assert picture[0, 0].tolist() == [0, 0, 0, 0]
    assert picture[1, 0].tolist() == [0, 0, 255, 255]
    values = np.array([[0, 1]], dtype=np.uint8)
    svg = maps.class_map("m", values, (0, 0, 2000, 1000), ["here", "absent"], ["#ff0000", "#0000ff"])
    assert "here" in texts(svg)
    assert "absent" not in texts(svg)
    assert "500 m" in texts(svg)
    degrees = maps.class_map("m", values, (4, 50, 5, 51), ["a", "b"], ["#ff0000", "#0000ff"], metric=False)
    assert not [t for t in texts(degrees) if t.endswith("m")]


def test_places_never_clear_are_named():
    assert "never clear" in texts(maps.clear_map("c", np.array([[0, 3]], dtype=np.int32)))
    assert "never clear" not in texts(maps.clear_map("c", np.array([[1, 3]], dtype=np.int32)))


def test_months_over_the_turn_of_the_year():
    from matplotlib.figure import Figure

    axes = Figure().add_subplot()
    style.month_axis(axes, -90.0, 200.0, 2023, most=12)
    labels = [t.get_text() for t in axes.get_xticklabels()]
    assert labels[0] == "Oct\n2022"
    assert "Jan\n2023" in labels
    assert labels[-1] == "Jul"


def test_text_reads_on_its_background():
    assert style.readable_on("#ffffff") == style.readable_on("#f4f03c") == "#000000"
    assert style.readable_on("#064441") == "#ffffff"
    assert style.readable("#f4f03c") != "#f4f03c"
    assert style.readable("#2f8f5b") == "#2f8f5b"
