"""What a map will take: tiles, bytes to read, time on this machine, memory and disk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field, PrivateAttr

from sits_engine.context import JobContext, counted
from sits_engine.errors import InputError
from sits_engine.jobs.base import JobResult, write_numbers
from sits_engine.jobs.crop_mapping import CropMapping
from sits_engine.jobs.words_mapping import Steps, WordsMapping

if TYPE_CHECKING:
    from sits_engine.device import Device
    from sits_engine.mapping.bottleneck import Storage
    from sits_engine.mapping.estimate import Estimate, Extent
    from sits_engine.mapping.produce import MapRequest
    from sits_engine.mapping.space import Disk
    from sits_engine.models.clip import ClipEncoder
    from sits_engine.series.time_series import TimeSeries

#: Side of the part of an image that is copied to see what a clipped copy costs.
SAMPLE = 1024
#: Usual seconds of measuring, and how much longer where images are slow to read: for the progress bar.
MEASURING, MEASURING_SLOW = 8.0, 30.0
#: Seconds that the process takes to end, for one that it took to launch (measured: 0.2 to 0.4).
ENDING = 0.3
#: Fields that count for one kind of models only.
OF_CROPS, OF_WORDS = ("season_year", "fast", "batch_size", "overlap"), ("classes", "steps")


class PlanMap(CropMapping, WordsMapping):
    """Tell what a map will take before it is made: time, bytes to read, memory, disk space."""

    title: ClassVar[str] = "Plan map"

    model: Path = Field(
        description="model that the map will be made with (.safetensors): of crops, or a photo model for a "
        "map from words"
    )
    folder: Path | None = Field(
        None,
        description="folder where the map will be written; it may not exist yet. Default: that of the series",
    )
    probabilities: bool = Field(
        False, description="with the probabilities of all classes (from words: their similarities)"
    )
    probabilities_folder: Path | None = Field(
        None, description="folder where these will be written, if not in that of the map; asks for them, too"
    )
    classes: int | None = Field(
        None,
        ge=1,
        le=255,
        description="photo models: number of classes of a map of classes, with that of BACKGROUND; without "
        "it one of similarity or scenicness is planned",
    )
    steps: Steps = Field(
        "12", description="photo models: steps of the year that the map will be made from: 12, 4, or 1"
    )
    output: Path | None = Field(None, description="the numbers of the plan (.json)")
    #: While tiles are measured it takes the memory that it takes in the map.
    _clip: ClipEncoder | None = PrivateAttr(None)

    def run(self, ctx: JobContext) -> JobResult:
        """Look, measure, tell."""
        device = self.begin(ctx, (self.output,))
        from sits_engine.device import threads
        from sits_engine.mapping.bottleneck import SLOW, storage
        from sits_engine.mapping.estimate import extent_of, measure
        from sits_engine.mapping.space import polygon_bytes, size, space_of
        from sits_engine.mapping.stored_bytes import stored_bytes
        from sits_engine.mapping.tiles import tiles_of
        from sits_engine.models.model_file import read_card

        words = read_card(self.model).architecture == "timesenclip"
        series, request = (self._of_words if words else self._of_crops)(ctx, device)
        request.smallest_patch()  # too large a unit is refused as by the map
        every = list(tiles_of(request.region.window, request.tile_size))
        extent = extent_of(request.region, every)
        space = space_of(request)
        space.check()
        so_far = ctx.elapsed
        before = so_far + ctx.launching * (1 + ENDING)  # the map will take as long to come here
        kind = storage(series, request.bands)
        opened = so_far / (so_far + MEASURING + (MEASURING_SLOW if kind in SLOW else 0))
        ctx.progress(opened, "Looking at the files")
        stored = stored_bytes(series, request.bands, request.region.window)
        bytes_to_read = (
            stored.bytes * extent.pixels / (request.region.window.height * request.region.window.width)
        )
        outside = len(every) - len(extent.tiles)
        ctx.info(
            f"{'' if extent.exact else 'about '}{counted(extent.wanted, 'pixel')}, "
            f"{counted(len(series.dates), 'date')}, {counted(len(request.bands), 'band')}: "
            f"{counted(len(every), 'tile')} of at most {request.tile_size} x {request.tile_size} pixels"
            + (f", {outside} of them outside" if outside else "")
            + f"; {'' if stored.exact else 'about '}{size(bytes_to_read)} to read from "
            f"{counted(stored.files, 'file')}."
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
            "disk_free": round(space.disks[0].free),
            "disk_polygons": 0 if words else round(polygon_bytes(request)),
            "disks": [_plain(disk) for disk in space.disks],
            "peak_memory": _peak_memory(request, found),
            "device": ctx.device,
        }
        ctx.info(
            f"Time on this machine ({ctx.device}): about {_time(found.seconds)}, between {_time(found.low)} "
            f"and {_time(found.high)}, judged by {counted(found.tiles, 'tile')}. Starting, opening the files "
            f"and preparing the network take {_time(found.once)} of it, whatever the size of the map."
        )
        scores |= self._limits(ctx, request, series, found, extent, kind)
        told = [f"Memory: about {size(scores['peak_memory'])}."]
        for disk in space.disks:
            told.append(
                f"Disk space in {disk.folder} ({', '.join(disk.files)}): about {size(disk.needed)} while "
                f"the map is made, {size(disk.kept)} afterwards; {size(disk.free)} are free."
            )
        if not words:
            told.append(
                f"Polygons of its patches would take about {size(scores['disk_polygons'])} more, parcels "
                "about as much as their layer."
            )
        ctx.info(" ".join(told))
        result = JobResult({}, scores)
        if self.output is not None:
            write_numbers(self.output, scores)
            result.outputs["output"] = str(self.output)
        ctx.progress(1.0)
        return result

    def _of_crops(self, ctx: JobContext, device: Device) -> tuple[TimeSeries, MapRequest]:
        """What 'Map crops' would make."""
        self._unused(ctx, OF_WORDS, "photo models")
        at = self.opened(ctx, device, (self.output,), fast=self.fast)
        return at.series, self.request(at, device, *self._files("probabilities.tif"))

    def _of_words(self, ctx: JobContext, device: Device) -> tuple[TimeSeries, MapRequest]:
        """What a map of words would make, by vectors of chance: no text takes longer than another."""
        import numpy as np

        from sits_engine.mapping.cog import BandInfo, Layers
        from sits_engine.mapping.embedding_map import ClassHead, Head, SimilarityHead
        from sits_engine.models.card import ClassCard
        from sits_engine.models.clip.choice import clip_of
        from sits_engine.models.clip.prompts import check_several

        self._unused(ctx, OF_CROPS, "models of crops")
        if self.classes is not None:
            check_several(self.classes, "CLASSES, that of BACKGROUND counted")
        output, numbers = self._files("similarities.tif")
        if self.classes is None and self.min_mapping_unit > 0:
            ctx.warn("MIN_MAPPING_UNIT: for maps of classes only; say how many CLASSES the map will have.")
        if self.classes is None and numbers is not None:
            raise InputError(
                "A map of similarity has no PROBABILITIES of classes.",
                "Say how many CLASSES the map will have.",
            )
        predictor = self.encoder(ctx, device)
        try:
            self._clip = clip_of(predictor.card, None, device)
        except InputError as error:
            ctx.warn(f"{error.message} The plan lacks the time and the memory to open it.")
        at = self.images_of(ctx, predictor, (self.output,))
        named = [ClassCard(name=f"class {i}", color="#000000") for i in range(1, 1 + (self.classes or 1))]
        vectors = np.random.default_rng(0).standard_normal((len(named), predictor.dim), np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        head: Head = ClassHead(vectors, predictor.scale) if self.classes else SimilarityHead(vectors[0])
        return at.series, self.words_request(
            at,
            head,
            predictor.card.model_copy(update={"classes": named}),
            Layers([BandInfo(one.name, float("nan")) for one in named], "float32"),
            output=output if self.classes else None,
            numbers=numbers if self.classes else output,
            min_mapping_unit=self.min_mapping_unit if self.classes else 0.0,
        )

    def _files(self, beside: str) -> tuple[Path, Path | None]:
        """The map, and what is wanted beside it: names only, nothing is written there."""
        folder = self.folder or self.series.absolute().parent
        for one in filter(None, (folder, self.probabilities_folder)):
            there = next((path for path in (one, *one.absolute().parents) if path.exists()), one)
            if not there.is_dir():
                raise InputError(f"{there} is no folder.", "Choose another folder for the map.")
        wanted = self.probabilities or self.probabilities_folder is not None
        return folder / "map.tif", (self.probabilities_folder or folder) / beside if wanted else None

    def _unused(self, ctx: JobContext, names: tuple[str, ...], kind: str) -> None:
        """Say which fields were given that this model doesn't ask."""
        given = [
            name.upper() for name in names if getattr(self, name) != type(self).model_fields[name].default
        ]
        if given:
            ctx.warn(f"{' and '.join(given)}: for {kind} only, not for this model.")

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


def _plain(disk: Disk) -> dict[str, Any]:
    """A disk as JSON."""
    return {
        "folder": str(disk.folder),
        "files": list(disk.files),
        "needed": round(disk.needed),
        "kept": round(disk.kept),
        "free": round(disk.free),
    }


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
