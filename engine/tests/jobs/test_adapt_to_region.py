from __future__ import annotations

import dataclasses
import json
import sys
import types

import geopandas as gpd
import numpy as np
import pytest
from support import report_data
from support.two_regions import EARLIER

from sits_engine.context import JobContext
from sits_engine.errors import Cancelled, InputError, ModelError
from sits_engine.jobs import job_class
from sits_engine.jobs.adapt_to_region import AdaptToRegion
from sits_engine.jobs.describe_model import description
from sits_engine.learning.adaptation.options import METHODS, AdaptOptions
from sits_engine.learning.distill import DistillOptions
from sits_engine.models.model_file import load_fast, load_model, read_card


def params(two_regions, tmp_path, **changes):
    return {
        "model": str(two_regions.model),
        "series": [str(two_regions.source)],
        "parcels": [str(two_regions.source_parcels)],
        "field": "crop",
        "target_series": [str(two_regions.target)],
        "target_parcels": str(two_regions.outlines),
        "output": str(tmp_path / "adapté.safetensors"),
        "device": "cpu",
        **changes,
    }


def run(two_regions, tmp_path, ctx=None, **changes):
    return job_class("adapt").parse(params(two_regions, tmp_path, **changes)).run(ctx or JobContext())


class Adapter:
    """Stands in for `learning.adaptation.run.adapt`: remembers what it got and gives the model back."""

    def __init__(self) -> None:
        self.labelled = None
        self.error: BaseException | None = None

    def __call__(self, module, card, source, target, options, device, ctx, *, start, end, titles, checkpoint):
        self.card, self.source, self.target, self.options = card, source, target, options
        self.titles, self.checkpoint, self.found_checkpoint = titles, checkpoint, checkpoint.exists()
        checkpoint.write_bytes(b"half")
        ctx.progress((start + end) / 2, "Adapting")
        if self.error is not None:
            raise self.error
        report = report_data.adaptation(card.class_names, ["#000000"] * 3, labelled=self.labelled)
        report.warnings = ["mind this"]
        made = card.model_copy(update={"provenance": {**card.provenance, "adapted": {"note": "kept"}}})
        return types.SimpleNamespace(module=module, card=made, report=report)


@pytest.fixture
def adapter(monkeypatch) -> Adapter:
    made = Adapter()
    module = types.ModuleType("sits_engine.learning.adaptation.run")
    module.adapt = made
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return made


def test_every_option_is_a_field_with_the_same_default() -> None:
    fields = AdaptToRegion.model_fields
    for option in dataclasses.fields(AdaptOptions):
        assert fields[option.name].default == option.default, option.name
    methods = fields["method"].annotation.__args__
    assert list(methods) == list(METHODS)
    job = AdaptToRegion.parse({"model": "m", "output": "o", "method": "cdan", "shift": -9, "gamma": 0})
    assert job.options() == AdaptOptions(method="cdan", shift=-9, gamma=0.0)
    assert job.output.name == "o.safetensors"


def test_what_the_adaptation_gets_and_what_is_left(two_regions, tmp_path, adapter) -> None:
    report = tmp_path / "r.html"
    result = run(two_regions, tmp_path, report=str(report), epochs=2)
    assert adapter.source.classes == ("blé dur", "maize", "wheat")
    assert adapter.source.counts.sum() == len(adapter.source) == 100
    assert adapter.source.bands == adapter.target.bands == ("B04", "B08")
    assert adapter.target.classes == ()
    assert set(adapter.target.labels.tolist()) == {-1}
    assert adapter.titles == ("là-bas", "ici")
    assert adapter.options.epochs == 2
    assert adapter.checkpoint == tmp_path / "adapté.resume.safetensors"
    assert not adapter.checkpoint.exists()
    assert set(result.outputs) == {"output", "report", "numbers"}
    assert result.scores["shift_days"] == 31
    assert result.scores["verdict"] == "better"
    assert result.scores["verdict_text"].startswith("The adapted model is likely better")
    assert 0 < result.scores["agreement"] < 1
    assert "macro_f1_after" not in result.scores
    assert result.warnings == ["mind this"]
    numbers = json.loads((tmp_path / "r_numbers.json").read_text("utf-8"))
    assert numbers["parameters"]["max_shift"] == 60
    assert numbers["provenance"]["to"]["samples"]["parcels"] == ["outlines.gpkg"]
    assert numbers["warnings"] == ["mind this"]


