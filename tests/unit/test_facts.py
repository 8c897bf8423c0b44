"""What a dialog learns from model and series files before the engine starts, and what it says of bad ones."""

import hashlib
import json
import struct

import pytest


def model(path, bands=("B02", "B04", "B08"), tamper=False):
    """A file with the header of a model."""
    card = json.dumps(
        {
            "bands": [{"name": name} for name in bands],
            "classes": [{"name": "maize", "color": "#f2e205"}, {"name": "wheat", "color": "#d9a01e"}],
            "season_year": 2019,
        }
    )
    digest = hashlib.sha256(card.encode()).hexdigest()
    card = card.replace("maize", "poppy") if tamper else card
    metadata = {"sits_model_card": card, "sits_model_card_sha256": digest}
    header = json.dumps({"__metadata__": metadata}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header)
    return str(path)


def series(path, bands=("B02", "B04", "B08", "SCL"), own=True):
    """An item collection of three dates."""
    items = [
        {
            "properties": {"datetime": f"2019-0{month}-01T00:00:00Z"},
            "assets": {"data": {"eo:bands": [{"name": name} for name in bands]}},
        }
        for month in (6, 4, 5)
    ]
    extra = {"sits:series": {"title": "Été", "season_year": 2019, "mask": {"band": "SCL"}}} if own else {}
    path.write_text(json.dumps({"type": "FeatureCollection", "features": items, **extra}), encoding="utf-8")
    return str(path)


@pytest.fixture(scope="module")
def facts():
    from sits_qgis.processing_algorithms import facts

    return facts


def test_bands_classes_dates_and_title_are_read(facts, tmp_path):
    found = facts.model_facts(model(tmp_path / "m.safetensors"))
    assert found.bands == ["B02", "B04", "B08"]
    assert found.classes == [("maize", "#f2e205"), ("wheat", "#d9a01e")]
    known = facts.series_facts(series(tmp_path / "s.json"))
    assert known.title == "Été"
    assert known.dates == ["2019-04-01", "2019-05-01", "2019-06-01"]
    assert known.bands == ["B02", "B04", "B08"], "the mask is no band"
    assert facts.missing_bands(found, known) == ""


def test_a_missing_band_names_both_lists(facts, tmp_path):
    wanted = facts.model_facts(model(tmp_path / "m.safetensors", ("B02", "B11")))
    said = facts.missing_bands(wanted, facts.series_facts(series(tmp_path / "s.json")))
    assert said.startswith("The series lacks B11")
    assert "B02, B11" in said
    assert "B02, B04, B08" in said


def test_names_of_the_same_band_match_and_series_of_other_tools_are_left_to_the_engine(facts, tmp_path):
    other = facts.model_facts(model(tmp_path / "m.safetensors", ("b2", "ndvi")))
    assert facts.missing_bands(other, facts.series_facts(series(tmp_path / "s.json", ("B02", "NDVI")))) == ""
    foreign = facts.series_facts(series(tmp_path / "f.json", ("red",), own=False))
    assert foreign.bands is None
    assert facts.missing_bands(other, foreign) == ""


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "safetensors format"),
        (b"PK\x03\x04 a zip, say a pickle of torch", "safetensors format"),
        (struct.pack("<Q", 2**60), "safetensors format"),
        (struct.pack("<Q", 2) + b"{}", "no model card"),
        (struct.pack("<Q", 40) + b'{"__metadata__": {"sits_model_card": "x', "safetensors format"),
    ],
)
def test_a_file_that_is_no_model_is_named_with_the_reason(facts, tmp_path, content, words):
    path = tmp_path / "bad.safetensors"
    path.write_bytes(content)
    with pytest.raises(facts.FactsError, match=words) as raised:
        facts.model_facts(str(path))
    assert str(path) in str(raised.value)
    assert "Train source model" in str(raised.value)


def test_a_changed_card_and_a_missing_file_are_said(facts, tmp_path):
    with pytest.raises(facts.FactsError, match="changed or damaged"):
        facts.model_facts(model(tmp_path / "m.safetensors", tamper=True))
    with pytest.raises(facts.FactsError, match="File not found"):
        facts.series_facts(str(tmp_path / "absent.json"))


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"features": []}', '{"features": [{"type": "Feature"}]}', "\x00"]
)
def test_a_file_that_is_no_series_is_named_with_the_way_out(facts, tmp_path, content):
    path = tmp_path / "bad.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(facts.FactsError, match="Build image time series") as raised:
        facts.series_facts(str(path))
    assert str(path) in str(raised.value)


def test_a_file_that_changes_is_read_again(facts, tmp_path):
    path = tmp_path / "s.json"
    assert facts.series_facts(series(path)).bands == ["B02", "B04", "B08"]
    assert facts.series_facts(series(path, ("B02", "SCL", "NDVI_long"))).bands == ["B02", "NDVI_long"]
