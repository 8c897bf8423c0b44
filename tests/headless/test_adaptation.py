"""Shift, adaptation and comparison through real `qgis_process`, with the fake engine."""

import json
import struct

import pytest


def model(path):
    card = {"bands": [{"name": "B02"}], "classes": [], "season_year": 2023}
    header = json.dumps({"__metadata__": {"sits_model_card": json.dumps(card)}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header)
    return path


def series(path):
    item = {
        "properties": {"datetime": "2023-06-01T00:00:00Z"},
        "assets": {"data": {"eo:bands": [{"name": "B02"}]}},
    }
    path.write_text(json.dumps({"features": [item], "sits:series": {"season_year": 2023}}), encoding="utf-8")
    return path


def parcels(path):
    square = [[[5.0, 51.0], [5.0, 51.1], [5.1, 51.1], [5.0, 51.0]]]
    feature = {
        "type": "Feature",
        "properties": {"crop": "maize"},
        "geometry": {"type": "Polygon", "coordinates": square},
    }
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}), encoding="utf-8")
    return path


@pytest.fixture
def here(headless):
    """A folder with blanks and accents that holds the files of both regions."""
    folder = headless.folder / "région d'été"
    folder.mkdir()
    model(folder / "m.safetensors")
    for name in ("source", "target"):
        series(folder / f"{name}.json")
        parcels(folder / f"{name}.geojson")
    return folder


def source(here):
    return [f"SERIES={here / 'source.json'}", f"PARCELS={here / 'source.geojson'}", "FIELD=crop"]


def seen(path):
    """Fields of the job that the fake engine got."""
    return json.loads(path.read_text(encoding="utf-8"))["params"]


def test_the_shift_its_range_and_its_words_are_outputs(headless, here):
    words = "Crops here are about 28 days earlier than where the model learned."
    headless.orders(
        scores={"shift_days": 28, "shift_low": 26, "shift_high": 31, "shift_words": words, "n_sets": 90}
    )
    report = here / "shift.html"
    status, out, err = headless.call(
        *("--json", "run", "sits:estimatetemporalshift", "--", f"MODEL={here / 'm.safetensors'}"),
        *(f"TARGET_SERIES={here / 'target.json'}", f"REGION={here / 'target.geojson'}", f"REPORT={report}"),
    )
    assert status == 0, err
    results = json.loads(out)["results"]
    assert (results["SHIFT_DAYS"], results["SHIFT_LOW"], results["SHIFT_HIGH"]) == (28, 26, 31)
    assert results["SHIFT_WORDS"] == words
    job = seen(report)
    assert job["target_series"] == [str(here / "target.json")]
    assert job["region"].startswith(str(here / "target.geojson"))
    assert (job["estimator"], job["max_shift"], job["n_pixels"], job["resamples"]) == ("IS", 60, 4000, 50)


def test_an_adapted_model_with_its_verdict(headless, here):
    said = "The adapted model is likely worse: keep the source model."
    headless.orders(scores={"verdict": "worse", "verdict_text": said, "agreement": 0.4, "shift_days": -3})
    output = here / "adapted.safetensors"
    status, out, err = headless.call(
        *("--json", "run", "sits:adapttoregion", "--", f"MODEL={here / 'm.safetensors'}", *source(here)),
        *(f"TARGET_SERIES={here / 'target.json'}", "METHOD=cdan", f"OUTPUT={output}"),
        f"REPORT={here / 'adaptation.html'}",
    )
    assert status == 0, err
    results = json.loads(out)["results"]
    assert results["OUTPUT"] == str(output)
    assert (results["VERDICT"], results["VERDICT_TEXT"], results["AGREEMENT"]) == ("worse", said, 0.4)
    assert any("map with the source model" in text for text in json.loads(out)["log"]["warning"])
    assert "MACRO_F1_AFTER" not in results, "without target labels there are no scores"
    job = seen(output)
    assert job["method"] == "cdan"
    assert job["ema"] == 0.9999
    assert "target_field" not in job


def test_a_method_that_does_not_exist_is_refused(headless, here):
    status, _, err = headless.call(
        *("run", "sits:adapttoregion", "--", f"MODEL={here / 'm.safetensors'}", *source(here)),
        *(f"TARGET_SERIES={here / 'target.json'}", "METHOD=magic", f"OUTPUT={here / 'a.safetensors'}"),
    )
    assert status == 1
    assert "METHOD" in err


def test_a_comparison_of_chosen_methods(headless, here):
    table = here / "table.csv"
    headless.orders(scores={"source": 0.4, "shift": 0.61, "timematch": 0.7, "target": 0.9})
    status, out, err = headless.call(
        *("--json", "run", "sits:compareadaptation", "--", *source(here)),
        *(f"TARGET_SERIES={here / 'target.json'}", f"TARGET_PARCELS={here / 'target.geojson'}"),
        *("TARGET_FIELD=crop", "METHODS=timematch", "METHODS=shift", "SEEDS=1"),
        *(f"REPORT={here / 'r.html'}", f"TABLE={table}"),
    )
    assert status == 0, err
    results = json.loads(out)["results"]
    assert results["TABLE"] == str(table)
    assert [results[name] for name in ("SOURCE", "SHIFT", "TIMEMATCH", "TARGET")] == [0.4, 0.61, 0.7, 0.9]
    assert "DANN" not in results, "it was not run"
    job = seen(table)
    assert (job["methods"], job["seeds"], job["target_field"]) == (["timematch", "shift"], 1, "crop")
