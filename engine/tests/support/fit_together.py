"""A tiny training of a pixel-set network, alone or once a process."""

import time
from pathlib import Path

from support.seasons import seasons
from support.together import as_received, given, together

from sits_engine.errors import EngineError
from sits_engine.learning.shared_fit import Task
from sits_engine.learning.supervised import FitOptions, normalisation
from sits_engine.learning.transforms import Sampling
from sits_engine.models.registry import pseltae_hyperparameters

CHECKPOINT = "run.resume.safetensors"


def task(epochs=3, dropout=0.0, batch_size=17) -> Task:
    """Without dropout, which each process draws for itself; some sets have no clear date at all."""
    train, validation = seasons(40), seasons(20, seed=1)
    cloudy = train.owner() % 7 == 0
    train.valid[cloudy], train.values[cloudy] = False, 0
    return Task(
        "pseltae",
        {
            **pseltae_hyperparameters(2, 3, width="small"),
            "dropout": dropout,
            "attention_dropout": dropout,
        },
        train,
        validation,
        normalisation(train, "standard"),
        FitOptions(
            epochs, 3, Sampling(pixels=4, dates=8, shift=5), batch_size=batch_size, learning_rate=1e-4, seed=4
        ),
    )


def main(settings) -> None:
    """Train as the settings say; process 0 keeps a state."""
    said = []

    def work(processes, device, ctx):
        todo = as_received(task(**settings.get("task", {})), processes)
        if settings.get("fails") == processes.rank and processes.size > 1:
            raise EngineError("INPUT_INVALID", "Rank 1 has a reason.", "Help it.")
        file = None if processes.rank else Path(settings["folder"]) / CHECKPOINT
        result = todo.run(device, ctx, processes=processes, checkpoint=file)
        assert not processes.rank or processes.receive() is None
        rows = [[row.train_loss, row.validation_loss] for row in result.epochs]
        return result.module.state_dict(), {"rows": rows, "batch": result.batch_size, "said": said}

    def heard(ctx, kind, fields) -> None:
        if kind == "log":
            said.append(fields["text"])
        elif kind == "metric" and settings.get("pause"):
            time.sleep(settings["pause"])

    together(settings, work, heard)


if __name__ == "__main__":
    main(given())
