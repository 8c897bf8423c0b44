"""Throughput beside another program: mapping and the published form, on a quiet machine and on a busy one.

    python benchmarks/busy.py [--rounds 3] [--size 512] [--folder DIR]

The other program multiplies matrices on one thread without a pause (`--spin`). Each round maps without it,
starts it, and maps again; figures are medians over the rounds. Goal: mapping loses less than half.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from images import make_series
from mapping import Eager, Form, make_model, ours

#: Share of the quiet rate that must be left.
WANTED = 0.5
#: Rows that the published form maps.
ROWS = 128


@contextmanager
def neighbour() -> Iterator[None]:
    """Another process at full load on one thread, while the block runs."""
    one = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    command = [sys.executable, __file__, "--spin"]
    with subprocess.Popen(command, env={**os.environ, **one}, stdout=subprocess.PIPE) as other:
        try:
            assert other.stdout is not None
            other.stdout.readline()
            yield
        finally:
            other.kill()


def spin() -> None:
    """Multiply until killed; says so first."""
    import numpy as np

    a = np.random.default_rng(0).random((1024, 1024), dtype=np.float32)
    print("ready", flush=True)
    while True:
        a @ a


def measure(forms: Mapping[str, Form], rounds: int) -> dict[str, tuple[float, float]]:
    """Pixels a second without and with the neighbour, by form."""
    found: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in forms}

    def once(place: int) -> None:
        for name, form in forms.items():
            seconds, pixels = form()
            found[name][place].append(pixels / seconds)

    for _ in range(rounds):
        once(0)
        with neighbour():
            once(1)
    return {name: (statistics.median(a), statistics.median(b)) for name, (a, b) in found.items()}


def forms(folder: Path, size: int) -> dict[str, Form]:
    """What is measured: `mapcrops` and the published form with what suits it best on the quiet machine."""
    series, model = make_series(folder, size, 24), make_model(folder, "standard")
    eager = Eager(series, model)
    eager.tune()
    return {
        "mapcrops": lambda: ours(series, model, folder / "busy.tif"),
        "published form, eager": lambda: eager.run(folder / "eager.tif", min(ROWS, size)),
    }


def main() -> int:
    """Print both; 1 where mapping loses half or more."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--folder", type=Path, help="keeps the images for the next run")
    parser.add_argument("--spin", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.spin:
        spin()
    with tempfile.TemporaryDirectory(prefix="sits-bench-") as scratch:
        folder = options.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        found = measure(forms(folder, options.size), options.rounds)
    for name, (quiet, loaded) in found.items():
        print(f"{name:24s} quiet {quiet:10,.0f}   busy {loaded:10,.0f} px/s   left {loaded / quiet:.2f}")
    quiet, loaded = found["mapcrops"]
    return int(loaded / quiet <= WANTED)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "engine"))
    sys.exit(main())
