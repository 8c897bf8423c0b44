import json

import numpy as np
import pytest

from sits_engine.errors import EngineError
from sits_engine.report import words
from sits_engine.report.page import Column, Page, Section, Table, Tile, plain, render, write_page

NASTY = "<script>alert('x')</script> & \"quoted\" {{ 7 * 7 }}"


def nasty_page():
    return Page(
        kind=NASTY,
        title=NASTY,
        subtitle=NASTY,
        sentences=[NASTY],
        tiles=[Tile(NASTY, NASTY, NASTY)],
        sections=[
            Section(
                NASTY,
                [Table([Column(NASTY)], [[NASTY]], NASTY, ["red;} body{display:none"])],
                [NASTY],
            )
        ],
        provenance={NASTY: {NASTY: NASTY}},
        warnings=[NASTY],
    )


def test_texts_are_escaped_everywhere(tmp_path, check_page):
    path = tmp_path / "r.html"
    write_page(path, nasty_page(), {})
    text = check_page(path)  # finds no script
    assert text.count("<script>alert('x')</script>") >= 12
    assert "{{ 7 * 7 }}" in text
    assert "display:none" not in path.read_text(encoding="utf-8")


def test_numbers_go_beside_as_strict_json(tmp_path):
    path = tmp_path / "rapport été.html"
    numbers = {"f1": np.float32("nan"), "m": np.array([[1, 2]]), 3: np.inf, "t": (np.int64(1), None, True)}
    beside = write_page(path, nasty_page(), numbers)
    assert beside == tmp_path / "rapport été_numbers.json"

    def refuse(constant):
        raise AssertionError(constant)

    read = json.loads(beside.read_text(encoding="utf-8"), parse_constant=refuse)
    assert read == {"f1": None, "m": [[1, 2]], "3": None, "t": [1, None, True]}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["rapport été.html", "rapport été_numbers.json"]


def test_a_report_that_fails_leaves_nothing_and_keeps_the_old_one(tmp_path):
    path = tmp_path / "r.html"
    path.write_text("old")
    page = nasty_page()
    page.sections = [object()]
    with pytest.raises(Exception, match="title"):
        write_page(path, page, {})
    assert [p.name for p in tmp_path.iterdir()] == ["r.html"]
    assert path.read_text() == "old"


def test_a_folder_that_is_a_file_is_named(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(EngineError, match=r"file/r\.html") as caught:
        write_page(tmp_path / "file" / "r.html", nasty_page(), {})
    assert caught.value.code == "OUTPUT_NOT_WRITABLE"


def test_empty_parts_are_left_out():
    html = render(Page(kind="k", title="t", sentences=["s"], provenance={"Nothing": {}}))
    assert "Please note" not in html
    assert "Nothing" not in html
    assert 'class="tiles"' not in html


def test_plain_turns_the_rest_into_text(tmp_path):
    assert plain({"path": tmp_path}) == {"path": str(tmp_path)}


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.87, "87 of 100"),
        (1.0, "100 of 100"),
        (0.996, "99.6 of 100"),
        (0.004, "0.4 of 100"),
        (0.0, "0 of 100"),
    ],
)
def test_shares_in_words_never_claim_perfection(share, text):
    assert words.of_hundred(share) == text


def test_wilson_interval():
    low, high = words.wilson(81, 263)  # worked by hand in Newcombe (1998), table I: 0.2553 to 0.3662
    assert low == pytest.approx(0.2553, abs=1e-4)
    assert high == pytest.approx(0.3662, abs=1e-4)
    assert words.wilson(0, 0) == (0.0, 1.0)
    assert words.wilson(20, 20)[1] == 1.0


def test_small_words():
    assert words.score(None) == words.score(float("nan")) == words.percent(float("inf")) == "–"
    assert words.count(1234567) == "1\u202f234\u202f567"
    assert words.hectares(12.345) == "12.3 ha"
    assert [words.days(d) for d in (31, -1, 0, 0.4)] == ["+31 days", "\u22121 day", "0 days", "0 days"]
    assert words.listing(["a"]) == "a"
    assert words.listing(["a", "b", "c"]) == "a, b and c"
    assert words.listing(list("abcdef")) == "a, b, c, d and 2 more"
    assert str(words.day(-31, 2023)) == "2022-12-01"
    assert words.facts({"a_b": True, "none": None, "empty": [], "x": {"y": 1.5}, "l": [1, 2]}) == {
        "a b": "yes",
        "x": "y: 1.5",
        "l": "1, 2",
    }


def test_worst_confusion_names_the_most_frequent_mistake():
    counts = np.array([[40, 5, 0], [8, 30, 2], [1, 0, 14]])
    assert words.worst_confusion(counts, ["a", "b", "c"]) == "b taken for a (8 of 40)"
    assert words.worst_confusion(np.diag([3, 4]), ["a", "b"]) == ""
