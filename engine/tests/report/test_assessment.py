import json

from support import report_data as examples

from sits_engine.report.assessment import sentences, write_assessment_report


def test_the_report_holds_what_was_measured(tmp_path, check_page):
    path = tmp_path / "assessment.html"
    beside = write_assessment_report(path, examples.assessment())
    text = check_page(path)
    assert "Of 100 reference points, the map shows the right class for 84 of 100." in text
    assert "1 300 ± 88 ha" in text
    assert "90.0 ± 5.0 %" in text
    assert "80.0 ± unknown %" in text
    assert "hops" in text
    numbers = json.loads(beside.read_text(encoding="utf-8"))
    assert numbers["adjusted"]["classes"][0]["producers"]["half_width"] is None


def test_rows_of_the_drawn_matrix_are_the_truth():
    words = " ".join(sentences(examples.assessment()))
    assert "maize <b>&</b> $x$ taken for wheat (8 of 40)" in words


def test_a_random_sample_speaks_for_the_whole_map():
    words = " ".join(sentences(examples.assessment(probability=True)))
    assert "86.2 % give or take 3.1 of its area is right" in words


def test_parcels_do_not_speak_for_the_whole_map(tmp_path, check_page):
    data = examples.assessment(
        adjusted=False, mapped_ha=[10.0, 20.0, 30.0], not_adjusted="No random sample.", unit="pixels",
        parcel_scores={"overall_accuracy": 0.9, "n": 50.0},
        parcel_confusion=examples.CONFUSION.T,
    )  # fmt: skip
    words = " ".join(sentences(data))
    assert "not the whole map" in words
    assert "90 of 100 of 50 are right" in words
    path = tmp_path / "r.html"
    write_assessment_report(path, data)
    text = check_page(path)
    assert "Areas as counted on the map" in text
    assert "No random sample." in text
    assert "±" not in text
    assert "by parcels" in text


def test_a_raster_tells_of_its_own_places_only(tmp_path, check_page):
    path = tmp_path / "r.html"
    write_assessment_report(path, examples.assessment(probability=False))
    assert "(spread within this reference only)" in check_page(path)


def test_left_out_units_are_counted():
    words = " ".join(sentences(examples.assessment()))
    assert "7 reference points were left out: 4 where the map has no class, 3 of classes" in words


def test_without_map_areas_or_comparison(tmp_path, check_page):
    path = tmp_path / "r.html"
    data = examples.assessment(adjusted=False, thumbnail=None, unmatched={}, n_unmapped=0)
    write_assessment_report(path, data)
    text = check_page(path)
    assert "Areas with" not in text
    assert "left out" not in text
    assert sentences(examples.assessment(n_compared=0)) == [
        "Nothing could be compared, so nothing can be said about this map."
    ]
