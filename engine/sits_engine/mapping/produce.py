"""A map from beginning to end: tiles with a journal, assembly, sieve, files under their final names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.windows import Window as RioWindow

from sits_engine.mapping import cog
from sits_engine.mapping.areas import pixel_area_ha
from sits_engine.mapping.bottleneck import network_of, remote, sentence, storage
from sits_engine.mapping.class_map import CLASSES_TAG, MapClass, classes_tag
from sits_engine.mapping.classify import PROBABILITY_NODATA, PixelPredictor, TileModel, TileResult
from sits_engine.mapping.finer import finer_region, finer_window
from sits_engine.mapping.journal import Journal
from sits_engine.mapping.parcel_sums import ParcelTotals
from sits_engine.mapping.pipeline import READERS, Plan, Readable, TileWork, run_tiles
from sits_engine.mapping.segment_tiles import SegmentTiles
from sits_engine.mapping.sieve import pixels_of, sieve_band
from sits_engine.mapping.space import Later, space_of
from sits_engine.mapping.tiles import tiles_of
from sits_engine.mapping.timings import Timings
from sits_engine.models.card import ModelCard
from sits_engine.outputs import naming_full_disk, partial, publish, side_car
from sits_engine.samples.region import Region
from sits_engine.series.types import Window

#: Shares of the job's time, for the progress bar: tiles, assembly and sieve, files.
TILES_END, ASSEMBLY_END = 0.9, 0.94
#: Metadata of a map: items of images that couldn't be read everywhere.
LEFT_OUT = "SITS_IMAGES_LEFT_OUT"
#: What the journal calls arrays on parcels.
PARCELS = "parcels-"
KEPT = "Free some space and run it again: finished tiles are kept. Or choose another disk."

#: Stores the result of a tile; receives pixels done since the last call and raises to stop.
Keep = Callable[[Window, TileResult], None]
Tick = Callable[[int], None]


@dataclass(frozen=True)
class MapRequest:
    """What is to be mapped, and where it goes.

    Attributes:
        series: time series.
        bands: its names of the model's bands, in the model's order.
        region: region of interest on its grid.
        predictor: model on a device; one for tiles may give a map finer than the grid.
        card: the model's card; its classes are those of the map.
        tile_size: side of a tile in pixels.
        plan: how the work is spread.
        output: class map (.tif); None where only `probabilities` are wanted.
        probabilities: file for what the predictor gives beside the classes, or None.
        layers: what that file holds; None for the probabilities of all classes in percent.
        min_mapping_unit: hectares, 0 for none.
        later: files that are made after it and take space, too.
        tags: metadata of the files; nothing that changes from run to run.
        phase: words for the progress bar while pixels are classified.
    """

    series: Readable
    bands: Sequence[str]
    region: Region
    predictor: PixelPredictor | TileModel
    card: ModelCard
    tile_size: int
    plan: Plan
    output: Path | None
    probabilities: Path | None = None
    layers: cog.Layers | None = None
    min_mapping_unit: float = 0.0
    later: Sequence[Later] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    phase: str = "Classifying"

    @property
    def scale(self) -> int:
        """Pixels of the map along one pixel of the series."""
        return self.predictor.scale if isinstance(self.predictor, TileModel) else 1

    @property
    def work(self) -> TileWork:
        """What is done with each tile."""
        return TileWork(
            self.series,
            self.bands,
            self.region,
            self.predictor,
            len(self.card.classes),
            self.plan.chunk,
            self.probabilities is not None,
        )

    @property
    def beside(self) -> cog.Layers:
        """What the file of probabilities holds."""
        percent = [cog.BandInfo(f"{c.name} (%)", PROBABILITY_NODATA, "%") for c in self.card.classes]
        return self.layers or cog.Layers(percent)

    @property
    def outputs(self) -> list[Path]:
        """The map's files; unfinished work lies beside the first one."""
        return [path for path in (self.output, self.probabilities) if path is not None]

    @property
    def map_region(self) -> Region:
        """The region on the grid of the map."""
        return finer_region(self.region, self.scale)

    def smallest_patch(self) -> int:
        """Pixels of the minimum mapping unit; 0 where none is asked for.

        Raises:
            InputError: it is too large.
        """
        if self.min_mapping_unit <= 0:
            return 0
        return pixels_of(self.min_mapping_unit, float(pixel_area_ha(self.map_region.map_grid).mean()))


