"""Adaptation between real regions, with the defaults: labels of the target are for the scores at the end."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest
import torch

from sits_engine.context import JobContext
from sits_engine.device import Device
from sits_engine.learning.adaptation.compare import compare
from sits_engine.learning.adaptation.options import AdaptOptions
from sits_engine.learning.run import RunOptions

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture
def run(real_data, monkeypatch):
    """A function (folder, pair) -> rows by method of one seed with the small network."""

    def one(folder, name, methods):
        monkeypatch.setenv("SITS_REAL_DATA", str(real_data(folder).parent))
        path = Path(__file__).parents[3] / "benchmarks" / "pairs.py"
        spec = importlib.util.spec_from_file_location("pairs", path)
        pairs = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, "pairs", pairs)
        spec.loader.exec_module(pairs)
        pair = pairs.PAIRS[name]()
        found = compare(
            pair.source,
            pair.target,
            methods,
            [0],
            train=RunOptions(width="small"),
            options=AdaptOptions(),
            device=Device(torch.device("cpu"), "CPU"),
            ctx=JobContext(),
        )
        print({row.method: (row.accuracy, row.macro_f1, row.shift, row.verdict) for row in found.rows})
        return {row.method: row for row in found.rows}

    return one


def test_a_real_shift_is_found_and_timematch_makes_much_of_it(run):
    rows = run("cawa_central_asia", "kashkadarya-fergana", ["timematch", "shift"])
    assert 24 <= rows["shift"].shift <= 40
    assert rows["shift"].accuracy > rows["source"].accuracy + 0.2
    assert rows["timematch"].accuracy > rows["shift"].accuracy
    assert rows["timematch"].verdict == "better"


def test_without_a_shift_nothing_is_lost_and_the_verdict_promises_no_more_than_there_is(run):
    rows = run("modis_mato_grosso", "mato-grosso", ["timematch"])
    assert abs(rows["timematch"].shift) <= 2
    assert rows["timematch"].accuracy >= rows["source"].accuracy - 0.01
    assert rows["timematch"].verdict in ("same", "better")
    if rows["timematch"].verdict == "better":
        assert rows["timematch"].macro_f1 > rows["source"].macro_f1 + 0.01