def test_the_card_says_from_what_to_where_with_which_shift(two_regions, tmp_path, adapter) -> None:
    run(two_regions, tmp_path)
    old, (_, card) = read_card(two_regions.model), load_model(tmp_path / "adapté.safetensors")
    adapted = card.provenance["adapted"]
    assert adapted["from"]["model"] == "modèle.safetensors"
    assert adapted["from"]["tensors_sha256"] == old.tensors_sha256
    assert adapted["from"]["scores_in_source"] == old.scores
    assert card.scores == {}
    assert adapted["to"]["title"] == "ici"
    assert adapted["to"]["samples"]["series"][0]["file"] == "ici.json"
    assert (adapted["method"], adapted["shift_days"], adapted["verdict"]) == ("timematch", 31, "better")
    assert adapted["samples"] == {"source": 100, "target": 100}
    assert adapted["note"] == "kept"
    assert card.profiles["season_year"] == card.season_year
    assert card.profiles["positions"] != old.profiles.get("positions")
    assert (tmp_path / "adapté_numbers.json").exists()
    assert (
        "Adapted from là-bas (model modèle.safetensors) to ici by timematch, shift +31 days; judged without "
        "labels: better" in list(description(card))
    )
    again = tmp_path / "again"
    again.mkdir()
    run(two_regions, again, model=str(tmp_path / "adapté.safetensors"))
    twice = read_card(again / "adapté.safetensors").provenance["adapted"]
    assert twice["from"]["adapted"]["from"]["model"] == "modèle.safetensors"


@pytest.mark.parametrize(("method", "said"), [("fixmatch", True), ("mmd", True), ("shift", False)])
def test_a_known_shift_that_a_method_ignores_is_told(two_regions, tmp_path, adapter, method, said) -> None:
    result = run(two_regions, tmp_path, method=method, shift=10)
    assert any(text.startswith("SHIFT has no effect") for text in result.warnings) == said


def test_target_labels_are_for_scores_and_keep_every_sample(two_regions, tmp_path, adapter) -> None:
    run(two_regions, tmp_path)
    blind = adapter.target
    layer = gpd.read_file(two_regions.target_parcels)
    layer.loc[:4, "crop"] = "hops"
    layer.loc[5:6, "crop"] = None
    layer.to_file(tmp_path / "known.gpkg")
    adapter.labelled = report_data.labelled()
    result = run(
        two_regions,
        tmp_path,
        target_parcels=str(tmp_path / "known.gpkg"),
        target_field="crop",
        target_id_field="plot",
    )
    assert adapter.target.classes == ("blé dur", "maize", "wheat")
    assert (adapter.target.labels == -1).sum() == 7
    assert adapter.target.ids[0] == "plot 0"
    np.testing.assert_array_equal(adapter.target.values, blind.values)
    assert (result.scores["macro_f1_before"], result.scores["macro_f1_after"]) == (0.4, 0.7)
    assert (result.scores["accuracy_before"], result.scores["accuracy_after"]) == (0.45, 0.75)
    numbers = json.loads((tmp_path / "adapté_numbers.json").read_text("utf-8"))
    assert numbers["labelled_for_the_report_only"]["left_out"] == 5
    assert any("5 samples have labels that are no class of the model" in note for note in numbers["notes"])


def test_pixels_of_the_whole_target(two_regions, tmp_path, adapter) -> None:
    run(two_regions, tmp_path, target_parcels="", n_pixels=150)
    assert len(adapter.target) == 150
    assert adapter.target.n_pixels.max() == 1


def test_samples_of_other_crops_are_left_out_with_a_count(two_regions, tmp_path, adapter) -> None:
    layer = gpd.read_file(two_regions.source_parcels)
    layer.loc[:4, "crop"] = "hops"
    layer.to_file(tmp_path / "p.gpkg")
    said = []
    ctx = JobContext(lambda kind, fields: said.append(fields.get("text", "")))
    run(two_regions, tmp_path, ctx, parcels=str(tmp_path / "p.gpkg"))
    assert len(adapter.source) == 95
    assert any(
        "5 samples have labels that are no class of the model and were dropped" in text for text in said
    )


