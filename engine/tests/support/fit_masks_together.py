"""Tiny trainings of the classifier of ticked windows, alone or once a process."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
from support.field_windows import field_windows
from support.together import as_received, given, plain, stop_after, together

from sits_engine.learning.exact.options import ExactOptions, settle
from sits_engine.learning.exact.task import ExactTask
from sits_engine.learning.segmentation.batches import normalisation
from sits_engine.learning.segmentation.recipes import Recipe
from sits_engine.samples.bags import Bags

CHECKPOINT = "m.resume.safetensors"


def task(epochs=4, **options) -> ExactTask:
    """Ten polygons of one or two windows, of which two are held out; parts of windows lie outside.

    A batch has five polygons, which two processes share as three and two.
    """
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


def main(settings) -> None:
    """Train as the settings say; process 0 keeps a state."""
    Recipe.optimizer = plain

    def work(processes, device, ctx):
        todo = as_received(task(**settings["options"]), processes)
        file = None if processes.rank else todo.checkpoint(Path(settings["folder"]) / CHECKPOINT)
        result = todo.run(device, ctx, processes=processes, checkpoint=file)
        assert not processes.rank or processes.receive() is None
        return result.module.state_dict(), {"rows": [asdict(row) for row in result.rows]}

    together(settings, work, stop_after(settings.get("stop")))


if __name__ == "__main__":
    main(given())
