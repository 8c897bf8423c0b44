"""Samples of three crops that anybody can tell apart."""

from __future__ import annotations

import numpy as np

from sits_engine.samples.pixel_sets import PixelSets, offsets_of


def seasons(n=90, dates=10, seed=0) -> PixelSets:
    """Three crops that peak at different days; half the values clouded with noise."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 3
    sizes = rng.integers(1, 7, n)
    owner = np.repeat(np.arange(n), sizes)
    positions = np.tile(np.linspace(60, 300, dates).astype(np.int32), (n, 1))
    peak = np.array([110, 180, 250])[labels] + rng.normal(0, 8, n)
    curve = np.exp(-(((positions - peak[:, None]) / 40) ** 2))
    values = np.stack([0.1 + 0.3 * curve[owner], 0.5 - 0.2 * curve[owner]], axis=-1)
    values += rng.normal(0, 0.02, values.shape)
    valid = rng.random(values.shape[:2]) < 0.8
    valid[:, 0] = True
    return PixelSets(
        bands=("B08", "B04"),
        values=(values * valid[..., None]).astype(np.float32),
        valid=valid,
        offsets=offsets_of(sizes),
        positions=positions,
        labels=labels.astype(np.int64),
        classes=("early", "middle", "late"),
        ids=np.arange(n).astype(str),
        xy=np.full((n, 2), np.nan),
        region=np.zeros(n, dtype=np.int16),
        blocks=np.full(n, -1, dtype=np.int64),
    )
