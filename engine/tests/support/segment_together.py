"""Tiny trainings of segmentation networks, alone or once a process: `segment_together.py SETTINGS.json`.

Each process writes its weights to `<folder>/<rank>.safetensors`; process 0 says its losses, or what ended it.
"""

import dataclasses
import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve()
sys.path[:0] = [str(HERE.parents[1]), str(HERE.parents[2])]

import numpy as np  # noqa: E402
import torch  # noqa: E402
import zarr  # noqa: E402
from safetensors.torch import save_file  # noqa: E402
from support.field_windows import field_windows  # noqa: E402
from support.small_segmenters import SMALL  # noqa: E402

import sits_engine  # noqa: E402, F401 (before torch)
from sits_engine import device  # noqa: E402
from sits_engine.context import JobContext  # noqa: E402
from sits_engine.errors import EngineError, InputError  # noqa: E402
from sits_engine.learning.checkpoint import Checkpoint  # noqa: E402
from sits_engine.learning.distributed import joined  # noqa: E402
from sits_engine.learning.processes import ALONE  # noqa: E402
from sits_engine.learning.segmentation import shared_stages  # noqa: E402
from sits_engine.learning.segmentation.batches import normalisation  # noqa: E402
from sits_engine.learning.segmentation.options import SegmentOptions, settle  # noqa: E402
from sits_engine.learning.segmentation.recipes import Recipe  # noqa: E402
from sits_engine.learning.tasks import help_out  # noqa: E402
from sits_engine.samples.stored_arrays import StoredArray  # noqa: E402


def plain(recipe, parameters):
    """Steps along the gradient: Adam would make one of whatever rounding leaves of a gradient that is 0."""
    return torch.optim.SGD(parameters, lr=0.05, momentum=0.9)


def stages(name, *, mask=False, store=None, epochs=2, scale=1, batch_size=5):
    """Batches of five windows, which two processes share as three and two; some lack the late dates."""
    train = field_windows(n=9, size=8, field=4, scale=scale)
    train.valid[::2, 3:], train.values[::2, 3:] = False, 0
    held = dataclasses.replace(train, labels=train.labels.copy())
    train.labels[6:], held.labels[:6] = -2, -2
    options = SegmentOptions(
        architecture=name,
        width="small",
        n_dates=5,
        window=8,
        cscl=True,
        cscl_epochs=1,
        cscl_mask=mask,
        epochs=epochs,
        steps_per_epoch=2,
        batch_size=batch_size,
        seed=2,
    )
    settings = settle(options, train, 6, hidden=False)
    settings = dataclasses.replace(settings, hyperparameters=settings.hyperparameters | SMALL[name])
    bands = normalisation(train, range(6))
    if store is not None:
        images = {part: stored(store, part, getattr(train, part)) for part in ("values", "valid")}
        train, held = (dataclasses.replace(one, **images) for one in (train, held))
    return shared_stages.Stages(settings, "all", bands, train, held)


def stored(folder, name, array):
    """An array of windows in a store."""
    place = Path(folder) / f"{name}.zarr"
    if not place.exists():
        zarr.create_array(str(place), data=array)
    n = len(array)
    return StoredArray([zarr.open_array(str(place), mode="r")], np.zeros(n, np.int64), np.arange(n))


def train(todo, ctx, processes=ALONE, checkpoints=(None, None)):
    """Both stages: weights and losses."""
    training = todo.on(device.select("cpu"), processes)
    before = training.pretrain(ctx, checkpoint=checkpoints[0])
    fitted = training.finetune(ctx, checkpoint=checkpoints[1])
    rows = [[row.train_loss, row.validation_loss, row.positive] for row in before.rows]
    rows += [[row.train_loss, row.validation_loss, row.validation_miou] for row in fitted.epochs]
    return fitted.module.state_dict(), rows


def checkpoints(folder, name):
    """Of both stages."""
    return tuple(Checkpoint(folder / f"{name}.{stage}.resume.safetensors", "mark") for stage in "ab")


def main(settings) -> None:
    """Train as the settings say."""
    Recipe.optimizer = plain
    folder, states, rows = Path(settings["folder"]), {}, {}

    def send(kind, fields) -> None:
        if settings.get("stops") and fields.get("name") == "validation_miou":
            ctx.cancel("Enough.")

    ctx = JobContext(send)
    torch.set_num_threads(1)
    try:
        with joined("cpu", ctx) as (processes, own):
            if processes.rank:
                help_and_keep(processes, own, ctx, [name for name, _ in settings["tasks"]], states)
            else:
                for name, how in settings["tasks"]:
                    states[name], rows[name] = train(
                        stages(name, **how), ctx, processes, checkpoints(folder, name)
                    )
            weights = {f"{name}/{part}": v for name, state in states.items() for part, v in state.items()}
            save_file(weights, folder / f"{processes.rank}.safetensors")
            print(json.dumps({"rows": rows}))
    except EngineError as error:
        print(json.dumps({"code": error.code, "advice": error.advice}))
        raise SystemExit(1) from error


def help_and_keep(processes, own, ctx, names, states) -> None:
    """Take part, without seeing a store whose name says so; weights, and how images came, are kept."""
    images, (finetune, at) = {}, (shared_stages.Training.finetune, StoredArray.at)

    def keeping(training, *given):
        name = names[len(images)]
        images[name] = type(training.cutter.windows.values).__name__
        states[name] = finetune(training, *given).module.state_dict()

    def seen(places, *rest):
        if "hidden" in places[0]:
            raise InputError(f"{places} can't be read.", "Copy them.")
        return at(places, *rest)

    shared_stages.Training.finetune, StoredArray.at = keeping, seen
    help_out(processes, own, ctx)
    Path(sys.argv[1]).with_name("images.json").write_text(json.dumps(images))


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
