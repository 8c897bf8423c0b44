"""Tiny trainings of the satellite encoder, alone or once a process."""

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from support.photo_series import paired_places
from support.together import as_received, given, stop_after, together
from support.together import plain as along_gradient

from sits_engine.learning.segmentation.recipes import Recipe
from sits_engine.learning.timesenclip.batches import normalisation
from sits_engine.learning.timesenclip.options import PhotoOptions, settle
from sits_engine.learning.timesenclip.task import PhotoTask

CHECKPOINT = "m.resume.safetensors"


def task(dropout=0.0, **options) -> PhotoTask:
    """Batches of seven places, which two processes share as four and three; a queue of past keys."""
    pairs = paired_places(40)
    train, validation = np.arange(28), np.arange(28, 40)
    bands = normalisation(pairs.composites, train, pairs.composites.bands)
    chosen = PhotoOptions(epochs=3, batch_size=7, seed=4, **options)
    settings = settle(chosen, len(bands), 1, pairs.dim, len(train), on_processor=True)
    tiny = {"dim": 8, "depth": 1, "heads": 2, "feedforward": 8, "dropout": dropout}
    settings = replace(settings, hyperparameters={**settings.hyperparameters, **tiny}, steps_per_epoch=3)
    return PhotoTask(pairs, train, validation, bands, chosen, settings)


def plain(recipe, parameters):
    """With a rate that suits the encoder."""
    return along_gradient(recipe, parameters, rate=0.01)


def main(settings) -> None:
    """Train as the settings say; process 0 keeps a state."""
    Recipe.optimizer = plain

    def work(processes, device, ctx):
        todo = as_received(task(**settings["options"]), processes)
        file = None if processes.rank else Path(settings["folder"]) / CHECKPOINT
        result = todo.run(device, ctx, processes=processes, checkpoint=file)
        assert not processes.rank or processes.receive() is None
        weights = {**result.module.state_dict(), **result.pooling.state_dict()}
        return weights, {"rows": [asdict(row) for row in result.rows]}

    together(settings, work, stop_after(settings.get("stop")))


if __name__ == "__main__":
    main(given())
