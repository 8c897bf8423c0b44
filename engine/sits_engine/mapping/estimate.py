"""How long a map will take, from a few of its tiles read and classified."""

from __future__ import annotations

import io
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import shapely
import torch

from sits_engine.mapping.classify import TileResult
from sits_engine.mapping.pipeline import Plan, TileWork
from sits_engine.mapping.timings import MachineClock, Timings
from sits_engine.samples.region import Region
from sits_engine.series.clip import CopySample
from sits_engine.series.reader import window_bounds
from sits_engine.series.types import Cube, Window

#: Neighbours are measured together: a large block of a file serves several tiles, if it is still in memory.
NEIGHBOURS = 4
#: Where in the map they lie, as shares of its tiles.
SPOTS = (0.5, 0.2, 0.8, 0.35, 0.65)
#: Seconds of measuring after which no further spot is begun.
ENOUGH = 4.0
#: Spread of what was measured only once.
SPREAD = 0.25
#: Seconds to assemble, to count and to compress a byte of the map's pixels, one processor; and of any map.
ASSEMBLY, FINISHING = 1.5e-7, 0.1


@dataclass(frozen=True)
class Cost:
    """Seconds of some tiles, each stage by itself, and its processor seconds."""

    reading: float = 0.0
    computing: float = 0.0
    writing: float = 0.0
    read_processor: float = 0.0
    compute_processor: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(*(a + b for a, b in zip(_numbers(self), _numbers(other), strict=True)))

    def scaled(self, tiles: float, wanted: float) -> Cost:
        """Reading and writing grow with the tiles, computing with the pixels that are wanted."""
        reading, computing, writing, read_processor, compute_processor = _numbers(self)
        return Cost(
            reading * tiles,
            computing * wanted,
            writing * tiles,
            read_processor * tiles,
            compute_processor * wanted,
        )

    def timings(self, how: Plan, processors: int) -> Timings:
        """As the pipeline overlaps them: stages wait for the slowest, and share the processors."""
        slowest = max(self.reading, self.computing, self.writing)
        used = self.read_processor + self.writing + (0 if how.card else self.compute_processor)
        elapsed = max(slowest, used / processors)
        starved = 0.0 if self.computing >= elapsed else elapsed - self.computing
        return Timings(
            elapsed=elapsed,
            reading=self.reading,
            computing=self.computing,
            writing=self.writing,
            starved=starved,
            read_processor=self.read_processor,
            compute_processor=self.compute_processor,
            write_processor=self.writing,
            processors=processors,
            card=how.card,
        )


def _numbers(cost: Cost) -> tuple[float, float, float, float, float]:
    return cost.reading, cost.computing, cost.writing, cost.read_processor, cost.compute_processor


@dataclass(frozen=True)
class Extent:
    """What a map covers: tiles that are read, their pixels, and those pixels that are classified.

    The latter are known exactly where no polygons say which; of polygons their area tells.
    """

    tiles: list[Window]
    pixels: int
    wanted: int
    exact: bool = True


@dataclass(frozen=True)
class Estimate:
    """Time of a map on this machine.

    Attributes:
        cost: of the whole map, each stage by itself.
        timings: of the pipeline, as it overlaps them; its `starting` is what is done once.
        low, high: seconds by the fastest and by the slowest spot.
        before: seconds from the beginning of the job to its first tile.
        opening: seconds to open the files, while the network starts.
        assembly: seconds to put the map together.
        cube_bytes: largest window that was read.
        tiles: that were measured.
    """

    cost: Cost
    timings: Timings
    low: float
    high: float
    before: float
    opening: float
    assembly: float
    cube_bytes: int
    tiles: int

    @property
    def seconds(self) -> float:
        """Of the whole job."""
        return self.before + self.timings.elapsed + self.assembly

    @property
    def once(self) -> float:
        """Seconds that don't grow with the map."""
        return self.before + max(self.opening, self.timings.starting)


def extent_of(region: Region, tiles: Sequence[Window]) -> Extent:
    """Which tiles hold pixels of the region."""
    every = region.window.height * region.window.width
    if region.polygons is None:
        return Extent(list(tiles), every, every)
    # a little smaller: touching a tile is not lying in it
    edge = min(region.grid.resolution) / 100
    boxes = [
        shapely.box(*window_bounds(region.grid, tile)).buffer(-edge, join_style="mitre") for tile in tiles
    ]
    hit = set(shapely.STRtree(boxes).query(region.polygons, "intersects")[1].tolist())
    used = [tile for i, tile in enumerate(tiles) if i in hit] or list(tiles)
    pixels = sum(tile.height * tile.width for tile in used)
    x, y = region.grid.resolution
    inside = shapely.intersection(region.polygons, shapely.box(*window_bounds(region.grid, region.window)))
    return Extent(used, pixels, min(pixels, round(float(shapely.area(inside).sum()) / (x * y))), exact=False)


