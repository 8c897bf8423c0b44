from __future__ import annotations

import dataclasses

import numpy as np

from sits_engine.learning.effort import settle
from sits_engine.learning.run import RunOptions
from sits_engine.samples.pixel_sets import PixelSets, offsets_of


def sets(n: int, pixels: int, dates: int) -> PixelSets:
    return PixelSets(
        bands=("NDVI",),
        values=np.zeros((n * pixels, dates, 1), dtype=np.float32),
        valid=np.ones((n * pixels, dates), dtype=bool),
        offsets=offsets_of([pixels] * n),
        positions=np.zeros((n, dates), dtype=np.int32),
        labels=np.zeros(n, dtype=np.int64),
        classes=("a",),
        ids=np.arange(n).astype(str),
        xy=np.zeros((n, 2)),
        region=np.zeros(n, dtype=np.int16),
        blocks=np.zeros(n, dtype=np.int64),
    )


def test_effort_scales_with_the_data() -> None:
    large = sets(20_000, 1, 2)
    steps = {}
    for effort in ("quick", "standard", "thorough"):
        found = settle(RunOptions(effort=effort), large)
        steps[effort] = found.epochs * found.steps_per_epoch
    assert steps["quick"] <= steps["standard"] / 3
    assert steps["thorough"] == 10_000
    tiny = settle(RunOptions(), sets(200, 1, 14))
    assert tiny.epochs * tiny.steps_per_epoch < steps["standard"]
    assert tiny.pixels_per_set == 1
    assert tiny.dates_per_sample == 10
    assert settle(RunOptions(), sets(10, 90, 72)).dates_per_sample == 30
    assert settle(RunOptions(), sets(10, 90, 3)).dates_per_sample == 3


def test_what_the_user_says_counts() -> None:
    said = {
        "epochs": 3,
        "steps_per_epoch": 7,
        "pixels_per_set": 9,
        "dates_per_sample": 12,
        "weight_decay": 0.0,
    }
    found = settle(RunOptions(shift=20, width="small", **said), sets(50, 40, 20))
    assert {name: getattr(found, name) for name in said} == said
    assert (found.shift, found.width) == (20, "small")
    assert found.as_json()["shift_augmentation"] == 20
    assert dataclasses.asdict(found)["epochs"] == 3
