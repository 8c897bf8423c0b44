from __future__ import annotations

import csv
import json
import sys
import types

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
from networks import pixel_sets
from support import report_data
from support.published import write_tile

from sits_engine.context import JobContext
from sits_engine.errors import Cancelled, InputError
from sits_engine.jobs import job_class
from sits_engine.jobs.labelled_pair import in_classes
from sits_engine.learning.adaptation.options import METHODS


def params(two_regions, tmp_path, **changes):
    return {
        "series": str(two_regions.source),
        "parcels": str(two_regions.source_parcels),
        "field": "crop",
        "target_series": str(two_regions.target),
        "target_parcels": str(two_regions.target_parcels),
        "target_field": "crop",
        "table": str(tmp_path / "table.csv"),
        "device": "cpu",
        **changes,
    }


def run(two_regions, tmp_path, ctx=None, **changes):
    given = params(two_regions, tmp_path, **changes)
    return job_class("compare-adaptation").parse(given).run(ctx or JobContext())


class Comparer:
    """Stands in for `learning.adaptation.compare.compare`: remembers what it got."""

    def __call__(self, source, target, methods, seeds, **options):
        self.source, self.target, self.methods, self.seeds = source, target, methods, seeds
        self.options = options
        options["ctx"].progress(0.5, "Comparing")
        names = list(source.classes)
        return report_data.comparison(names, seeds=len(seeds), warnings=["mind this"])


@pytest.fixture
def comparer(monkeypatch) -> Comparer:
    made = Comparer()
    module = types.ModuleType("sits_engine.learning.adaptation.compare")
    module.compare = made
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return made


def test_what_the_comparison_gets_and_what_is_left(two_regions, tmp_path, comparer) -> None:
    report, table = tmp_path / "r.html", tmp_path / "table.csv"
    result = run(
        two_regions,
        tmp_path,
        report=str(report),
        methods="timematch, shift",
        seeds=2,
        effort="quick",
        width="small",
        shift_augmentation=0,
        epochs=2,
        split="parcels",
    )
    assert comparer.source.classes == comparer.target.classes == ("blé dur", "maize", "wheat")
    assert comparer.source.bands == comparer.target.bands == ("B04", "B08")
    assert len(comparer.source) == len(comparer.target) == 100
    assert comparer.target.labels.min() >= 0
    assert (comparer.methods, comparer.seeds) == (["timematch", "shift"], [1, 2])
    train, adapt = comparer.options["train"], comparer.options["options"]
    assert (train.effort, train.width, train.shift, train.split) == ("quick", "small", 0, "parcels")
    assert (train.normalisation, train.mask_clouds, train.season_year) == ("standard", True, 2019)
    assert (adapt.epochs, adapt.shift_augmentation) == (2, 0)
    assert comparer.options["sides"] is None
    assert comparer.options["titles"] == ("là-bas", "ici")
    assert result.outputs == {
        "report": str(report),
        "numbers": str(tmp_path / "r_numbers.json"),
        "table": str(table),
    }
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {"source", "timematch", "target"} <= {row["method"] for row in rows}
    assert "f1_blé dur" in rows[0]
    numbers = json.loads((tmp_path / "r_numbers.json").read_text("utf-8"))
    assert numbers["provenance"]["target"]["field"] == "crop"
    assert numbers["parameters"]["methods"] == ["timematch", "shift"]
    assert result.warnings == ["mind this"]
    assert result.scores["timematch"] == pytest.approx(0.64, abs=0.1)


def test_all_methods_without_a_choice_and_numbers_alone(two_regions, tmp_path, comparer) -> None:
    result = run(two_regions, tmp_path, table="", numbers=str(tmp_path / "n.json"))
    assert comparer.methods == list(METHODS)
    assert comparer.seeds == [1, 2, 3]
    assert result.outputs == {"numbers": str(tmp_path / "n.json")}


def test_tables_of_series_with_bands_that_both_have(two_regions, tmp_path, comparer) -> None:
    def series(path, bands, months=(3, 4, 5, 6)):
        rows = [
            {"id": i, "date": f"2019-0{m}-01", "crop": "ab"[i % 2], **dict.fromkeys(bands, 0.1 + 0.01 * i)}
            for i in range(40)
            for m in months
        ]
        pd.DataFrame(rows).to_csv(path, index=False)
        return str(path)

    nothing = {"series": [], "parcels": [], "target_series": [], "target_parcels": ""}
    source = series(tmp_path / "s.csv", ("red", "nir", "ndvi"))
    target = series(tmp_path / "t.csv", ("ndvi", "B4"))
    run(two_regions, tmp_path, **nothing, labelled_series=source, target_table=target)
    assert comparer.source.bands == comparer.target.bands == ("B04", "NDVI")
    assert comparer.target.counts.tolist() == [20, 20]
    other = series(tmp_path / "u.csv", ("B12",))
    with pytest.raises(InputError, match=r"no band in common\. Source: B04, B08, NDVI; u\.csv: B12"):
        run(two_regions, tmp_path, **nothing, labelled_series=source, target_table=other)
    short = series(tmp_path / "v.csv", ("red",), months=(3, 4, 5))
    longer = series(tmp_path / "w.csv", ("red",), months=(1, 3, 6, 9))
    with pytest.raises(InputError, match="of the model's season are there"):
        run(two_regions, tmp_path, **nothing, labelled_series=longer, target_table=short)