def measure(
    work: TileWork,
    extent: Extent,
    how: Plan,
    processors: int,
    bytes_of_a_pixel: float,
    before: float,
    tick: Callable[[float], None],
) -> Estimate:
    """Read and classify some tiles, each stage by itself.

    Args:
        work: what is done with a tile.
        extent: of the map.
        how: as the map will be made.
        processors: that this process may use.
        bytes_of_a_pixel: of the map's files.
        before: seconds from the beginning of the job to its first tile.
        tick: receives the done share; may raise to stop.
    """
    usual_threads = torch.get_num_threads()
    torch.set_num_threads(how.threads)
    machine = MachineClock()
    try:
        start = time.perf_counter()
        work.start()
        starting = time.perf_counter() - start
        # Files are opened, memory is taken: once, so this tile doesn't count.
        first = _tile(work, extent.tiles[0], tick)
        after = time.perf_counter()
        expected = after - start + max(ENOUGH, min(NEIGHBOURS * (after - start - starting), 3 * ENOUGH))
        tick((after - start) / expected)
        rates: list[Cost] = []
        largest, number = first.cube_bytes, 0
        began = time.perf_counter()
        for spot in _spots(len(extent.tiles)):
            found = []
            for tile in (extent.tiles[i] for i in spot):
                found.append(_tile(work, tile, tick))
                tick((time.perf_counter() - start) / expected)
                if time.perf_counter() - began > 3 * ENOUGH:
                    break
            number += len(found)
            largest = max(largest, *(one.cube_bytes for one in found))
            cost = sum((one.cost for one in found), Cost())
            pixels, wanted = sum(one.pixels for one in found), sum(one.wanted for one in found)
            # Tiles differ in what must be decoded, but hardly in computing: there a tile that stalled beside
            # other programs doesn't count.
            usual = statistics.median(one.cost.computing / max(1, one.wanted) for one in found)
            cost = replace(cost, computing=usual * wanted)
            rates.append(cost.scaled(1 / pixels, 1 / max(1, wanted)))
            if time.perf_counter() - began >= ENOUGH:
                break
    finally:
        torch.set_num_threads(usual_threads)
    each = [rate.scaled(extent.pixels, extent.wanted) for rate in rates]
    whole = sum(each, Cost()).scaled(1 / len(each), 1 / len(each))
    # What the first tile took longer than others. The map's first window is read while the network starts.
    opening = max(0.0, first.cost.reading - whole.reading * first.pixels / extent.pixels)
    starting += max(0.0, first.cost.computing - whole.computing * first.wanted / max(1, extent.wanted))
    once = max(opening, starting)
    timings = whole.timings(how, processors)
    timings = replace(
        timings,
        elapsed=timings.elapsed + once,
        reading=timings.reading + opening,
        starting=starting,
        starved=timings.starved + once - starting,
        read_processor=timings.read_processor + (first.cost.read_processor if opening else 0.0),
        machine=machine.used(),
    )
    assembly = ASSEMBLY * bytes_of_a_pixel * extent.pixels + FINISHING
    times = [one.timings(how, processors).elapsed for one in each]
    spread = SPREAD if len(times) == 1 else 0.0
    fixed = before + once + assembly
    return Estimate(
        whole,
        timings,
        min(times) * (1 - spread) + fixed * (1 - SPREAD),
        max(times) * (1 + spread) + fixed * (1 + SPREAD),
        before,
        opening,
        assembly,
        largest,
        number,
    )


def from_copy(cost: Cost, sample: CopySample, dates: int, pixels: int, processors: int) -> Cost:
    """The cost of a map whose images are read from a clipped copy."""
    reading = sample.reading * dates * pixels
    # dates are read by as many threads as there are processors
    return Cost(
        reading / min(processors, dates), cost.computing, cost.writing, reading, cost.compute_processor
    )


@dataclass(frozen=True)
class _Measured:
    cost: Cost
    pixels: int
    wanted: int
    cube_bytes: int


def _tile(work: TileWork, tile: Window, tick: Callable[[float], None]) -> _Measured:
    """One tile, each stage by itself."""
    seconds, processor = time.perf_counter(), time.process_time()
    cube, inside = work.read(tile)
    reading, read_processor = time.perf_counter() - seconds, time.process_time() - processor
    seconds, processor = time.perf_counter(), time.process_time()
    result = work.classify(tile, cube, inside, lambda pixels: tick(0.0))
    computing, compute_processor = time.perf_counter() - seconds, time.process_time() - processor
    seconds = time.perf_counter()
    _stored(result)
    cost = Cost(reading, computing, time.perf_counter() - seconds, read_processor, compute_processor)
    pixels = tile.height * tile.width
    wanted = pixels if inside is None else round(float(inside.mean()) * pixels)
    return _Measured(cost, pixels, wanted, 0 if cube is None else _bytes(cube))


def _stored(result: TileResult) -> None:
    """Compress a tile as the journal does."""
    arrays = {"classes": result.classes, "confidence": result.confidence}
    if result.probabilities is not None:
        arrays["probabilities"] = result.probabilities
    np.savez_compressed(io.BytesIO(), allow_pickle=False, **arrays)


def _bytes(cube: Cube) -> int:
    return int(cube.values.nbytes + cube.valid.nbytes + cube.observed.nbytes)


def _spots(n: int) -> Iterator[range]:
    """Places of neighbouring tiles, the middle first; each tile at most once."""
    seen: set[int] = set()
    for share in SPOTS:
        start = min(int(share * n) // NEIGHBOURS * NEIGHBOURS, max(0, n - NEIGHBOURS))
        own = range(start, min(n, start + NEIGHBOURS))
        if not seen.intersection(own):
            seen.update(own)
            yield own
