"""Pixels a second of `mapcrops`, from files to file, and the memory it needs.

    python benchmarks/mapping.py [--size 768] [--dates 24] [--rounds 3] [--width standard] [--folder DIR]
    python benchmarks/mapping.py --memory [--small 768] [--large 3072]

Speed: in each round `mapcrops` (the whole job: open, read, classify, journal, cloud-optimised GeoTIFF), the
same network as published in eager float32, a random forest of scikit-learn and XGBoost (`trees.py`) map the
same files, one after the other, in one process; ratios are medians over the rounds. The others get the same
reader, and the batch size (the eager form also the number of threads) that suits them best, tried first. They
write a plain tiled GeoTIFF and need no resuming, so they have less to do. The eager form maps a part of the
area if it would take too long.

Memory: the peak of a child process that maps the area once, at two areas; the network is the real one. The
smaller area must hold more tiles of 256 pixels than are alive at a time (six), or it is no steady state. The
exit status is 1 if the peak grows by 5 % or more, or reaches 1 GiB.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))
from images import BANDS, BLOCK, CLASSES, CORNER, make_series
from trees import Baseline, Forest, XGBoost

#: What `--memory` allows: growth from the smaller to the larger area, and the peak at the larger one.
MAX_GROWTH, MAX_MIB = 0.05, 1024
#: Pixels a side of the map that a measured process makes first.
FIRST = 64


def make_model(folder: Path, width: str) -> Path:
    """A network of the given width with random weights: speed does not depend on their values."""
    import torch
    from sits_engine.models.card import BandCard, ClassCard, ModelCard
    from sits_engine.models.model_file import save_model
    from sits_engine.models.registry import build, pseltae_hyperparameters

    torch.manual_seed(0)
    numbers = pseltae_hyperparameters(len(BANDS), CLASSES, width=width)
    card = ModelCard(
        architecture="pseltae",
        hyperparameters=numbers,
        bands=[BandCard(name=name, mean=0.15, std=0.08) for name in BANDS],
        classes=[ClassCard(name=f"class {i}", color=f"#{30 * i:02x}8040") for i in range(1, CLASSES + 1)],
        season_year=2023,
        positions=[float(day) for day in range(30, 320, 10)],
    )
    path = folder / f"{width}.safetensors"
    save_model(path, build("pseltae", numbers), card)
    return path


def job(series: Path, model: Path, output: Path, **changes: Any) -> tuple[float, dict[str, Any]]:
    """Seconds of the whole job, and its scores; on a CPU unless `changes` say otherwise."""
    from sits_engine.context import JobContext
    from sits_engine.jobs.map_crops import MapCrops

    files = {"series": str(series), "model": str(model), "output": str(output)}
    began = time.perf_counter()
    result = MapCrops.parse({**files, "device": "cpu", **changes}).run(JobContext())
    return time.perf_counter() - began, result.scores


def ours(series: Path, model: Path, output: Path, extent: str | None = None) -> tuple[float, int]:
    """Seconds and pixels of the whole job."""
    seconds, scores = job(series, model, output, extent=extent)
    return seconds, int(scores["pixels"])


class Eager(Baseline):
    """The published form of the network in eager float32."""

    def __init__(self, series: Path, model: Path) -> None:
        import torch
        from sits_engine.models.model_file import load_model
        from sits_engine.models.registry import build

        super().__init__(series)
        module, card = load_model(model)
        self.module = build("pseltae", {**card.hyperparameters, "reference": True}).eval()
        self.module.load_state_dict(module.state_dict())
        self.mean = torch.tensor([b.mean for b in card.bands])
        self.std = torch.tensor([b.std for b in card.bands])
        self.positions = torch.as_tensor(self.series.positions, dtype=torch.float32)
        self.batch, self.threads = 512, torch.get_num_threads()

    def classify(self, physical: Any, valid: Any) -> Any:
        import torch

        found = []
        before = torch.get_num_threads()
        torch.set_num_threads(self.threads)
        with torch.inference_mode():
            for start in range(0, len(physical), self.batch):
                x = torch.from_numpy(np.ascontiguousarray(physical[start : start + self.batch]))
                mask = torch.from_numpy(np.ascontiguousarray(valid[start : start + self.batch])).unsqueeze(-1)
                pixels = ((x - self.mean) / self.std).unsqueeze(-1)
                logits = self.module(pixels, mask, self.positions.expand(len(x), -1))
                found.append(torch.softmax(logits, -1).argmax(-1).numpy() + 1)
        torch.set_num_threads(before)
        return np.concatenate(found)

    def tune(self) -> float:
        """Choose batch size and threads by trying; returns the best pixels a second of the network alone."""
        from sits_engine.device import threads
        from sits_engine.series.types import Window

        physical, valid = self.read(Window(0, 0, 64, 128))
        best = (0.0, 512, 1)
        for count in sorted({1, threads()}):
            for batch in (128, 512, 2048):
                self.batch, self.threads = batch, count
                self.classify(physical[:batch], valid[:batch])
                began = time.perf_counter()
                self.classify(physical, valid)
                best = max(best, (len(physical) / (time.perf_counter() - began), batch, count))
        speed, self.batch, self.threads = best
        return speed


class Alone:
    """The predictor of `mapcrops` on what it would read, which is in memory already; its threads as well."""

    def __init__(self, series_path: Path, model: Path, size: int) -> None:
        from sits_engine.device import select
        from sits_engine.mapping.tiles import tiles_of
        from sits_engine.models.inference import Predictor
        from sits_engine.series.time_series import TimeSeries
        from sits_engine.series.types import Window

        series = TimeSeries.open(series_path)
        self.positions, self.predictor = series.positions, Predictor.open(model, select("cpu"))
        self.cubes = [series.read(tile, BANDS) for tile in tiles_of(Window(0, 0, size, size), BLOCK)]

    def run(self) -> tuple[float, int]:
        """Seconds and pixels."""
        import torch
        from sits_engine.device import threads

        torch.set_num_threads(threads())
        began, pixels = time.perf_counter(), 0
        for cube in self.cubes:
            t, c = cube.values.shape[:2]
            values, valid = cube.values.reshape(t, c, -1), cube.valid.reshape(t, -1)
            self.predictor.predict_pixels(values, valid, cube.scale, cube.offset, self.positions)
            pixels += values.shape[2]
        return time.perf_counter() - began, pixels


Form = Callable[[], tuple[float, int]]


def interleaved(forms: Mapping[str, Form], rounds: int) -> dict[str, list[float]]:
    """Pixels a second of each form in each round."""
    found: dict[str, list[float]] = {name: [] for name in forms}
    for _ in range(rounds):
        for name, form in forms.items():
            seconds, pixels = form()
            found[name].append(pixels / seconds)
    return found


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Median over the rounds."""
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


