"""What all jobs share that apply a model to a time series: which, where, on what; and opening the series."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, Field

from sits_engine.context import JobContext
from sits_engine.jobs.base import claim_outputs, existing, keep_inputs
from sits_engine.jobs.map_run import own_device
from sits_engine.jobs.series_reading import SeriesJob
from sits_engine.mapping.tiles import CACHE_MB

if TYPE_CHECKING:
    from sits_engine.device import Device
    from sits_engine.mapping.pipeline import Plan
    from sits_engine.samples.region import Region
    from sits_engine.series.time_series import TimeSeries

#: Side of a tile (pixels) below which each pixel costs its own file and its own read.
SMALLEST_TILE = 16


def _tile_size(side: int) -> int:
    if 0 < side < SMALLEST_TILE:
        raise ValueError(f"tiles below {SMALLEST_TILE} pixels take far longer; 0 chooses what suits")
    return side


TileSize = Annotated[int, Field(ge=0, le=4096), AfterValidator(_tile_size)]


class MappingJob(SeriesJob):
    """A job that applies a model to a time series, tile by tile."""

    series: Path = Field(description="time series (STAC ItemCollection, .json)")
    model: Path = Field(description="model (.safetensors)")
    extent: str | None = Field(
        None, description="region of interest as xmin,xmax,ymin,ymax [EPSG:code]; default: the whole series"
    )
    region: str | None = Field(
        None, description="polygon layer of the region of interest (path|layername=NAME)"
    )
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, mps")
    tile_size: TileSize = Field(
        0, description="largest side of a tile in pixels, 16 to 4096; 0: 256. Long series get smaller ones"
    )
    workers: int = Field(0, ge=0, le=64, description="threads that classify; 0: all processors")

    def begin(
        self,
        ctx: JobContext,
        outputs: Sequence[Path | None],
        inputs: Sequence[Path | str | None] = (),
        scheduler: str | None = None,
    ) -> Device:
        """Check the files, say that the job begins, and give the device of this process.

        Args:
            ctx: of the job.
            outputs: files that will be written, None for those that nobody wants.
            inputs: further files that must not be written over.
            scheduler: of the cluster that computes the tiles, None for this computer.
        """
        # GDAL reads it at first use; a user's own setting wins.
        os.environ.setdefault("GDAL_CACHEMAX", CACHE_MB)
        existing(self.model, "Model")
        claim_outputs(outputs, (self.series, self.model, self.region, *inputs))
        ctx.progress(0.0, "Opening series and model")
        device = own_device(self.device, scheduler)
        ctx.device = device.label
        return device

    def open_images(
        self, ctx: JobContext, outputs: Sequence[Path | None], *, season_year: int | None = None
    ) -> TimeSeries:
        """The series, none of whose images is an output."""
        series = self.open_series(self.series, ctx, season_year=season_year)
        keep_inputs(outputs, (h for scenes in series.scenes for scene in scenes for h in scene.hrefs()))
        return series

    def region_in(self, series: TimeSeries) -> Region:
        """The region of interest on the grid of the series."""
        from sits_engine.samples.region import make_region

        return make_region(series.grid, self.extent, self.region)

    def plan_on(self, device: Device) -> Plan:
        """How the work is spread over the processors."""
        from sits_engine.device import threads
        from sits_engine.mapping.pipeline import plan

        return plan(device.is_cpu, threads(), self.workers)
