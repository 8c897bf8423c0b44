"""A tiny training of the classifier of ticked windows, alone or once a process."""

import numpy as np
from support.field_windows import field_windows

import sits_engine  # noqa: F401 (before torch)
from sits_engine.learning.exact.options import ExactOptions, settle
from sits_engine.learning.exact.task import ExactTask
from sits_engine.learning.segmentation.batches import normalisation
from sits_engine.samples.bags import Bags


def task(epochs=3, **options) -> ExactTask:
    """Ten polygons of one or two windows, of which two are held out; parts of windows lie outside."""
    n = 15
    windows = field_windows(n=n, size=8, classes=2, field=4)
    bag = np.repeat(np.arange(10), [1, 2] * 5).astype(np.int32)
    present = np.random.default_rng(0).random((10, 2)) < 0.5
    present[:3] = [[True, False], [False, True], [True, True]]
    inside = np.ones((n, 8, 8), dtype=bool)
    inside[::4, :, :3] = False
    bags = Bags(windows, ("a", "b"), present[bag], bag, inside, np.arange(10).astype(str))
    train, held = np.arange(12), np.arange(12, n)
    network = {"dim": 8, "heads": 2, "head_dim": 4, "temporal_depth": 1, "spatial_depth": 1}
    chosen = ExactOptions(epochs=epochs, n_dates=4, width="small", network=network, seed=4, **options)
    settings = settle(chosen, bags, len(train), on_processor=True)
    return ExactTask(bags, train, held, normalisation(windows, train), settings, True, chosen.seed)
