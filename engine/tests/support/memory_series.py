"""A time series held in memory."""

from dataclasses import dataclass, field

import numpy as np
from affine import Affine
from pyproj import CRS

from sits_engine.errors import InputError
from sits_engine.series.bands import match
from sits_engine.series.missing import MissingImages
from sits_engine.series.types import Cube, Grid, Window

CRS31 = CRS.from_epsg(32631)


@dataclass
class MemorySeries:
    """What samples need of a time series; remembers which windows were read."""

    values: np.ndarray
    clear: np.ndarray
    title: str = "a.json"
    bands: tuple[str, ...] = ("B04", "B08")
    reads: list[Window] = field(default_factory=list)
    missing: MissingImages = field(default_factory=MissingImages)

    @property
    def grid(self) -> Grid:
        height, width = self.values.shape[2:]
        return Grid(CRS31.to_wkt(), Affine(10, 0, 500000, 0, -10, 5600000), height, width)

    @property
    def positions(self) -> np.ndarray:
        return np.arange(len(self.values), dtype=np.int32) * 10 - 20

    @property
    def season_year(self) -> int:
        return 2019

    def match_bands(self, wanted):
        found, missing = match(self.bands, wanted)
        if missing:
            raise InputError(f"The series has no band {missing}.", "Choose others.")
        return found

    def fingerprint(self) -> str:
        return str(self.values.sum())

    def read(self, window: Window, bands, *, keep_clouds: bool = False) -> Cube:
        self.reads.append(window)
        part = np.s_[window.row : window.row + window.height, window.col : window.col + window.width]
        chosen = [self.bands.index(name) for name in bands]
        values, clear = self.values[:, chosen][(..., *part)], self.clear[(slice(None), *part)]
        valid = np.ones_like(clear) if keep_clouds else clear
        scale = np.full(values.shape[:2], 1e-4, np.float32)
        return Cube(np.where(valid[:, None], values, 0), valid, np.ones_like(clear), scale, scale * 0 - 0.1)


def series(height=80, width=90, dates=5, bands=2, seed=0) -> MemorySeries:
    rng = np.random.default_rng(seed)
    values = rng.integers(1000, 9000, (dates, bands, height, width)).astype(np.uint16)
    return MemorySeries(values, rng.random((dates, height, width)) < 0.8)