@dataclass(frozen=True)
class MapSummary:
    """What was mapped.

    Attributes:
        pixels: classified pixels.
        hectares: area of each class, in the order of the card.
        sieved: pixels that the minimum mapping unit changed.
        resumed: tiles taken from an earlier run.
        tiles: all tiles.
        parcels: sums over the pixels of parcels in the map's window, where the predictor measured them.
        timings: of the tiles that were made, None where the runner doesn't tell.
        bottleneck: the sentence that says what limited them, "" without timings.
    """

    pixels: int
    hectares: dict[str, float]
    sieved: int
    resumed: int
    tiles: int
    parcels: ParcelTotals | None = None
    timings: Timings | None = None
    bottleneck: str = ""

    @property
    def scores(self) -> dict[str, Any]:
        """What the result of a job tells of the speed: the sentence, and the stages' shares of the time."""
        if self.timings is None:
            return {}
        busy = {stage: round(share, 3) for stage, share in self.timings.shares().items()}
        return {"bottleneck": self.bottleneck, "busy": busy | {"waiting": round(self.timings.waiting, 3)}}


def map_classes(card: ModelCard) -> list[MapClass]:
    """Classes of a model as values of a map. A class name is also one of its codes."""
    return [
        MapClass(i, c.name, c.color, tuple(dict.fromkeys([*c.codes, c.name])))
        for i, c in enumerate(card.classes, start=1)
    ]


def tile_name(tile: Window) -> str:
    """Name of a tile in the journal."""
    return f"tile-{tile.row}-{tile.col}"


#: Classifies tiles: each goes to `Keep` once (from any thread), `Tick` is called at least every 0.2 s.
Runner = Callable[[MapRequest, Sequence[Window], Keep, Tick], Timings | None]


def run_here(request: MapRequest, tiles: Sequence[Window], keep: Keep, tick: Tick) -> Timings:
    """The runner that classifies in this process."""
    if isinstance(request.predictor, SegmentTiles):
        # of the whole map, so that a run that goes on computes as the first one did
        request.predictor.predictor.expect(request.region.window.height * request.region.window.width)
    how = request.plan
    if remote(request.series):
        how = replace(how, readers=max(how.readers, READERS))
    return run_tiles(request.work, tiles, how, keep, tick)


def produce(
    request: MapRequest,
    journal: Journal,
    progress: Callable[[float, str], None],
    runner: Runner = run_here,
) -> MapSummary:
    """Make the map; finished tiles of the journal are not computed again.

    Args:
        request: what to do.
        journal: open for these very inputs; the caller removes it when this returns.
        progress: receives the done share 0..1 and the phase; raises to cancel.
        runner: classifies the tiles.

    Raises:
        InputError: the minimum mapping unit is too large.
        EngineError: DISK_FULL and whatever series and predictor raise.
    """
    request.smallest_patch()  # too large a unit is said before the work
    tiles = list(tiles_of(request.region.window, request.tile_size))
    done = journal.done
    left = [tile for tile in tiles if tile_name(tile) not in done]
    space = space_of(request, len(left) / len(tiles))
    space.check()
    total = request.region.window.height * request.region.window.width
    finished = total - sum(tile.height * tile.width for tile in left)

    def tick(pixels: int) -> None:
        nonlocal finished
        finished += pixels
        progress(TILES_END * finished / total, request.phase)

    missing: dict[str, None] = {}
    work, last = request.outputs[0].parent, request.outputs[-1].parent

    def keep(tile: Window, result: TileResult) -> None:
        arrays: dict[str, npt.NDArray[Any]] = {"classes": result.classes, "confidence": result.confidence}
        if result.probabilities is not None:
            arrays["probabilities"] = result.probabilities
        arrays |= {PARCELS + name: array for name, array in (result.parcels or {}).items()}
        if result.missing:
            request.series.missing.add(*result.missing)
            missing.update(dict.fromkeys(one.item for one in result.missing))
        # Where an image was missing, another run may have better luck.
        with naming_full_disk(work, KEPT):
            journal.store(tile_name(tile), arrays, for_good=not result.missing)

    timings = runner(request, left, keep, tick) if left else None
    progress(TILES_END, "Writing the map")
    files = 1.5 * space.kept  # with the overviews beside them
    with naming_full_disk(work, KEPT, files), naming_full_disk(last, KEPT, files):
        parcels = _parcels(request, journal, tiles)
        if missing:
            request = replace(request, tags={**request.tags, LEFT_OUT: ", ".join(sorted(missing))})
        pixels, sieved = _write(request, journal, tiles, progress)
    area = pixel_area_ha(request.map_region.map_grid)
    hectares = {c.name: float(area @ pixels[:, i + 1]) for i, c in enumerate(request.card.classes)}
    n, resumed = int(pixels[:, 1:].sum()), len(tiles) - len(left)
    said = ""
    if timings is not None:
        stored = storage(request.series, request.bands)
        said = sentence(timings, stored, network_of(request.predictor, request.card))
    return MapSummary(n, hectares, sieved, resumed, len(tiles), parcels, timings, said)