def forms(
    series: Path, folder: Path, size: int, widths: Sequence[str], eager_rows: int = 256
) -> tuple[dict[str, Form], dict[str, str]]:
    """`mapcrops` and the network alone of each width, the published form of the first, and trees.

    Returns:
        By name 'mapcrops WIDTH', 'alone WIDTH', 'eager', 'forest' and 'xgboost'; and in words what suited
        the last three best.
    """
    made: dict[str, Form] = {}
    models = {width: make_model(folder, width) for width in widths}
    for width, model in models.items():
        made[f"mapcrops {width}"] = partial(ours, series, model, folder / "ours.tif")
        made[f"alone {width}"] = Alone(series, model, min(size, 2 * BLOCK)).run
    eager = Eager(series, models[widths[0]])
    fastest = eager.tune()
    made["eager"] = partial(eager.run, folder / "eager.tif", min(size, eager_rows))
    words = {"eager": f"batch {eager.batch}, {eager.threads} threads; alone {fastest:,.0f}"}
    for name, trees in (("forest", Forest(series)), ("xgboost", XGBoost(series))):
        made[name] = partial(trees.run, folder / "trees.tif", size)
        words[name] = f"{trees.chunk} at a time; predict alone {trees.alone:,.0f}"
    return made, words


def speed(folder: Path, size: int, dates: int, rounds: int, width: str) -> dict[str, Any]:
    """Measure and print; returns the figures."""
    series = make_series(folder, size, dates)
    cold = size * size / ours(series, make_model(folder, width), folder / "ours.tif")[0]
    made, words = forms(series, folder, size, [width])
    found = interleaved(made, rounds)
    medians = {name: statistics.median(values) for name, values in found.items()}
    mapped = found[f"mapcrops {width}"]
    print(f"{size} x {size} pixels, {dates} dates, {len(BANDS)} bands, network '{width}', {rounds} rounds")
    print(f"  {'mapcrops, first run in the process':36s} {cold:>10,.0f} px/s")
    for name, rate in medians.items():
        said = f" ({words[name]})" if name in words else ""
        print(f"  {name:36s} {rate:>10,.0f} px/s   mapcrops / this {ratio(mapped, found[name]):.2f}{said}")
    return {"size": size, "dates": dates, "width": width, "first_run": cold, "pixels_per_second": medians}


