"""What a crop map will take: tiles, bytes to read, time on this machine, memory and disk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from sits_engine.context import JobContext
from sits_engine.jobs.base import JobResult, write_numbers
from sits_engine.jobs.crop_mapping import CropMapping

if TYPE_CHECKING:
    from sits_engine.mapping.bottleneck import Storage
    from sits_engine.mapping.estimate import Estimate, Extent
    from sits_engine.mapping.produce import MapRequest
    from sits_engine.series.time_series import TimeSeries

#: Side of the part of an image that is copied to see what a clipped copy costs.
SAMPLE = 1024
#: Usual seconds of measuring, and how much longer where images are slow to read: for the progress bar.
MEASURING, MEASURING_SLOW = 8.0, 30.0


class PlanMap(CropMapping):
    """Tell what a crop map will take before it is made: time, bytes to read, memory, disk space."""

    title: ClassVar[str] = "Plan map"

    folder: Path | None = Field(
        None,
        description="folder where the map will be written; it may not exist yet. Default: that of the series",
    )
    probabilities: bool = Field(False, description="with the probabilities of all classes")
    output: Path | None = Field(None, description="the numbers of the plan (.json)")

    def run(self, ctx: JobContext) -> JobResult:
        """Look, measure, tell."""
        device = self.begin(ctx, (self.output,))
        from sits_engine.device import threads
        from sits_engine.mapping.bottleneck import SLOW, storage
        from sits_engine.mapping.estimate import extent_of, measure
        from sits_engine.mapping.space import size, space_of
        from sits_engine.mapping.stored_bytes import stored_bytes
        from sits_engine.mapping.tiles import tiles_of

        at = self.opened(ctx, device, (self.output,), fast=self.fast)
        series = at.series
        output = (self.folder or self.series.absolute().parent) / "map.tif"
        probabilities = output.with_name("probabilities.tif") if self.probabilities else None
        request = self.request(at, device, output, probabilities)
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
            f"{'' if extent.exact else 'about '}{extent.wanted} pixels, {len(series.dates)} dates, "
            f"{len(request.bands)} bands: {len(every)} "
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
            "disk_polygons": round(space.polygons),
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
            f"about {size(space.needed)} while the map is made, {size(space.kept)} afterwards; "
            f"{size(space.free)} are free. Polygons of its patches would take about {size(space.polygons)} "
            "more, parcels about as much as their layer."
        )
        result = JobResult({}, scores)
        if self.output is not None:
            write_numbers(self.output, scores)
            result.outputs["output"] = str(self.output)
        ctx.progress(1.0)
        return result

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
