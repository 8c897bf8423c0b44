"""Peers that many use today: a random forest and boosted trees, with the reading of `mapcrops`.

    python benchmarks/trees.py --check [--folder DIR]

Both learn from all values of all dates of 6,000 labelled pixels, clouded ones as they are read, and
predict with all processors; the number of pixels that they get at a time is tried first. `--check` prints
how accurate and how deep the trees are on the images of the benchmark (`images.py`) and on real images and
parcels beside the checkout (`shared/data`), with the same number of samples on both sides.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

sys.path.insert(0, str(Path(__file__).resolve().parent))
from images import BANDS, BLOCK, labels_path, make_series

TREES, DEPTH, SAMPLES = 100, 6, 6000
#: Pixels that trees may get at a time.
CHUNKS = (4096, 16_384, 65_536)


class Baseline:
    """Windows one after the other: read, classify, write. Subclasses classify."""

    def __init__(self, series: Path) -> None:
        from sits_engine.series.time_series import TimeSeries

        self.series = TimeSeries.open(series)

    def classify(self, physical: Any, valid: Any) -> Any:
        """(N,) class values of (N, T, C) physical values and (N, T) validity."""
        raise NotImplementedError

    def run(self, output: Path, rows: int) -> tuple[float, int]:
        """Seconds and pixels for the first `rows` rows."""
        import rasterio
        from sits_engine.mapping.tiles import tiles_of
        from sits_engine.series.types import Window

        grid = self.series.grid
        profile = {
            "driver": "GTiff",
            "height": rows,
            "width": grid.width,
            "count": 1,
            "dtype": "uint8",
            "crs": grid.crs,
            "transform": grid.transform,
            "tiled": True,
            "blockxsize": BLOCK,
            "blockysize": BLOCK,
            "compress": "DEFLATE",
        }
        began = time.perf_counter()
        with rasterio.open(output, "w", **profile) as image:
            for tile in tiles_of(Window(0, 0, rows, grid.width), BLOCK):
                physical, valid = self.read(tile)
                values = self.classify(physical, valid).reshape(tile.height, tile.width)
                where = rasterio.windows.Window(tile.col, tile.row, tile.width, tile.height)
                image.write(values.astype(np.uint8), 1, window=where)
        return time.perf_counter() - began, rows * grid.width

    def read(self, tile: Any) -> tuple[Any, Any]:
        """(N, T, C) float32 and (N, T) bool of a window; the reader is that of `mapcrops`."""
        cube = self.series.read(tile, BANDS)
        t, c = cube.values.shape[:2]
        physical = cube.values.astype(np.float32).reshape(t, c, -1)
        physical *= cube.scale[:, :, None]
        physical += cube.offset[:, :, None]
        return physical.transpose(2, 0, 1), cube.valid.reshape(t, -1).T


class Trees(Baseline):
    """Trees on all values of all dates; subclasses say which."""

    def __init__(self, series: Path) -> None:
        from sits_engine.series.types import Window

        super().__init__(series)
        labels = np.load(labels_path(series))[:BLOCK, : 2 * BLOCK]
        physical, _ = self.read(Window(0, 0, *labels.shape))
        features = physical.reshape(labels.size, -1)
        order = np.random.default_rng(0).permutation(labels.size)
        chosen = order[:SAMPLES]
        self.model = self.fit(features[chosen], labels.ravel()[chosen])
        self.chunk, self.alone = CHUNKS[-1], 0.0
        self.tune(features)

    def fit(self, features: Any, labels: Any) -> Any:
        """A fitted model of (n, T * C) float32 and labels 1..K."""
        raise NotImplementedError

    def predict(self, features: Any) -> Any:
        """(n,) labels."""
        return self.model.predict(features)

    def tune(self, features: Any) -> None:
        """Choose how many pixels a call gets; `alone` is the pixels a second without reading."""
        for chunk in CHUNKS:
            part = np.ascontiguousarray(features[:chunk])
            self.predict(part)
            began = time.perf_counter()
            self.predict(part)
            speed = len(part) / (time.perf_counter() - began)
            if speed > self.alone:
                self.chunk, self.alone = chunk, speed

    def classify(self, physical: Any, valid: Any) -> Any:
        features = physical.reshape(len(physical), -1)
        parts = range(0, len(features), self.chunk)
        return np.concatenate([self.predict(features[start : start + self.chunk]) for start in parts])


class Forest(Trees):
    """scikit-learn's random forest of 100 trees."""

    def fit(self, features: Any, labels: Any) -> Any:
        return fit_forest(features, labels)


class XGBoost(Trees):
    """XGBoost, 100 rounds of trees of depth 6 (a tree for each class in a round), histograms."""

    def fit(self, features: Any, labels: Any) -> Any:
        return fit_xgboost(features, labels)

    def predict(self, features: Any) -> Any:
        # In place: no copy into a DMatrix first.
        return self.model.get_booster().inplace_predict(features).argmax(-1) + 1


def fit_forest(features: npt.NDArray[Any], labels: npt.NDArray[Any]) -> Any:
    """scikit-learn's forest with its defaults, on all processors."""
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(TREES, n_jobs=-1, random_state=0).fit(features, labels)


def fit_xgboost(features: npt.NDArray[Any], labels: npt.NDArray[Any]) -> Any:
    """XGBoost's classifier; labels 1..K."""
    from sits_engine.device import threads
    from xgboost import XGBClassifier

    model = XGBClassifier(
        n_estimators=TREES, max_depth=DEPTH, tree_method="hist", n_jobs=threads(), random_state=0
    )
    return model.fit(features, labels.astype(np.int64) - 1)


