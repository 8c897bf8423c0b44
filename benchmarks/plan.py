"""What 'Plan map' says before a map, against the map itself: tiled images, JPEG 2000, and its clipped copy.

    python benchmarks/plan.py [--dates 12] [--size 1024] [--side 512] [--rounds 2] [--width fast]

The upper left `side` x `side` pixels are mapped, in turn from each kind of images, and planned once before.
JPEG 2000 has blocks of 1024 pixels, as Sentinel-2 products have; a window of 256 decodes a whole one. Exit
status 1 where the copy is less than 2.5 times as fast.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from images import as_jpeg2000, make_series
from mapping import make_model, ours

#: What the copy must gain.
GOAL = 2.5


def tiled_copy(path: Path, side: int, folder: Path) -> tuple[Path, float]:
    """(the clipped copy of the upper left `side` x `side` pixels, seconds that it took)."""
    from sits_engine.series.clip import clip
    from sits_engine.series.item_collection import Document, write_document
    from sits_engine.series.time_series import TimeSeries

    series = TimeSeries.open(path)
    series = series.with_grid(replace(series.grid, height=side, width=side))
    began = time.perf_counter()
    scenes = clip(series, folder, lambda share: None)
    seconds = time.perf_counter() - began
    target = folder / "copy.json"
    mask = None if series.mask is None else series.mask.band
    write_document(target, Document(scenes=scenes, title="copy", grid=series.grid, mask_band=mask))
    return target, seconds


def planned(series: Path, model: Path, extent: str) -> dict[str, Any]:
    """What 'Plan map' says."""
    from sits_engine.context import JobContext
    from sits_engine.jobs.plan_map import PlanMap

    given = {"series": str(series), "model": str(model), "extent": extent, "device": "cpu"}
    return PlanMap.parse(given).run(JobContext()).scores


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dates", type=int, default=12)
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--width", default="fast")
    parser.add_argument("--folder", type=Path, help="keeps the images for the next run")
    options = parser.parse_args()
    side = options.side
    extent = f"600000,{600_000 + 10 * side},{5_600_000 - 10 * side},5600000"
    with tempfile.TemporaryDirectory(prefix="sits-bench-") as scratch:
        folder = options.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        model, output = make_model(folder, options.width), Path(scratch) / "map.tif"
        tiled = make_series(folder, options.size, options.dates)
        compressed = as_jpeg2000(tiled)
        ours(tiled, model, output, extent)  # what a process does once
        plans = {"tiled": planned(tiled, model, extent), "JPEG 2000": planned(compressed, model, extent)}
        copy, making = tiled_copy(compressed, side, Path(scratch))
        kinds = {"tiled": tiled, "JPEG 2000": compressed, "copy": copy}
        times: dict[str, list[float]] = {kind: [] for kind in kinds}
        for _ in range(options.rounds):
            for kind, series in kinds.items():
                times[kind].append(ours(series, model, output, extent)[0])
    said = plans["JPEG 2000"].get("copy", {})
    expected = {kind: plan["seconds"] for kind, plan in plans.items()}
    expected |= {"copy": said.get("map_seconds", float("nan"))}
    print(f"{side} x {side} pixels, {options.dates} dates, 10 bands, network '{options.width}'; seconds")
    for kind, found in times.items():
        print(f"  {kind:<16}{statistics.median(found):>8.2f}   planned {expected[kind]:>8.2f}")
    print(
        f"  {'making the copy':<16}{making:>8.2f}   planned {said.get('seconds_to_make', float('nan')):>8.2f}"
    )
    gain = statistics.median(a / b for a, b in zip(times["JPEG 2000"], times["copy"], strict=True))
    print(f"  the copy is {gain:.1f} times as fast (goal {GOAL}; planned {said.get('times_as_fast')})")
    for kind, plan in plans.items():
        print(f"  {kind}: {plan['bottleneck']}")
    return int(gain < GOAL)


if __name__ == "__main__":
    sys.exit(main())