def test_an_interrupted_run_keeps_its_checkpoint_for_the_next(two_regions, tmp_path, adapter) -> None:
    adapter.error = Cancelled()
    with pytest.raises(Cancelled):
        run(two_regions, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["adapté.resume.safetensors"]
    adapter.error = None
    run(two_regions, tmp_path)
    assert adapter.found_checkpoint
    adapter.checkpoint.write_bytes(b"old")
    run(two_regions, tmp_path, resume=False)
    assert not adapter.found_checkpoint


def test_bad_input_names_the_thing_and_leaves_nothing(two_regions, tmp_path, adapter) -> None:
    clash = tmp_path / "x.resume.safetensors"
    for changes, error, message in (
        ({"series": [], "parcels": []}, InputError, "no samples of the source"),
        ({"field": ""}, InputError, "have no labels: FIELD is missing"),
        ({"parcels": []}, InputError, "PARCELS is empty"),
        ({"labels_table": "l.csv"}, InputError, "LABELS_TABLE is given without LABELLED_SERIES"),
        ({"target_labels_table": "l.csv"}, InputError, "TARGET_LABELS_TABLE is given without TARGET_TABLE"),
        ({"field": "plot"}, InputError, "No sample has a class of the model"),
        ({"target_field": "crop"}, InputError, "no field 'crop'"),
        ({"target_parcels": "", "target_field": "crop"}, InputError, "TARGET_PARCELS is empty"),
        ({"output": str(two_regions.model)}, InputError, "is an input of this run"),
        (
            {"model": str(clash), "output": str(tmp_path / "x.safetensors")},
            InputError,
            "is an input of this run",
        ),
        ({"threshold": 1.5}, InputError, "THRESHOLD"),
        ({"method": "magic"}, InputError, "METHOD"),
        ({"model": str(two_regions.target)}, ModelError, "ici.json"),
    ):
        with pytest.raises(error, match=message):
            run(two_regions, tmp_path, **changes)
    one = gpd.read_file(two_regions.source_parcels)
    one[one["crop"] != "maize"].to_file(tmp_path / "few.gpkg")
    with pytest.raises(InputError, match=r"no sample of maize.*classes: blé dur, maize, wheat"):
        run(two_regions, tmp_path, parcels=str(tmp_path / "few.gpkg"))
    assert [path.name for path in tmp_path.iterdir()] == ["few.gpkg"]


TINY = {"epochs": 2, "steps_per_epoch": 4, "batch_size": 16, "resume": True}


def test_shift_only_and_timematch_with_the_real_adaptation(two_regions, tmp_path) -> None:
    """The model with the shift built in is much better than the source model; both models map."""
    known = {"target_parcels": str(two_regions.target_parcels), "target_field": "crop"}
    found = run(two_regions, tmp_path, method="shift", report=str(tmp_path / "r.html"), **known)
    assert abs(found.scores["shift_days"] - EARLIER) <= 8
    assert found.scores["macro_f1_after"] > found.scores["macro_f1_before"] + 0.1
    assert "labels given for this report only" in (tmp_path / "r.html").read_text("utf-8")
    for name, changes in (("time", {"method": "timematch"}), ("dann", {"method": "dann"})):
        output = tmp_path / f"{name}.safetensors"
        trained = run(two_regions, tmp_path, output=str(output), **TINY, **changes)
        assert trained.scores["verdict"] in ("better", "same", "worse", "unclear")
        assert "macro_f1_after" not in trained.scores
        module, card = load_model(output)
        assert card.provenance["adapted"]["method"] == changes["method"]
        assert all(parameter.isfinite().all() for parameter in module.parameters())
        assert not output.with_name(f"{name}.resume.safetensors").exists()
        job_class("map").parse(
            {
                "model": str(output),
                "series": str(two_regions.target),
                "output": str(tmp_path / f"{name}.tif"),
                "device": "cpu",
            }
        ).run(JobContext())


def test_an_adapted_model_gets_a_fast_network_where_it_is_asked_for_or_the_model_had_one(
    two_regions, tmp_path, monkeypatch
) -> None:
    short = classmethod(lambda cls, shift, seed: cls(steps=40, batch_size=64, seed=seed))
    monkeypatch.setattr(DistillOptions, "near", short)
    first = tmp_path / "first.safetensors"
    found = run(
        two_regions, tmp_path, method="shift", fast=True, output=str(first), report=str(tmp_path / "r.html")
    )
    assert set(found.scores["fast"]) == {"agreement", "pixels"}  # no label of the target
    assert "The fast network" in (tmp_path / "r.html").read_text("utf-8")
    card = read_card(first)
    _, own = load_fast(first)
    assert own.positions == card.positions
    again = tmp_path / "again.safetensors"
    run(two_regions, tmp_path, method="shift", model=str(first), output=str(again))
    assert read_card(again).fast is not None
    plain = run(two_regions, tmp_path, method="shift")
    assert "fast" not in plain.scores
    assert read_card(tmp_path / "adapté.safetensors").fast is None


def test_a_cancelled_adaptation_goes_on_from_its_last_epoch(two_regions, tmp_path) -> None:
    ctx = JobContext()
    ctx._send = lambda kind, fields: (
        ctx.cancel() if kind == "metric" and fields["name"] == "shift_days" and fields["step"] == 2 else None
    )
    changes = {**TINY, "epochs": 3}
    with pytest.raises(Cancelled):
        run(two_regions, tmp_path, ctx, **changes)
    assert [path.name for path in tmp_path.iterdir()] == ["adapté.resume.safetensors"]
    said = []
    ctx = JobContext(lambda kind, fields: said.append(fields.get("text", "")))
    run(two_regions, tmp_path, ctx, **changes)
    assert any("where an earlier run was interrupted" in text for text in said)
    straight = run(two_regions, tmp_path, output=str(tmp_path / "b.safetensors"), **changes)
    assert straight.scores["verdict"]
    one, other = (load_model(tmp_path / f"{name}.safetensors")[1].tensors_sha256 for name in ("adapté", "b"))
    assert one == other