def describe(features: npt.NDArray[Any], labels: npt.NDArray[Any], held: npt.NDArray[Any]) -> dict[str, Any]:
    """Accuracy on held-out samples, and how large the trees are; at most `SAMPLES` train.

    Args:
        features: (n, T * C).
        labels: (n,) classes 1..K.
        held: (n,) bool, samples that don't train.
    """
    from sklearn.metrics import f1_score

    train = np.random.default_rng(0).permutation(np.flatnonzero(~held))[:SAMPLES]
    forest = fit_forest(features[train], labels[train])
    guess = forest.predict(features[held])
    # XGBoost wants classes without gaps.
    dense = np.unique(labels[train], return_inverse=True)[1] + 1
    boosted = fit_xgboost(features[train], dense).get_booster().trees_to_dataframe()
    of_tree = boosted.groupby("Tree").size()
    # A sample's way through a tree is what prediction pays for.
    steps = np.mean([np.diff(tree.decision_path(features[held]).indptr).mean() - 1 for tree in forest])
    return {
        "samples": len(train),
        "accuracy": float((guess == labels[held]).mean()),
        "macro_f1": float(f1_score(labels[held], guess, average="macro")),
        "forest_nodes": float(np.mean([tree.tree_.node_count for tree in forest])),
        "forest_depth": float(np.mean([tree.get_depth() for tree in forest])),
        "forest_steps": float(steps),
        "xgboost_trees": len(of_tree),
        "xgboost_nodes": float(of_tree.mean()),
    }


def simulated(folder: Path, size: int = 512, dates: int = 24) -> tuple[Any, Any, Any]:
    """Samples of the images of the benchmark; the right half is held out."""
    series = make_series(folder, size, dates)
    baseline = Baseline(series)
    from sits_engine.series.types import Window

    labels = np.load(labels_path(series))
    physical, _ = baseline.read(Window(0, 0, size, size))
    held = np.broadcast_to(np.arange(size) >= size // 2, labels.shape).ravel()
    chosen = np.random.default_rng(1).permutation(labels.size)[: 4 * SAMPLES]
    return physical.reshape(labels.size, -1)[chosen], labels.ravel()[chosen], held[chosen]


def hesbaye(root: Path) -> tuple[Any, Any, Any]:
    """Pixels of the real monthly stack with the classes of a map product; the east half is held out."""
    import rasterio

    folder = root / "s2_belgium_hesbaye_2021"
    with rasterio.open(folder / "reference_worldcereal_classes.tif") as file:
        labels = file.read(1)
    values = []
    for path in sorted((folder / "images").glob("*.tif")):
        with rasterio.open(path) as file:
            values.append(file.read(range(1, 10)))
    features = np.concatenate(values).reshape(-1, labels.size).T.astype(np.float32)
    held = np.broadcast_to(np.arange(labels.shape[1]) >= labels.shape[1] // 2, labels.shape).ravel()
    known = labels.ravel() > 0
    return features[known], labels.ravel()[known], held[known]


def freising(root: Path) -> tuple[Any, Any, Any]:
    """Means of real parcels; every third is held out."""
    import geopandas
    import pandas as pd

    folder = root / "bavaria_freising_2018"
    table = pd.read_csv(folder / "s2_l1c_parcel_means.csv.gz")
    bands = [name for name in table.columns if name.startswith("B")]
    wide = table.pivot(index="parcel_id", columns="date", values=bands)
    parcels = geopandas.read_file(folder / "parcels.gpkg").set_index("parcel_id")
    labels = np.unique(parcels.loc[wide.index, "common_class"].to_numpy().astype(str), return_inverse=True)[1]
    return wide.to_numpy(np.float32), labels + 1, np.arange(len(labels)) % 3 == 0


def check(folder: Path) -> None:
    """Print the table of trees, simulated against real, each pair with the same number of samples."""
    from pairs import ROOT

    ours = simulated(folder)
    sides = {"simulated pixels": ours, "Hesbaye 2021, pixels (classes of a product)": hesbaye(ROOT)}
    parcels = freising(ROOT)
    few = np.random.default_rng(2).permutation(np.flatnonzero(~ours[2]))[: int((~parcels[2]).sum())]
    rest = np.flatnonzero(ours[2])
    sides["simulated pixels, few"] = tuple(part[np.concatenate([few, rest])] for part in ours)
    sides["Freising 2018, means of parcels"] = parcels
    print("| | samples | accuracy | macro-F1 | forest: nodes, depth, steps | XGBoost: trees, nodes |")
    print("|---|---|---|---|---|---|")
    for name, side in sides.items():
        row = describe(*side)
        print(
            f"| {name} | {row['samples']} | {row['accuracy']:.3f} | {row['macro_f1']:.3f} "
            f"| {row['forest_nodes']:.0f}, {row['forest_depth']:.1f}, {row['forest_steps']:.1f} "
            f"| {row['xgboost_trees']}, {row['xgboost_nodes']:.1f} |",
            flush=True,
        )


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", required=True)
    parser.add_argument("--folder", type=Path, help="keeps the images for the next run")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sits-bench-") as scratch:
        folder = options.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        check(folder)
    return 0


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "engine"))
    sys.exit(main())
