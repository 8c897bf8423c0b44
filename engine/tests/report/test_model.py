import json

from support import report_data as examples

from sits_engine.models.card import ModelCard
from sits_engine.report.model import sentences, write_model_report


def test_the_page_holds_the_card(tmp_path, check_page):
    path = tmp_path / "model.html"
    beside = write_model_report(path, examples.card(), "crops <1>.safetensors")
    text = check_page(path)
    assert "crops <1>.safetensors" in text
    assert "2023-03-02 to 2023-08-29" in text
    assert "NDVI of each class" in text
    assert "right for 84 of 100" in text
    assert ModelCard(**json.loads(beside.read_text(encoding="utf-8"))) == examples.card()


def test_an_empty_card_says_that_it_knows_nothing(tmp_path, check_page):
    card = examples.card(profiles={}, scores={}, positions=[], provenance={})
    path = tmp_path / "model.html"
    write_model_report(path, card, "m")
    text = check_page(path)
    assert "accuracy is unknown" in text
    assert "NDVI of each class" not in text


def test_profiles_of_the_wrong_shape_are_left_out(tmp_path, check_page):
    broken = examples.profiles(2).as_json()
    path = tmp_path / "model.html"
    write_model_report(path, examples.card(profiles=broken), "m")
    assert "of each class in its training data" not in check_page(path)
    assert len(sentences(examples.card())) == 4
