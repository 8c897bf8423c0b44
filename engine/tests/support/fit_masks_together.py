"""Tiny trainings of the classifier of ticked windows, alone or once a process, with a file of settings.

Each process writes its weights to `<folder>/<rank>.safetensors`; process 0 says its losses on stdout.
"""

import json
import sys
from dataclasses import asdict
from pathlib import Path

HERE = Path(__file__).resolve()
CHECKPOINT = "m.resume.safetensors"
sys.path[:0] = [str(HERE.parents[1]), str(HERE.parents[2])]

import numpy as np  # noqa: E402
import torch  # noqa: E402
from safetensors.torch import save_file  # noqa: E402
from support.field_windows import field_windows  # noqa: E402

import sits_engine  # noqa: E402, F401 (before torch)
from sits_engine.context import JobContext  # noqa: E402
from sits_engine.errors import EngineError  # noqa: E402
from sits_engine.learning.distributed import joined  # noqa: E402
from sits_engine.learning.exact.options import ExactOptions, settle  # noqa: E402
from sits_engine.learning.exact.task import ExactTask  # noqa: E402
from sits_engine.learning.segmentation.batches import normalisation  # noqa: E402
from sits_engine.learning.segmentation.recipes import Recipe  # noqa: E402
from sits_engine.samples.bags import Bags  # noqa: E402


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


def plain(recipe, parameters):
    """Steps along the gradient: Adam would make one of whatever rounding leaves of a gradient that is 0."""
    return torch.optim.SGD(parameters, lr=0.05, momentum=0.9)


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
            todo = task(**settings["options"])
            file = None
            if processes.rank:
                called = processes.receive()
                todo = ExactTask.of(*called[1:])
            else:
                file = todo.checkpoint(folder / CHECKPOINT)
            result = todo.run(device, ctx, processes=processes, checkpoint=file)
            save_file(result.module.state_dict(), folder / f"{processes.rank}.safetensors")
            if processes.rank:
                assert processes.receive() is None
            else:
                print(json.dumps({"rows": [asdict(row) for row in result.rows]}))
    except EngineError as error:
        print(json.dumps({"code": error.code, "message": error.message, "advice": error.advice}))
        raise SystemExit(1) from error


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
