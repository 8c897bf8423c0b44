"""What all jobs share that read a time series: what to do where an image can't be read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from sits_engine.context import JobContext
from sits_engine.jobs.base import Job, existing

if TYPE_CHECKING:
    from sits_engine.series.time_series import TimeSeries


class SeriesJob(Job):
    """A job that reads time series."""

    unreadable: Literal["error", "missing"] = Field(
        "error",
        description="images that can't be read (after several tries, on servers): error: stop and name the "
        "first; missing: leave them out where they can't be read, as if clouded, and list them as warnings",
    )

    def open_series(self, path: Path, ctx: JobContext, *, season_year: int | None = None) -> TimeSeries:
        """A series of this job; what is left out of it becomes warnings of the result."""
        from sits_engine.series.time_series import TimeSeries

        series = TimeSeries.open(
            existing(path, "Time series"),
            season_year=season_year,
            unreadable=self.unreadable,
            notice=ctx.info,
            halted=lambda: ctx.cancelled,
        )
        ctx.also_warn(series.missing.sentences)
        return series
