"""A tiny training, started once a process with torchrun's environment: `fit_together.py SETTINGS.json`.

Each process writes its weights to `<folder>/<rank>.safetensors`; process 0 says what went wrong on stdout.
"""

import json
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve()
CHECKPOINT = "run.resume.safetensors"
sys.path[:0] = [str(HERE.parents[1]), str(HERE.parents[2])]

import torch  # noqa: E402
from safetensors.torch import save_file  # noqa: E402
from support.seasons import seasons  # noqa: E402

import sits_engine  # noqa: E402, F401 (before torch)
from sits_engine.context import JobContext  # noqa: E402
from sits_engine.errors import EngineError  # noqa: E402
from sits_engine.learning.distributed import joined  # noqa: E402
from sits_engine.learning.shared_fit import Task  # noqa: E402
from sits_engine.learning.supervised import FitOptions, normalisation  # noqa: E402
from sits_engine.learning.transforms import Sampling  # noqa: E402
from sits_engine.models.registry import pseltae_hyperparameters  # noqa: E402


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
    """Train as the settings say."""
    folder = Path(settings["folder"])
    said = []

    def send(kind, fields):
        if kind == "log":
            said.append(fields["text"])
        elif kind == "metric" and settings.get("pause"):
            time.sleep(settings["pause"])

    ctx = JobContext(send)
    torch.set_num_threads(1)
    try:
        with joined("cpu", ctx) as (processes, device):
            todo = task(**settings.get("task", {}))
            if processes.rank:
                called = processes.receive()
                todo = Task.of(*called[1:])
                checkpoint = None
            else:
                checkpoint = folder / CHECKPOINT
            if settings.get("fails") == processes.rank and processes.size > 1:
                raise EngineError("INPUT_INVALID", "Rank 1 has a reason.", "Help it.")
            result = todo.run(device, ctx, processes=processes, checkpoint=checkpoint)
            save_file(result.module.state_dict(), folder / f"{processes.rank}.safetensors")
            if not processes.rank:
                rows = [[row.train_loss, row.validation_loss] for row in result.epochs]
                print(json.dumps({"rows": rows, "batch": result.batch_size, "said": said}))
            else:
                assert processes.receive() is None
    except EngineError as error:
        print(json.dumps({"code": error.code, "message": error.message}))
        raise SystemExit(1) from error


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