def peak(series: Path, model: Path, output: Path, side: int) -> float:
    """Peak memory (MiB) of a process that maps the upper left `side` x `side` pixels."""
    return in_a_process(series, model, output, side)["mib"]


def extent_of(side: int) -> str:
    """The upper left `side` x `side` pixels, as EXTENT takes them."""
    x, y = CORNER
    return f"{x},{x + 10 * side},{y - 10 * side},{y}"


def in_a_process(series: Path, model: Path, output: Path, side: int) -> dict[str, float]:
    """Seconds by the clock and of processors, and peak memory (MiB), of such a map in a new process.

    Libraries and compilers start with a tiny map, whose seconds are told apart ('start').
    """
    arguments = json.dumps([str(series), str(model), str(output), extent_of(side)])
    done = subprocess.run(
        [sys.executable, __file__, "--child", arguments], check=True, capture_output=True, text=True
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def memory_verdict(low: float, high: float) -> list[str]:
    """What is wrong with the peaks (MiB) at the smaller and the larger area; empty if nothing is."""
    wrong = []
    if high / low - 1 >= MAX_GROWTH:
        wrong.append(f"memory grows by {100 * (high / low - 1):.1f} %, allowed are {100 * MAX_GROWTH:.0f} %")
    if high >= MAX_MIB:
        wrong.append(f"the peak is {high:,.0f} MiB, allowed are {MAX_MIB}")
    return wrong


def memory(folder: Path, small: int, large: int, dates: int, width: str) -> dict[str, Any]:
    """Measure and print the peak memory at two areas."""
    series, model = make_series(folder, large, dates), make_model(folder, width)
    low, high = (peak(series, model, folder / "memory.tif", side) for side in (small, large))
    print(
        f"peak memory, {dates} dates, network '{width}': {low:,.0f} MiB at {small} x {small}, "
        f"{high:,.0f} MiB at {large} x {large} pixels ({(large / small) ** 2:.0f} times the area): "
        f"{100 * (high / low - 1):+.1f} %"
    )
    found = {"small": small, "large": large, "small_mib": low, "large_mib": high, "growth": high / low - 1}
    return {**found, "wrong": memory_verdict(low, high)}


def peak_mib() -> float:
    """Peak memory of this process alone; `ru_maxrss` would start at that of the parent on Linux."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return int(status.split("VmHWM:")[1].split()[0]) / 1024
    except (OSError, IndexError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=768)
    parser.add_argument("--dates", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--width", choices=("standard", "small", "fast"), default="standard")
    parser.add_argument("--folder", type=Path, help="keeps the images for the next run")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--small", type=int, default=768)
    parser.add_argument("--large", type=int, default=3072)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        *files, extent = json.loads(options.child)
        began, processor = time.perf_counter(), time.process_time()
        ours(*map(Path, files), extent_of(FIRST))
        start = {"start": time.perf_counter() - began, "start_processor": time.process_time() - processor}
        processor = time.process_time()
        seconds, _ = ours(*map(Path, files), extent)
        processor = time.process_time() - processor
        print(json.dumps({"seconds": seconds, "processor": processor, "mib": peak_mib(), **start}))
        return 0
    with tempfile.TemporaryDirectory(prefix="sits-bench-") as scratch:
        folder = options.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        if options.memory:
            found = memory(folder, options.small, options.large, options.dates, options.width)
            for sentence in found["wrong"]:
                print(f"FAILED: {sentence}", file=sys.stderr)
            return 1 if found["wrong"] else 0
        speed(folder, options.size, options.dates, options.rounds, options.width)
    return 0


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "engine"))
    sys.exit(main())
