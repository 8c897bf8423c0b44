"""How hard the demo data are: a random forest within region A, and carried from region A to region B.

The standard difficulty was fixed with this measure before any network of ours was tuned on it: a random
forest (scikit-learn, 100 trees) on pixel series, interpolated over time between clear dates, must reach a
macro-F1 of 0.75 to 0.92 on held-out spatial blocks of region A, and at least 0.15 less on the same number
of pixels of region B. It reads the files that a user gets, with rasterio and nothing of the engine.

    python benchmarks/demo_difficulty.py --size 512 --seeds 0 1 2 [--difficulty standard]
"""

from __future__ import annotations

import argparse
import datetime
import json
import sys
import tempfile
import time
from pathlib import Path

import geopandas
import numpy as np
import rasterio
from rasterio.features import rasterize
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import f1_score

CLEAR = (2, 4, 5, 6, 7)
DAYS = np.arange(40, 301, 10)
ACCEPTED = (0.75, 0.92)
LEAST_DROP = 0.15


def read_region(
    region: Path, per_parcel: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[str, ...]]:
    """Features (n, days x bands), crop names (n,), spatial block (n,) of interior pixels, and class names.

    Blocks are a quarter of the image a side. Parcels are shrunk by 10 m; of each at most `per_parcel` pixels
    are taken at random.
    """
    files = sorted((region / "images").glob("S2_*.tif"))
    parcels = geopandas.read_file(region / "parcels.gpkg")
    with rasterio.open(files[0]) as file:
        height, width, transform = file.height, file.width, file.transform
    inner = parcels.geometry.buffer(-10)
    shapes = [(shape, i + 1) for i, shape in enumerate(inner) if not shape.is_empty]
    ids = rasterize(shapes, (height, width), transform=transform, dtype="int32")
    rng = np.random.default_rng(seed)
    rows, cols = np.nonzero(ids)
    order = rng.permutation(len(rows))
    rows, cols = rows[order], cols[order]
    owner = ids[rows, cols] - 1
    by_owner = np.argsort(owner, kind="stable")
    rank = np.empty(len(owner), dtype=int)
    starts = np.searchsorted(owner[by_owner], np.arange(len(parcels)))
    rank[by_owner] = np.arange(len(owner)) - starts[owner[by_owner]]
    keep = rank < per_parcel
    rows, cols, owner = rows[keep], cols[keep], owner[keep]
    values, clear, days = [], [], []
    for path in files:
        with rasterio.open(path) as file:
            image = file.read()[:, rows, cols]
        values.append(image[:-1].T / np.float32(10_000))
        clear.append(np.isin(image[-1], CLEAR))
        date = datetime.datetime.strptime(path.stem[-8:], "%Y%m%d").date()
        days.append((date - datetime.date(date.year, 1, 1)).days)
    features = interpolate(np.stack(values, axis=1), np.stack(clear, axis=1), np.array(days))
    blocks = (rows * 4 // height) * 4 + cols * 4 // width
    crops = parcels["crop"].to_numpy()[owner]
    return features, crops, blocks, tuple(sorted(set(parcels["crop"])))


def interpolate(values: np.ndarray, clear: np.ndarray, days: np.ndarray) -> np.ndarray:
    """Linear in time between clear dates, constant beyond the first and last: (n, T, C) -> (n, days x C)."""
    position = np.arange(len(days))
    last = np.maximum.accumulate(np.where(clear, position, -1), axis=1)
    following = np.minimum.accumulate(np.where(clear, position, len(days))[:, ::-1], axis=1)[:, ::-1]
    out = np.empty((len(values), len(DAYS), values.shape[2]), dtype=np.float32)
    pixel = np.arange(len(values))
    for column, day in enumerate(DAYS):
        index = int(np.searchsorted(days, day, side="right"))
        before = last[:, index - 1] if index > 0 else np.full(len(values), -1)
        after = following[:, index] if index < len(days) else np.full(len(values), len(days))
        none_before, none_after = before < 0, after >= len(days)
        before = np.where(none_before, np.minimum(after, len(days) - 1), before)
        after = np.where(none_after, before, after)
        span = days[after] - days[before]
        share = np.where(span > 0, (day - days[before]) / np.maximum(span, 1), 0.0)[:, None]
        out[:, column] = (1 - share) * values[pixel, before] + share * values[pixel, after]
    return out.reshape(len(values), -1)


def measure(folder: Path, *, per_parcel: int = 40, trees: int = 100, jobs: int = 2) -> dict[str, float]:
    """Macro-F1 on held-out blocks of A, on B when trained on A's other blocks, and on B trained in B."""
    features_a, crops_a, blocks_a, names = read_region(folder / "region_a", per_parcel, 1)
    features_b, crops_b, blocks_b, _ = read_region(folder / "region_b", per_parcel, 2)
    # Every fourth block of a diagonal pattern: each row and column of blocks is held out once.
    held = (0, 6, 9, 15)

    def forest(features: np.ndarray, crops: np.ndarray) -> RandomForestClassifier:
        return RandomForestClassifier(trees, n_jobs=jobs, random_state=0).fit(features, crops)

    def score(model: RandomForestClassifier, features: np.ndarray, crops: np.ndarray) -> float:
        return float(f1_score(crops, model.predict(features), labels=list(names), average="macro"))

    test_a, test_b = np.isin(blocks_a, held), np.isin(blocks_b, held)
    of_a = forest(features_a[~test_a], crops_a[~test_a])
    of_b = forest(features_b[~test_b], crops_b[~test_b])
    return {
        "macro_f1_a": score(of_a, features_a[test_a], crops_a[test_a]),
        "macro_f1_a_to_b": score(of_a, features_b[test_b], crops_b[test_b]),
        "macro_f1_b": score(of_b, features_b[test_b], crops_b[test_b]),
        "pixels_a": int(test_a.sum()),
        "pixels_b": int(test_b.sum()),
    }


def accepted(result: dict[str, float]) -> bool:
    """True where the promise about the standard difficulty holds."""
    within = ACCEPTED[0] <= result["macro_f1_a"] <= ACCEPTED[1]
    return within and result["macro_f1_a"] - result["macro_f1_a_to_b"] >= LEAST_DROP


def main() -> int:
    """Simulate for each seed, measure, print; 1 if the standard difficulty is not what it promises."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--dates", type=int, default=28)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--difficulty", default="standard")
    parser.add_argument("--folder", type=Path, help="measure this demo instead of simulating one")
    options = parser.parse_args()
    if options.folder:
        print(json.dumps(measure(options.folder), indent=1))
        return 0
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "engine"))
    from sits_engine.context import JobContext
    from sits_engine.series.simulate import simulate_pair

    good = True
    for seed in options.seeds:
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            simulate_pair(
                Path(folder),
                size=options.size,
                dates=options.dates,
                shift_days=28.0,
                difficulty=options.difficulty,
                seed=seed,
                ctx=JobContext(),
            )
            seconds = time.perf_counter() - start
            result = measure(Path(folder))
        print(f"seed {seed}, simulated in {seconds:.1f} s: " + json.dumps(result), flush=True)
        good &= accepted(result)
    return 0 if good or options.difficulty != "standard" else 1


if __name__ == "__main__":
    sys.exit(main())
