"""Build image time series: from files, SAFE folders, catalogues or an API to one item collection."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import ClassVar

from pydantic import Field, field_validator

from sits_engine.context import JobContext
from sits_engine.errors import InputError
from sits_engine.jobs.base import Job, JobResult, claim_outputs, keep_inputs
from sits_engine.outputs import numbers_beside
from sits_engine.series.build import BuildOptions, Sources, build
from sits_engine.series.clip import Compression
from sits_engine.series.points import read_points
from sits_engine.series.summary import SeriesReportData, summarise
from sits_engine.series.time_series import TimeSeries


class BuildTimeSeries(Job):
    """Make a time series (STAC item collection) of images; the images stay where they are."""

    title: ClassVar[str] = "Build image time series"

    input_folder: Path | None = Field(
        None, description="folder of rasters with dates in their names, or of SAFE folders"
    )
    layers: list[str] = Field(default_factory=list, description="raster files, e.g. of loaded layers")
    stac: str | None = Field(None, description="file or URL of a STAC catalogue, item collection or API")
    extent: str | None = Field(None, description="area: xmin,xmax,ymin,ymax [EPSG:32631]")
    output: Path = Field(description="the time series (.json)")
    report: Path | None = Field(None, description="report (.html)")
    collections: list[str] = Field(default_factory=list, description="collections of the STAC API")
    start_date: datetime.date | None = Field(None, description="first date, e.g. 2019-03-01")
    end_date: datetime.date | None = Field(None, description="last date, included")
    max_cloud: float | None = Field(None, ge=0, le=100, description="largest cloud cover of a scene, percent")
    auth_header: str | None = Field(
        None, description="HTTP header for the STAC API; never written anywhere", repr=False
    )
    date_pattern: str | None = Field(None, description="where the date stands in a name, e.g. %Y_%m_%d")
    bands: list[str] = Field(
        default_factory=list, description="band names, for files without band descriptions"
    )
    mask_band: str | None = Field(None, description="band of the cloud mask (default: SCL where present)")
    mask_values: list[int] = Field(default_factory=list, description="values of the mask that are NOT clear")
    scale: float | None = Field(None, description="reflectance = number * scale + offset")
    offset: float | None = Field(None, description="see scale")
    season_year: int | None = Field(
        None, ge=1972, le=2100, description="its 1 January is day 0 (default: median date)"
    )
    resolution: float | None = Field(None, gt=0, description="pixel size of the common grid, CRS units")
    crs: str | None = Field(None, description="CRS of the common grid")
    clip_folder: Path | None = Field(None, description="make a clipped, tiled copy of the images here")
    clip_compression: Compression = Field(
        "DEFLATE",
        description="of the copy: DEFLATE, which every program reads, or ZSTD, which maps read faster",
    )
    profile_points: str | None = Field(None, description="points whose profiles the report shows")

    @field_validator("layers", "collections", "bands", mode="before")
    @classmethod
    def _words(cls, value: object) -> object:
        """One text with commas or semicolons is a list too (QGIS' string parameters)."""
        if isinstance(value, str):
            separator = ";" if ";" in value else ","
            return [part.strip() for part in value.split(separator) if part.strip()]
        return value

    @field_validator("mask_values", mode="before")
    @classmethod
    def _numbers(cls, value: object) -> object:
        if isinstance(value, str):
            return [part for part in value.replace(";", ",").replace(" ", ",").split(",") if part]
        return value

    def run(self, ctx: JobContext) -> JobResult:
        """Find the scenes, check them, choose the grid, write the collection and the report."""
        given = [self.input_folder is not None, bool(self.layers), self.stac is not None]
        if sum(given) != 1:
            state = "None" if not any(given) else "More than one"
            raise InputError(
                f"{state} of INPUT_FOLDER, LAYERS and STAC is given.", "Give exactly one source of images."
            )
        if self.output.suffix.lower() not in (".json", ".geojson"):
            raise InputError(f"OUTPUT must end in .json (given: {self.output}).")
        if self.start_date and self.end_date and self.start_date > self.end_date:
            raise InputError(f"START_DATE {self.start_date} lies after END_DATE {self.end_date}.")
        outputs = [self.output]
        if self.report is not None:
            outputs += [self.report, numbers_beside(self.report)]
        claim_outputs(outputs, [*self.layers, self.stac, self.profile_points])
        sources = Sources(
            folder=self.input_folder,
            layers=tuple(self.layers),
            stac=self.stac,
            collections=tuple(self.collections),
            start=self.start_date,
            end=self.end_date,
            max_cloud=self.max_cloud,
            auth_header=self.auth_header,
            date_pattern=self.date_pattern,
        )
        options = BuildOptions(
            extent=self.extent,
            bands=tuple(self.bands),
            mask_band=self.mask_band,
            mask_values=tuple(self.mask_values),
            scale=self.scale,
            offset=self.offset,
            season_year=self.season_year,
            resolution=self.resolution,
            crs=self.crs,
            clip_folder=self.clip_folder,
            clip_compression=self.clip_compression,
        )
        series = build(sources, options, self.output, ctx, lambda hrefs: keep_inputs(outputs, hrefs))
        written = {"output": str(self.output)}
        summary = series_summary(series, self.profile_points, ctx)
        if self.report is not None:
            from sits_engine.report.series import write_series_report

            ctx.progress(0.97, "Writing the report")
            write_series_report(self.report, summary)
            written["report"] = str(self.report)
        ctx.progress(1.0, "Done")
        scores = {
            "dates": len(series.dates),
            "scenes": sum(len(scenes) for scenes in series.scenes),
            "bands": len(series.bands),
            "clear_median": summary.clear_median,
        }
        return JobResult(outputs=written, scores=scores, warnings=list(ctx.warnings))


def series_summary(series: TimeSeries, profile_points: str | None, ctx: JobContext) -> SeriesReportData:
    """Numbers of the report: clear observations and profiles."""
    tick = ctx.part(0.82, 0.97, "Counting clear observations")
    points = read_points(profile_points, series.grid.crs) if profile_points else []
    return summarise(series, points=points, warnings=ctx.warnings, tick=tick)
