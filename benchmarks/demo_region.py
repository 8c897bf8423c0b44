"""The simulated pair of regions of `sits demo` at default difficulty, made once."""

from __future__ import annotations

from pathlib import Path

from sits_engine.context import JobContext
from sits_engine.jobs import job_class
from sits_engine.series.time_series import TimeSeries


def demo_series(folder: Path, region: str) -> TimeSeries:
    """The image time series of region 'a' or 'b'; what is missing is made."""
    if not (folder / "truth.json").exists():
        job_class("createdemodata").parse({"output_folder": str(folder)}).run(JobContext())
    series = folder / f"{region}.json"
    if not series.exists():
        inputs = {"input_folder": str(folder / f"region_{region}" / "images"), "output": str(series)}
        job_class("buildtimeseries").parse(inputs).run(JobContext())
    return TimeSeries.open(series)
