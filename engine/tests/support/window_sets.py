"""Windows of random numbers."""

import numpy as np

from sits_engine.samples.windows import WindowSet


def windows(n=5, dates=4, scale=2, side=6, region=0, seed=0) -> WindowSet:
    rng = np.random.default_rng(seed)
    fine = (n, side * scale, side * scale)
    return WindowSet(
        bands=("B04", "B08", "B11"),
        values=rng.random((n, dates, 3, side, side)).astype(np.float32),
        valid=rng.random((n, dates, side, side)) < 0.8,
        positions=np.cumsum(rng.integers(1, 20, (n, dates)), axis=1).astype(np.int32) - 10,
        labels=rng.integers(-1, 3, fine).astype(np.int16),
        parcels=rng.integers(0, 9, fine).astype(np.int32),
        mixed=rng.integers(0, 3, fine).astype(np.uint8),
        scale=scale,
        classes=("maize", "wheat", "Rübe"),
        xy=rng.random((n, 2)),
        region=np.full(n, region, np.int16),
        rows=np.arange(n, dtype=np.int32) * side,
        cols=np.zeros(n, np.int32),
    )