def _parcels(request: MapRequest, journal: Journal, tiles: Sequence[Window]) -> ParcelTotals | None:
    """What the tiles measured of parcels; None where none were asked for."""
    predictor = request.predictor
    if not isinstance(predictor, SegmentTiles) or predictor.parcels is None:
        return None
    sizes = predictor.parcels.parcels, len(request.card.classes), len(request.series.positions)
    totals = ParcelTotals(*sizes)
    for tile in tiles:
        sums = journal.load(tile_name(tile), PARCELS)
        if sums:
            totals.add(sums)
    return totals


def _write(
    request: MapRequest, journal: Journal, tiles: Sequence[Window], progress: Callable[[float, str], None]
) -> tuple[npt.NDArray[np.int64], int]:
    """Write and publish the files; returns (H, 256) pixels of each class in each row, and sieved pixels."""
    grid, card, beside = request.map_region.map_grid, request.card, request.beside
    plain = journal.folder / "plain.tif"
    shares = journal.folder / "shares.tif"
    k = len(beside.bands)
    with rasterio.Env(GDAL_CACHEMAX=cog.CACHE_MB):
        with cog.create_plain(plain, grid, 2, 0) as image:
            for number, tile in enumerate(tiles):
                stored = journal.load(tile_name(tile))
                window = _inside(request, tile)
                image.write(stored["classes"], 1, window=window)
                image.write(stored["confidence"], 2, window=window)
                progress(TILES_END + 0.02 * number / len(tiles), "Writing the map")
        if request.probabilities is not None:
            with cog.create_plain(shares, grid, k, beside.nodata, beside.dtype) as image:
                for number, tile in enumerate(tiles):
                    stored = journal.load(tile_name(tile))
                    image.write(stored["probabilities"], window=_inside(request, tile))
                    progress(TILES_END + 0.02 + 0.01 * number / len(tiles), "Writing the map")
        classes, sieved = plain, 0
        if smallest := request.smallest_patch():
            classes = journal.folder / "sieved.tif"
            with rasterio.open(plain) as source, cog.create_plain(classes, grid, 1, 0) as target:
                sieved = sieve_band(
                    source,
                    target,
                    smallest,
                    lambda share: progress(TILES_END + 0.03 + 0.01 * share, "Removing small patches"),
                )
        counts = _rows(classes, grid.height)
    named = map_classes(card)
    names = ["", *(c.name for c in named)]
    bands = [
        cog.BandInfo("class", 0, "", names, [c.color for c in named]),
        cog.BandInfo("confidence (%)", 0, "%"),
    ]
    tags = {**request.tags, CLASSES_TAG: classes_tag(named)}
    ready: dict[Path, Path] = {}
    if request.probabilities is not None:
        progress(ASSEMBLY_END, "Writing the probabilities")
        # It may lie on another disk than the work folder: its temporary neighbour is its own.
        temporary = partial(request.probabilities)
        sources = [(shares, i + 1) for i in range(k)]
        own = request.tags if request.layers else tags
        files = cog.write_cog(sources, temporary, grid, beside.bands, own, dtype=beside.dtype)
        ready |= cog.named(files, request.probabilities)
        shares.unlink()
    progress(0.97, "Writing the map")
    if request.output is not None:
        files = cog.write_cog([(classes, 1), (plain, 2)], journal.folder / "map.tif", grid, bands, tags)
        ready |= cog.named(files, request.output)
    progress(1.0, "Writing the map")
    for final in (request.output, request.probabilities):
        if final is not None and side_car(final) not in ready.values():
            # That of an older map of this name would describe the new one wrongly.
            side_car(final).unlink(missing_ok=True)
    publish(ready)
    return counts, sieved


def _inside(request: MapRequest, tile: Window) -> RioWindow:
    """Window of a tile in the map, which begins at the region's corner."""
    first = request.region.window
    own = Window(tile.row - first.row, tile.col - first.col, tile.height, tile.width)
    own = finer_window(own, request.scale)
    return RioWindow(own.col, own.row, own.width, own.height)


def _rows(path: Path, height: int) -> npt.NDArray[np.int64]:
    """(H, 256) pixels of each value in each row."""
    counts = np.zeros((height, 256), np.int64)
    with rasterio.open(path) as image:
        step = cog.BLOCK
        for row in range(0, height, step):
            values = image.read(1, window=RioWindow(0, row, image.width, min(step, height - row)))
            for i, line in enumerate(values, start=row):
                counts[i] = np.bincount(line, minlength=256)
    return counts
