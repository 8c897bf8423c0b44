"""A year of images in memory, and small satellite encoders, for tests of words and photos."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from pyproj import Transformer
from support.memory_series import MemorySeries

from sits_engine.learning.timesenclip.batches import PairedPlaces
from sits_engine.models.card import BandCard, ModelCard
from sits_engine.models.registry import build, timesenclip_hyperparameters
from sits_engine.models.timesenclip.encoder import SatelliteEncoder
from sits_engine.samples.composites import Composites
from sits_engine.series.types import Cube, Window


@dataclass
class YearSeries(MemorySeries):
    """Knows its dates, and reads over its edge."""

    dates: tuple[datetime.date, ...] = ()
    path: Path = Path("year.json")

    def read(self, window: Window, bands, *, keep_clouds: bool = False) -> Cube:
        inside = self.grid.whole
        top, left = max(0, window.row), max(0, window.col)
        bottom = min(inside.height, window.row + window.height)
        right = min(inside.width, window.col + window.width)
        cube = super().read(Window(top, left, bottom - top, right - left), bands, keep_clouds=keep_clouds)
        pad = (
            (top - window.row, window.row + window.height - bottom),
            (left - window.col, window.col + window.width - right),
        )
        return Cube(
            np.pad(cube.values, ((0, 0), (0, 0), *pad)),
            np.pad(cube.valid, ((0, 0), *pad)),
            np.pad(cube.observed, ((0, 0), *pad)),
            cube.scale,
            cube.offset,
        )


def year_series(
    height=40,
    width=50,
    bands=("B02", "B04", "B08"),
    *,
    days=11,
    clear=0.6,
    start=(2018, 1, 3),
    dates=33,
    seed=0,
) -> YearSeries:
    """Random images every `days` days."""
    rng = np.random.default_rng(seed)
    first = datetime.date(*start)
    when = tuple(first + datetime.timedelta(days * i) for i in range(dates))
    values = rng.integers(1000, 6000, (dates, len(bands), height, width)).astype(np.uint16)
    seen = rng.random((dates, height, width)) < clear
    return YearSeries(values * seen[:, None], seen, bands=tuple(bands), dates=when)


def lonlat(series: MemorySeries, rows, cols) -> np.ndarray:
    """(N, 2) longitude and latitude of the middles of pixels."""
    x, y = series.grid.transform * (np.asarray(cols) + 0.5, np.asarray(rows) + 0.5)
    back = Transformer.from_crs(series.grid.crs, "EPSG:4326", always_xy=True)
    return np.stack(back.transform(x, y), 1)


def satellite_encoder(*, bands=3, embedding=16, context=1, seed=0, **changes) -> SatelliteEncoder:
    """A small encoder whose positions, tokens and norms are far from their start, in eval mode."""
    torch.manual_seed(seed)
    sizes = {"dim": 24, "depth": 3, "heads": 3, "feedforward": 20, **changes}
    module = build(
        "timesenclip", timesenclip_hyperparameters(bands, embedding=embedding, context=context, **sizes)
    )
    with torch.no_grad():
        for name, value in module.named_parameters():
            if value.dim() == 1 or "time_" in name:
                value.add_(torch.randn_like(value) * 0.3)
    return module.eval()


def satellite_card(module: SatelliteEncoder, bands=("B02", "B04", "B08"), **changes) -> ModelCard:
    """The card of such an encoder."""
    return ModelCard(
        architecture="timesenclip",
        hyperparameters={
            "n_bands": module.n_bands,
            "embedding": module.embedding,
            "context": module.context,
            "dim": module.dim,
            "depth": len(module.transformer.layers),
            "heads": module.heads,
            "feedforward": module.transformer.layers[0].linear1.out_features,
            "dropout": 0.2,
            "reference": module.reference,
        },
        bands=[BandCard(name=name, mean=0.01 * i, std=0.4 + 0.05 * i) for i, name in enumerate(bands)],
        classes=[],
        season_year=2018,
        positions=[float(m) for m in range(12)],
        date_convention="calendar months, January 0",
        **changes,
    )


def paired_places(n=90, *, dim=16, context=1, kinds=3, photos=(1, 4), seed=0) -> PairedPlaces:
    """Places of a few kinds, told apart by both images and photos, and by a grade within each kind."""
    rng = np.random.default_rng(seed)
    kind, grade = rng.integers(0, kinds, n), rng.random(n)
    phase = 2 * np.pi * kind[:, None] / kinds + np.arange(12) * np.pi / 6
    season = 0.3 + 0.2 * np.cos(phase)[:, :, None] * np.array([1.0, -1.0, 0.5])
    season = season + 0.15 * grade[:, None, None] * np.array([0.0, 1.0, 1.0])
    values = np.repeat(season[..., None], context**2, 3).reshape(n, 12, 3, context, context)
    values = values + rng.normal(0, 0.01, values.shape)
    valid = rng.random((n, 12)) < 0.8
    valid[:, 5] = True
    axes = np.linalg.qr(rng.normal(size=(dim, dim)))[0]
    count = rng.integers(photos[0], photos[1] + 1, n)
    owner = np.repeat(np.arange(n), count)
    vectors = (
        axes[kind[owner]] + 0.8 * grade[owner, None] * axes[kinds] + rng.normal(0, 0.1, (len(owner), dim))
    )
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    xy = np.stack([3 + 0.3 * rng.random(n), 50 + 0.2 * rng.random(n)], 1)
    composites = Composites(
        ("B02", "B04", "B08"),
        (values * valid[:, :, None, None, None]).astype(np.float32),
        valid,
        xy,
        np.arange(n),
    )
    offsets = np.concatenate([[0], np.cumsum(count)]).astype(np.int64)
    return PairedPlaces(composites, vectors.astype(np.float32), offsets)
