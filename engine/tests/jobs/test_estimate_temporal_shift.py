from __future__ import annotations

import json

import geopandas as gpd
import pandas as pd
import pytest
from networks import card as other_card
from support.two_regions import DAYS, EARLIER, write_region

from sits_engine.context import JobContext
from sits_engine.errors import Cancelled, EngineError, InputError, ModelError
from sits_engine.jobs import job_class
from sits_engine.jobs.estimate_temporal_shift import card_profiles, learned_in
from sits_engine.models.model_file import load_model, read_card


def run(two_regions, ctx=None, **changes):
    given = {
        "model": str(two_regions.model),
        "target_series": [str(two_regions.target)],
        "target_parcels": str(two_regions.outlines),
        "resamples": 10,
        "device": "cpu",
        **changes,
    }
    return job_class("shift").parse(given).run(ctx or JobContext())


def test_shift_of_parcels_without_labels_with_report_and_numbers(two_regions, tmp_path) -> None:
    messages = []
    ctx = JobContext(lambda kind, fields: messages.append((kind, fields)))
    result = run(two_regions, ctx, report=str(tmp_path / "r.html"))
    scores = result.scores
    assert abs(scores["shift_days"] - EARLIER) <= 8
    assert scores["shift_low"] <= scores["shift_high"]
    assert "earlier than where the model learned" in scores["shift_words"]
    assert scores["n_sets"] == 100
    numbers = json.loads((tmp_path / "r_numbers.json").read_text("utf-8"))
    assert result.outputs == {"report": str(tmp_path / "r.html"), "numbers": str(tmp_path / "r_numbers.json")}
    assert numbers["shift_days"] == scores["shift_days"]
    assert numbers["provenance"]["parcels"] == ["outlines.gpkg"]
    assert numbers["target"] == "ici"
    assert numbers["source"] == "là-bas"
    assert "earlier" in (tmp_path / "r.html").read_text("utf-8")
    percents = [fields["percent"] for kind, fields in messages if kind == "progress"]
    assert percents == sorted(percents)
    assert percents[-1] == 100


def test_the_source_itself_has_no_shift(two_regions, tmp_path) -> None:
    numbers = tmp_path / "n.json"
    result = run(
        two_regions,
        target_series=str(two_regions.source),
        target_parcels=str(two_regions.source_parcels),
        numbers=str(numbers),
    )
    assert abs(result.scores["shift_days"]) <= 4
    assert result.outputs == {"numbers": str(numbers)}
    assert json.loads(numbers.read_text("utf-8"))["n_sets"] == 100


def test_pixels_of_a_region_stand_in_for_parcels(two_regions) -> None:
    extent = "640000,640400,5499600,5500000 [EPSG:32631]"
    result = run(two_regions, target_parcels="", region=extent, n_pixels=300)
    assert result.scores["n_sets"] == 300
    assert abs(result.scores["shift_days"] - EARLIER) <= 8


def test_a_table_of_series(two_regions, tmp_path) -> None:
    rows = [
        {"plot": i, "date": day, "red": 0.06 - 0.001 * i, "nir": 0.2 + 0.01 * ((i + t) % 7)}
        for i in range(40)
        for t, day in enumerate(DAYS)
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "t.csv", index=False)
    result = run(
        two_regions,
        target_series=[],
        target_parcels="",
        target_table=str(tmp_path / "t.csv"),
        id_field="plot",
    )
    assert result.scores["n_sets"] == 40


def test_a_short_season_is_warned_of(two_regions, tmp_path) -> None:
    card = read_card(two_regions.model)
    module, _ = load_model(two_regions.model)
    longer = card.model_copy(update={"positions": [*card.positions, 290.0]})
    from sits_engine.models.model_file import save_model

    save_model(tmp_path / "m.safetensors", module, longer)
    result = run(two_regions, model=str(tmp_path / "m.safetensors"))
    assert any("of the model's season are there" in text for text in result.warnings)


def test_bad_input_names_the_thing(two_regions, tmp_path, monkeypatch) -> None:
    table = tmp_path / "t.csv"
    table.write_text("id,date,red\n")
    for changes, error, message in (
        ({"model": "none.safetensors"}, InputError, "Model not found"),
        (
            {"target_series": [], "target_table": str(table)},
            InputError,
            "TARGET_PARCELS is given without TARGET_SERIES",
        ),
        ({"target_series": [], "target_parcels": ""}, InputError, "There is no target"),
        ({"target_table": "none.csv"}, InputError, "Table of series of the target not found"),
        ({"region": "1,2,3,4"}, InputError, "are both given"),
        ({"numbers": str(two_regions.target)}, InputError, "is an input of this run"),
        ({"report": str(tmp_path)}, EngineError, "is a folder"),
        ({"estimator": "F1"}, InputError, "ESTIMATOR"),
        ({"max_shift": 0}, InputError, "MAX_SHIFT"),
    ):
        with pytest.raises(error, match=message):
            run(two_regions, **changes)
    few = tmp_path / "few.gpkg"
    gpd.read_file(two_regions.outlines).head(12).to_file(few)
    with pytest.raises(InputError, match="The target has 12 samples; at least 30 are needed"):
        run(two_regions, target_parcels=str(few))
    monkeypatch.setattr(
        "sits_engine.models.model_file.load_model",
        lambda path: (None, other_card().model_copy(update={"architecture": "tempcnn"})),
    )
    with pytest.raises(ModelError, match=r"of the kind 'tempcnn'; adaptation needs PSE\+LTAE"):
        run(two_regions)


def test_other_bands_name_both_lists(two_regions, tmp_path) -> None:
    series = write_region(tmp_path / "other", (640000.0, 5500000.0), 0, 3, bands=("B03", "B08"))
    with pytest.raises(ModelError, match=r"needs B04, B08; the series has B03, B08"):
        run(two_regions, target_series=[str(series)])


def test_a_file_that_is_no_model(two_regions, tmp_path) -> None:
    (tmp_path / "x.safetensors").write_bytes(b"no model")
    with pytest.raises(ModelError):
        run(two_regions, model=str(tmp_path / "x.safetensors"))


def test_cancel_leaves_nothing(two_regions, tmp_path) -> None:
    ctx = JobContext()
    ctx._send = lambda kind, fields: ctx.cancel() if "Trying" in fields.get("phase", "") else None
    with pytest.raises(Cancelled):
        run(two_regions, ctx, report=str(tmp_path / "r.html"))
    assert list(tmp_path.iterdir()) == []


def test_where_a_model_learned(two_regions) -> None:
    card = read_card(two_regions.model)
    assert learned_in(card, two_regions.model) == "là-bas"
    adapted = {**card.provenance, "adapted": {"to": {"title": "ici"}}}
    assert learned_in(card.model_copy(update={"provenance": adapted}), two_regions.model) == "ici"
    assert learned_in(card.model_copy(update={"provenance": {}}), two_regions.model) == "modèle"


def test_profiles_of_a_card(two_regions) -> None:
    card = read_card(two_regions.model)
    found = card_profiles(card)
    assert found is not None
    assert found.mean.shape == (3, len(DAYS), 2)
    assert found.bands == ("B04", "B08")
    assert card_profiles(card.model_copy(update={"profiles": {}})) is None
    wrong = {**card.profiles, "mean": [[[0.0]]]}
    assert card_profiles(card.model_copy(update={"profiles": wrong})) is None
