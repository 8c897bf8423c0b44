"""Real pairs of regions with labels on both sides, from the data beside the checkout."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from sits_engine.learning.transforms import real_dates
from sits_engine.samples.pixel_sets import PixelSets
from sits_engine.samples.tables import TableOptions, read_labelled_series

ROOT = Path(os.environ.get("SITS_REAL_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))


@dataclass
class Pair:
    """Two labelled regions with the same classes and bands."""

    name: str
    source: PixelSets
    target: PixelSets

    def reversed(self, name: str) -> Pair:
        return Pair(name, self.target, self.source)


def _with(sets: PixelSets, classes: list[str], chosen: np.ndarray) -> PixelSets:
    """The chosen sets of these classes."""
    names = np.array(sets.classes)[sets.labels]
    kept = sets.subset(chosen & np.isin(names, classes))
    labels = np.array([classes.index(sets.classes[k]) for k in kept.labels], dtype=np.int64)
    return replace(kept, labels=labels, classes=tuple(classes))


def _cut(sets: PixelSets, first: int, last: int) -> PixelSets:
    """Sets of one pixel with only their dates within first..last (0-based days), moved to the left."""
    inside = real_dates(sets.positions) & (sets.positions >= first) & (sets.positions <= last)
    sets, inside = sets.subset(inside.any(axis=1)), inside[inside.any(axis=1)]
    order = np.argsort(~inside, axis=1, kind="stable")[:, : inside.sum(axis=1).max()]
    kept = np.take_along_axis(inside, order, 1)
    positions = np.take_along_axis(sets.positions, order, 1)
    end = positions[np.arange(len(sets)), kept.sum(axis=1) - 1]
    cut = replace(
        sets,
        values=np.take_along_axis(sets.values, order[..., None], 1) * kept[..., None],
        valid=np.take_along_axis(sets.valid, order, 1) & kept,
        positions=np.where(kept, positions, end[:, None]),
    )
    return cut.subset(cut.valid.sum(axis=1) >= 3)


def cawa() -> tuple[Pair, Pair]:
    """Kashkadarya to Fergana and back: NDVI every 16 days, days of the year 145 to 289."""
    import pandas as pd

    folder = ROOT / "cawa_central_asia"
    classes = ["cotton", "orchard", "wheat", "wheat_double"]
    options = TableOptions("common_class", str(folder / "parcels.csv"), "parcel_id", ["ndvi"])
    sets, _ = read_labelled_series(folder / "ndvi_series_long.csv.gz", options)
    sets = _cut(sets, 144, 288)
    region = pd.read_csv(folder / "parcels.csv", dtype={"parcel_id": str}).set_index("parcel_id")["region"]
    where = region.loc[sets.ids].to_numpy()
    kashkadarya, fergana = (_with(sets, classes, where == name) for name in ("Kashkadarya", "Fergana"))
    pair = Pair("Kashkadarya to Fergana", kashkadarya, fergana)
    return pair, pair.reversed("Fergana to Kashkadarya")


def canada_france() -> Pair:
    """Canada 2017, monthly, to western France 2023, every 10 days: Sentinel-2, March to November."""
    folder = ROOT / "s2_points_canada_france"
    classes = ["grass", "maize", "soybean", "spring_cereal", "winter_cereal"]
    bands = ["B02", "B03", "B04", "B05", "B06", "B07", "B08", "B11", "B12"]
    regions = []
    for prefix in ("canada2017", "france_west2023"):
        options = TableOptions(
            "common_class", str(folder / f"{prefix}_samples.csv"), "sample_id", bands, 1e-4
        )
        sets, _ = read_labelled_series(folder / f"{prefix}_series.csv.gz", options)
        # the reader counts from the year of each series' median date: 2017 and 2023 for these spans
        cut = _cut(sets, 59, 334)
        regions.append(_with(cut, classes, np.ones(len(cut), bool)))
    return Pair("Canada to France", *regions)


def mato_grosso() -> Pair:
    """MODIS series of Mato Grosso, west to east of the median longitude: no shift to find."""
    folder = ROOT / "modis_mato_grosso"
    options = TableOptions(
        "label", str(folder / "mt_9classes_samples.csv"), "sample_id", ["ndvi", "evi", "nir", "mir"]
    )
    sets, _ = read_labelled_series(folder / "mt_9classes_series.csv.gz", options)
    west = sets.xy[:, 0] < np.median(sets.xy[:, 0])
    names = np.array(sets.classes)[sets.labels]
    classes = [c for c in sets.classes if min((names[west] == c).sum(), (names[~west] == c).sum()) >= 20]
    return Pair("Mato Grosso west to east", _with(sets, classes, west), _with(sets, classes, ~west))


PAIRS: dict[str, Callable[[], Pair]] = {
    "kashkadarya-fergana": lambda: cawa()[0],
    "fergana-kashkadarya": lambda: cawa()[1],
    "canada-france": canada_france,
    "mato-grosso": mato_grosso,
}