def test_published_tiles(two_regions, tmp_path, comparer) -> None:
    source = write_tile(tmp_path, "denmark/32VNH/2017", [251] * 20 + [5] * 20)
    target = write_tile(tmp_path, "france/30TXT/2017", [5] * 20 + [251] * 20)
    (tmp_path / "dk.csv").write_text("code,class\n251,meadow\n5,corn\n")
    nothing = {"series": [], "parcels": [], "target_series": [], "target_parcels": ""}
    given = {
        **nothing,
        "published_source": str(source),
        "published_target": str(target),
        "class_mapping_source": str(tmp_path / "dk.csv"),
        "min_parcels": 5,
        "split": "published",
        "fold": 1,
    }
    run(two_regions, tmp_path, **given)
    assert {"corn", "meadow"} <= set(comparer.source.classes)
    assert [len(side) for side in comparer.options["sides"]] == [40, 40]
    train = comparer.options["train"]
    assert (train.normalisation, train.mask_clouds) == ("published", False)
    assert comparer.options["titles"] == ("denmark/32VNH/2017", "france/30TXT/2017")
    for changes, message in (
        ({"published_target": ""}, "come in pairs"),
        ({"class_mapping_source": ""}, "CLASS_MAPPING_SOURCE is missing"),
        ({"class_mapping_target": "none.csv"}, "Class mapping of the target not found"),
        ({"series": str(two_regions.source)}, "are both given"),
        ({"published_source": "none"}, "Published source not found"),
    ):
        with pytest.raises(InputError, match=message):
            run(two_regions, tmp_path, **{**given, **changes})


def test_bad_input_names_the_thing(two_regions, tmp_path, comparer) -> None:
    layer = gpd.read_file(two_regions.target_parcels)
    layer.assign(crop="hops").to_file(tmp_path / "hops.gpkg")
    for changes, message in (
        ({"table": ""}, "There is no output"),
        ({"target_field": ""}, "The target has no labels"),
        ({"target_parcels": ""}, "The target has no labels"),
        ({"field": ""}, "FIELD is missing"),
        ({"split": "published"}, "SPLIT = published is the split of the published data"),
        ({"methods": "timematch,magic"}, "METHODS"),
        ({"table": str(two_regions.target)}, "is an input of this run"),
        ({"target_parcels": str(tmp_path / "hops.gpkg")}, r"0 samples .* Target: hops; source: blé dur"),
    ):
        with pytest.raises(InputError, match=message):
            run(two_regions, tmp_path, **changes)


def test_cancel_leaves_nothing(two_regions, tmp_path, comparer) -> None:
    ctx = JobContext()
    ctx._send = lambda kind, fields: ctx.cancel() if fields.get("phase") == "Comparing" else None
    with pytest.raises(Cancelled):
        run(two_regions, tmp_path, ctx)
    assert list(tmp_path.iterdir()) == []


def test_target_samples_of_other_classes_are_counted() -> None:
    sets = pixel_sets([1] * 48)
    sets.labels[:] = np.arange(48) % 4
    sets.labels[0] = -1
    found, notes = in_classes(sets, ["d", "b", "a"])
    assert found.classes == ("d", "b", "a")
    assert found.labels[:3].tolist() == [1, 0, 2]
    assert len(found) == 35
    assert notes[0] == "1 samples of the target without a label were left out."
    assert "12 samples of the target have classes that the source doesn't have" in notes[1]


def test_two_methods_with_the_real_comparison(two_regions, tmp_path) -> None:
    changes = {
        "effort": "quick",
        "width": "small",
        "shift_augmentation": 0,
        "epochs": 1,
        "steps_per_epoch": 3,
    }
    result = run(two_regions, tmp_path, methods="shift, timematch", seeds=1, **changes)
    assert set(result.scores) == {"source", "shift", "timematch", "target"}
    with (tmp_path / "table.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["method"]: row for row in csv.DictReader(file)}
    assert list(rows) == ["source", "shift", "timematch", "target"]
    assert 15 <= float(rows["shift"]["shift"]) <= 45
    assert float(rows["target"]["macro_f1"]) > 0.8
