"""The promise about the standard difficulty on a small demo; the benchmark measures the full size."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from sits_engine.context import JobContext
from sits_engine.series.simulate import simulate_pair

BENCHMARK = Path(__file__).resolve().parents[3] / "benchmarks" / "demo_difficulty.py"


@pytest.fixture(scope="module")
def benchmark():
    if not BENCHMARK.exists():
        pytest.skip("benchmarks/ is not part of this tree")
    spec = importlib.util.spec_from_file_location("demo_difficulty", BENCHMARK)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_random_forest_finds_region_a_hard_and_region_b_much_harder(benchmark, tmp_path):
    simulate_pair(
        tmp_path,
        size=288,
        dates=20,
        shift_days=28.0,
        difficulty="standard",
        seed=0,
        ctx=JobContext(),
    )
    result = benchmark.measure(tmp_path, per_parcel=8, trees=40, jobs=1)
    assert benchmark.ACCEPTED[0] - 0.05 <= result["macro_f1_a"] <= benchmark.ACCEPTED[1]
    assert result["macro_f1_a"] - result["macro_f1_a_to_b"] >= benchmark.LEAST_DROP
    assert result["macro_f1_b"] > result["macro_f1_a_to_b"] + benchmark.LEAST_DROP


def test_interpolation_in_time_uses_clear_dates_only(benchmark):
    days = np.array([40, 60, 100, 300])
    values = np.array([[[1.0], [9.0], [4.0], [0.0]]], dtype=np.float32)
    clear = np.array([[True, False, True, False]])
    series = benchmark.interpolate(values, clear, days)[0]
    at = dict(zip(benchmark.DAYS.tolist(), series.tolist(), strict=True))
    assert at[40] == 1.0
    assert at[60] == pytest.approx(2.0)  # the clouded 9 is ignored
    assert at[100] == at[200] == at[300] == 4.0
    assert np.all(benchmark.interpolate(values, np.zeros_like(clear), days) == 0.0)
