"""What a published segmentation network does not tell: bands, classes, normalisation, dates."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: Of the published PASTIS loaders, band by band in the order of `samples.pastis.BANDS`: stored numbers, which
#: are reflectance * 10000 (shared/spec/exact.md section 1).
PASTIS_MEAN = (
    *(1165.9398, 1375.6534, 1429.2191, 1764.7988, 2719.2732),
    *(3063.6118, 3205.9019, 3319.1096, 2422.9043, 1639.3704),
)
PASTIS_STD = (
    *(1942.6156, 1881.9235, 1959.3799, 1867.2240, 1754.5851),
    *(1769.4047, 1784.8606, 1767.7101, 1458.9636, 1299.2833),
)
#: Windows whose images are looked at for mean and deviation.
LOOKED_AT = 2000


@dataclass
class Facts:
    """What a checkpoint doesn't tell.

    Attributes:
        bands, classes: names in the order of the network.
        mean, std: of the bands, reflectance.
        dates: of a window.
        window: its side in pixels, for networks that don't tell it.
        season_year: that `positions` count from.
        positions: of the training series; empty where unknown.
        resolution: metres of a pixel.
        words: for the provenance.
    """

    bands: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    dates: int | None = None
    window: int | None = None
    season_year: int = 1970
    positions: tuple[float, ...] = ()
    resolution: float | None = None
    words: dict[str, Any] | None = None


def published_facts(name: str) -> Facts:
    """Facts of PASTIS, T31TFM-1618 or MTLCC, as the published networks were trained on them."""
    from sits_engine.samples import mtlcc, pastis, t31tfm
    from sits_engine.samples.published_windows import BANDS, SCALE

    if name == "pastis":
        return Facts(
            bands=pastis.BANDS,
            classes=pastis.CLASSES,
            mean=tuple(value * SCALE for value in PASTIS_MEAN),
            std=tuple(value * SCALE for value in PASTIS_STD),
            dates=60,
            window=24,
            season_year=pastis.SEASON_YEAR,
            resolution=10.0,
            words={"trained_on": "PASTIS", "product": "Sentinel-2 L2A, clouds not masked"},
        )
    module, title, window = {"t31tfm": (t31tfm, "T31TFM-1618", 48), "mtlcc": (mtlcc, "MTLCC", 24)}[name]
    # stored numbers * 1e-4, which is reflectance
    return Facts(
        bands=BANDS,
        classes=module.CLASSES,
        mean=(0.0,) * len(BANDS),
        std=(1.0,) * len(BANDS),
        dates=16,
        window=window,
        season_year=2016,
        resolution=10.0,
        words={
            "trained_on": title,
            "product": "Sentinel-2 L1C (top of atmosphere), clouds not masked",
        },
    )


def add_data(facts: Facts, folder: Path, *, measure: bool) -> None:
    """Take what a data set of windows tells.

    Args:
        facts: what it tells is replaced; bands, classes and dates only where there are none.
        folder: the data set.
        measure: mean and deviation of its bands are wanted.
    """
    import numpy as np
    from sits_engine.learning.segmentation.batches import normalisation
    from sits_engine.samples.window_data import WindowData
    from sits_engine.samples.window_reading import equal_shares
    from sits_engine.samples.windows import WindowSet

    data = WindowData.open(folder)
    facts.bands, facts.classes = facts.bands or data.bands, facts.classes or data.classes
    facts.dates, facts.window = facts.dates or data.n_dates, facts.window or min(data.size)
    years = [year for year in data.season_years if year is not None]
    facts.season_year = years[0] if years else facts.season_year
    facts.resolution = data.resolutions[0] if data.resolutions else facts.resolution
    index = equal_shares(np.zeros(data.n_windows, np.int64), min(LOOKED_AT, data.n_windows), 1)
    cards: dict[str, Any] = {}
    sums: list[Any] = []
    days: set[float] = set()
    for start in range(0, len(index), 64):
        windows = WindowSet.load(folder, index[start : start + 64])
        days.update(float(day) for day in np.unique(windows.positions[windows.valid.any(axis=(2, 3))]))
        if measure:
            sums.append((float(windows.valid.sum()), normalisation(windows)))
    facts.positions = tuple(sorted(days))
    words = {**(facts.words or {}), "data_set": data.name, "data_set_made_by": data.made_by or "unknown"}
    if measure:
        missing = [band for band in facts.bands if band not in data.bands]
        if missing:
            raise SystemExit(f"{data.name} has no band {', '.join(missing)}; it has {', '.join(data.bands)}.")
        total = sum(count for count, _ in sums)
        for i, band in enumerate(data.bands):
            mean = sum(count * part[i].mean for count, part in sums) / total
            square = sum(count * (part[i].std ** 2 + part[i].mean ** 2) for count, part in sums) / total
            cards[band] = (mean, math.sqrt(max(square - mean**2, 1e-12)))
        facts.mean = tuple(cards[band][0] for band in facts.bands)
        facts.std = tuple(cards[band][1] for band in facts.bands)
        words["normalisation"] = f"measured on {len(index)} windows of {data.name}"
    facts.words = words


def add_normalisation(facts: Facts, path: Path) -> None:
    """Take bands, means and deviations (reflectance, 0 to 1) of a CSV with the columns band, mean, std.

    Raises:
        SystemExit: not such a file, or other bands than those that are named already.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
        found = {row["band"].strip(): (float(row["mean"]), float(row["std"])) for row in rows}
    except (OSError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise SystemExit(f"{path} can't be read (columns band, mean, std are expected): {error}.") from error
    facts.bands = facts.bands or tuple(found)
    missing = [band for band in facts.bands if band not in found]
    if missing:
        raise SystemExit(f"{path} has no band {', '.join(missing)}; it has {', '.join(found)}.")
    facts.mean, facts.std = (tuple(found[band][i] for band in facts.bands) for i in (0, 1))
    if min(facts.std) <= 0:
        raise SystemExit(f"{path} has a deviation (std) of 0 or less.")
    facts.words = {**(facts.words or {}), "normalisation": path.name}
