"""What a crop map will take: tiles, bytes to read, time on this machine, memory and disk."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from sits_engine.context import JobContext
from sits_engine.jobs.base import JobResult, claim_outputs, existing, write_numbers
from sits_engine.jobs.map_crops import OVERLAP
from sits_engine.jobs.series_reading import SeriesJob
from sits_engine.mapping.tiles import CACHE_MB

if TYPE_CHECKING:
    from sits_engine.mapping.bottleneck import Storage
    from sits_engine.mapping.estimate import Estimate, Extent
    from sits_engine.mapping.produce import MapRequest
    from sits_engine.mapping.segment_tiles import SegmentTiles
    from sits_engine.models.inference import Predictor
    from sits_engine.series.time_series import TimeSeries

#: Side of the part of an image that is copied to see what a clipped copy costs.
SAMPLE = 1024
#: Usual seconds of measuring, and how much longer where images are slow to read: for the progress bar.
MEASURING, MEASURING_SLOW = 8.0, 30.0


class PlanMap(SeriesJob):
    """Tell what a crop map will take before it is made: time, bytes to read, memory, disk space."""

    title: ClassVar[str] = "Plan map"

    series: Path = Field(description="time series (STAC ItemCollection, .json)")
    model: Path = Field(description="model (.safetensors)")
    extent: str | None = Field(
        None, description="region of interest as xmin,xmax,ymin,ymax [EPSG:code]; default: the whole series"
    )
    region: str | None = Field(
        None, description="polygon layer of the region of interest (path|layername=NAME)"
    )
    folder: Path | None = Field(
        None,
        description="folder where the map will be written; it may not exist yet. Default: that of the series",
    )
    probabilities: bool = Field(False, description="with the probabilities of all classes")
    min_mapping_unit: Annotated[float, Field(ge=0)] = Field(
        0.0, description="minimum mapping unit in hectares; 0: keep every pixel"
    )
    season_year: int | None = Field(
        None, ge=1970, le=2200, description="year whose 1 January is day 0; default: as the series says"
    )
    fast: bool = Field(False, description="with the fast network in the model's file")
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, mps")
    batch_size: int = Field(0, ge=0, description="pixels computed at once; 0: what suits the device")
    overlap: int = Field(
        OVERLAP,
        ge=0,
        le=90,
        description="percent of a window that the next one sees again (segmentation models)",
    )
    tile_size: int = Field(
        0, ge=0, le=4096, description="largest side of a tile in pixels; 0: 256. Long series get smaller ones"
    )
    workers: int = Field(0, ge=0, le=64, description="threads that classify; 0: all processors")
    output: Path | None = Field(None, description="the numbers of the plan (.json)")

    def run(self, ctx: JobContext) -> JobResult:
        """Look, measure, tell."""
        os.environ.setdefault("GDAL_CACHEMAX", CACHE_MB)  # see `map_crops`
        from sits_engine.device import threads
        from sits_engine.mapping.bottleneck import SLOW, storage
        from sits_engine.mapping.estimate import extent_of, measure
        from sits_engine.mapping.space import size, space_of
        from sits_engine.mapping.stored_bytes import stored_bytes
        from sits_engine.mapping.tiles import tiles_of

        claim_outputs((self.output,), (self.series, self.model, self.region))
        existing(self.model, "Model")
        ctx.progress(0.0, "Opening series and model")
        request, series = self._request(ctx)
        every = list(tiles_of(request.region.window, request.tile_size))
        extent = extent_of(request.region, every)
        space = space_of(request)
        space.check()
        before = ctx.elapsed  # the map will take as long to come here
        kind = storage(series, request.bands)
        opened = before / (before + MEASURING + (MEASURING_SLOW if kind in SLOW else 0))
        ctx.progress(opened, "Looking at the files")
        stored = stored_bytes(series, request.bands, request.region.window)
        bytes_to_read = (
            stored.bytes * extent.pixels / (request.region.window.height * request.region.window.width)
        )
        outside = len(every) - len(extent.tiles)
        ctx.info(
            f"{extent.wanted} pixels, {len(series.dates)} dates, {len(request.bands)} bands: {len(every)} "
            f"tiles of at most {request.tile_size} x {request.tile_size} pixels"
            + (f", {outside} of them outside" if outside else "")
            + f"; {'' if stored.exact else 'about '}{size(bytes_to_read)} to read from {stored.files} files."
        )
        bytes_of_a_pixel = request.scale**2 * (
            2 + (request.beside.bytes_of_a_pixel if request.probabilities else 0)
        )
        end = 0.9 if kind in SLOW else 1.0
        tick = ctx.part(opened, opened + end * (1 - opened), "Measuring tiles")
        found = measure(request.work, extent, request.plan, threads(), bytes_of_a_pixel, before, tick)
        scores: dict[str, Any] = {
            "pixels": extent.wanted,
            "dates": len(series.dates),
            "tiles": len(extent.tiles),
            "bytes_to_read": round(bytes_to_read),
            "bytes_exact": stored.exact,
            "seconds": round(found.seconds, 2),
            "seconds_low": round(found.low, 2),
            "seconds_high": round(found.high, 2),
            "seconds_once": round(found.once, 2),
            "measured_tiles": found.tiles,
            "disk_needed": round(space.needed),
            "disk_kept": round(space.kept),
            "disk_free": round(space.free),
            "peak_memory": _peak_memory(request, found),
            "device": ctx.device,
        }
        ctx.info(
            f"Time on this machine ({ctx.device}): about {_time(found.seconds)}, between {_time(found.low)} "
            f"and {_time(found.high)}, judged by {found.tiles} tiles. Starting, opening the files "
            f"and preparing the network take {_time(found.once)} of it, whatever the size of the map."
        )
        scores |= self._limits(ctx, request, series, found, extent, kind)
        ctx.info(
            f"Memory: about {size(scores['peak_memory'])}. Disk space in {space.folder}: "
            f"{size(space.needed)} while the map is made, {size(space.kept)} afterwards; "
            f"{size(space.free)} are free."
        )
        result = JobResult({}, scores)
        if self.output is not None:
            write_numbers(self.output, scores)
            result.outputs["output"] = str(self.output)
        ctx.progress(1.0)
        return result

    def _request(self, ctx: JobContext) -> tuple[MapRequest, TimeSeries]:
        """The map as 'Map crops' would make it."""
        from sits_engine.device import select, threads
        from sits_engine.mapping.compat import match_bands
        from sits_engine.mapping.finer import with_edge_pixels
        from sits_engine.mapping.pipeline import plan
        from sits_engine.mapping.produce import MapRequest
        from sits_engine.mapping.recipes import CropRecipe
        from sits_engine.mapping.segment_tiles import SegmentTiles, tile_size_of
        from sits_engine.models.segment_inference import SegmentPredictor
        from sits_engine.samples.region import make_region

        device = select(self.device)
        ctx.device = device.label
        series = self.open_series(self.series, ctx, season_year=self.season_year)
        region = make_region(series.grid, self.extent, self.region)
        recipe = CropRecipe(self.overlap, self.batch_size, self.fast)
        predictor = recipe.predictor(self.model, device, ctx.warn)
        if not predictor.mask_dates:
            series = series.with_clouds()
        bands = match_bands(series, predictor.card)
        model: Predictor | SegmentTiles
        if isinstance(predictor, SegmentPredictor):
            model = SegmentTiles(predictor, series.grid)
            region = with_edge_pixels(region, predictor.scale)
        else:
            model = predictor
        output = (self.folder or self.series.absolute().parent) / "map.tif"
        request = MapRequest(
            series=series,
            bands=bands,
            region=region,
            predictor=model,
            card=predictor.card,
            tile_size=tile_size_of(predictor, series, bands, self.tile_size),
            plan=plan(device.is_cpu, threads(), self.workers),
            output=output,
            probabilities=output.with_name("probabilities.tif") if self.probabilities else None,
            min_mapping_unit=self.min_mapping_unit,
        )
        return request, series

    def _limits(
        self,
        ctx: JobContext,
        request: MapRequest,
        series: TimeSeries,
        found: Estimate,
        extent: Extent,
        stored: Storage,
    ) -> dict[str, Any]:
        """What will limit the map; where images are slow to read, what a clipped copy costs and brings."""
        from sits_engine.mapping.bottleneck import SLOW, network_of, sentence

        network = network_of(request.predictor, request.card)
        said = sentence(found.timings, stored, network, planned=True)
        ctx.info(said)
        busy = {stage: round(share, 3) for stage, share in found.timings.shares().items()}
        scores: dict[str, Any] = {"bottleneck": said, "busy": busy, "storage": stored}
        slow_reading = found.cost.reading > found.cost.computing
        if stored in SLOW and slow_reading:
            ctx.progress(0.9, "Measuring a clipped copy")
            scores["copy"] = self._copy(ctx, request, series, found, extent)
        return scores

    def _copy(
        self, ctx: JobContext, request: MapRequest, series: TimeSeries, found: Estimate, extent: Extent
    ) -> dict[str, Any]:
        """Size of a clipped copy of the region, time to make it, and time of the map with it."""
        from sits_engine.device import threads
        from sits_engine.mapping.estimate import from_copy
        from sits_engine.mapping.space import size
        from sits_engine.series.clip import sample
        from sits_engine.series.types import Window

        region = request.region.window
        height, width = min(SAMPLE, region.height), min(SAMPLE, region.width)
        middle = Window(
            region.row + (region.height - height) // 2,
            region.col + (region.width - width) // 2,
            height,
            width,
        )
        dates = len(series.dates)
        copied = sample(series, dates // 2, middle)
        area = region.height * region.width
        cost = from_copy(found.cost, copied, dates, extent.pixels, threads())
        once = found.before + found.timings.starting
        seconds = once + cost.timings(request.plan, threads()).elapsed + found.assembly
        facts = {
            "bytes": round(copied.bytes * dates * area),
            # 'Build image time series' opens the same images first
            "seconds_to_make": round(found.before + copied.making * dates * area, 2),
            "map_seconds": round(seconds, 2),
            "times_as_fast": round(found.seconds / seconds, 2),
        }
        slower = found.cost.reading / max(found.cost.computing, 1e-9)
        ctx.info(
            f"Reading these images takes {slower:.1f} times as long as the network does. A clipped, tiled "
            f"copy (CLIP_FOLDER of 'Build image time series') takes about {size(facts['bytes'])} and "
            f"{_time(facts['seconds_to_make'])} to make, once; the map then takes about {_time(seconds)}: "
            f"{facts['times_as_fast']:.1f} times as fast."
        )
        return facts


def _peak_memory(request: MapRequest, found: Estimate) -> int:
    """Bytes: what the process takes now, after single tiles, and the windows that will wait beside them."""
    import psutil

    from sits_engine.mapping.pipeline import QUEUE

    alive = request.plan.readers + QUEUE - 1 + request.plan.workers
    return int(psutil.Process().memory_info().rss + (alive - 1) * found.cube_bytes)


def _time(seconds: float) -> str:
    """'12 s', '3.5 minutes', '2.1 hours'."""
    if seconds < 100:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} minutes" if seconds < 6000 else f"{seconds / 3600:.1f} hours"
