"""Tiny trainings of the satellite encoder, alone or once a process, with a file of settings.

Each process writes its weights to `<folder>/<rank>.safetensors`; process 0 says its losses on stdout.
"""

import json
import sys
from dataclasses import asdict, replace
from pathlib import Path

HERE = Path(__file__).resolve()
CHECKPOINT = "m.resume.safetensors"
sys.path[:0] = [str(HERE.parents[1]), str(HERE.parents[2])]

import numpy as np  # noqa: E402
import torch  # noqa: E402
from safetensors.torch import save_file  # noqa: E402
from support.photo_series import paired_places  # noqa: E402

import sits_engine  # noqa: E402, F401 (before torch)
from sits_engine.context import JobContext  # noqa: E402
from sits_engine.errors import EngineError  # noqa: E402
from sits_engine.learning.distributed import joined  # noqa: E402
from sits_engine.learning.segmentation.recipes import Recipe  # noqa: E402
from sits_engine.learning.timesenclip.batches import normalisation  # noqa: E402
from sits_engine.learning.timesenclip.options import PhotoOptions, settle  # noqa: E402
from sits_engine.learning.timesenclip.task import PhotoTask  # noqa: E402


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
    """Steps along the gradient: Adam would make one of whatever rounding leaves of a gradient that is 0."""
    return torch.optim.SGD(parameters, lr=0.01, momentum=0.9)


def main(settings) -> None:
    """Train as the settings say."""
    Recipe.optimizer = plain
    folder = Path(settings["folder"])

    def send(kind, fields):
        if kind == "metric" and fields["step"] == settings.get("stop"):
            ctx.cancel("Enough.")

    ctx = JobContext(send)
    torch.set_num_threads(1)
    try:
        with joined("cpu", ctx) as (processes, device):
            todo, file = task(**settings["options"]), folder / CHECKPOINT
            if processes.rank:
                todo, file = PhotoTask.of(*processes.receive()[1:]), None
            result = todo.run(device, ctx, processes=processes, checkpoint=file)
            save_file(
                {**result.module.state_dict(), **result.pooling.state_dict()},
                folder / f"{processes.rank}.safetensors",
            )
            if processes.rank:
                assert processes.receive() is None
            else:
                print(json.dumps({"rows": [asdict(row) for row in result.rows]}))
    except EngineError as error:
        print(json.dumps({"code": error.code, "message": error.message, "advice": error.advice}))
        raise SystemExit(1) from error


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
