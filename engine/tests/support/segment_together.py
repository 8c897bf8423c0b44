"""Tiny trainings of segmentation networks, alone or once a process: `segment_together.py SETTINGS.json`.

Each process writes its weights to `<folder>/<rank>.safetensors`; process 0 says its losses on stdout.
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
from sits_engine.learning.checkpoint import Checkpoint  # noqa: E402
from sits_engine.learning.distributed import joined  # noqa: E402
from sits_engine.learning.processes import ALONE  # noqa: E402
from sits_engine.learning.segmentation import shared_stages  # noqa: E402
from sits_engine.learning.segmentation.batches import normalisation  # noqa: E402
from sits_engine.learning.segmentation.options import SegmentOptions, settle  # noqa: E402
from sits_engine.learning.segmentation.recipes import Recipe  # noqa: E402
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


def checkpoints(folder):
    """Of both stages."""
    return tuple(Checkpoint(Path(folder) / f"{n}.resume.safetensors", "mark") for n in "ab")


def main(settings) -> None:
    """Train as the settings say."""
    Recipe.optimizer = plain
    folder, weights, rows, said = settings["folder"], {}, {}, []
    ctx = JobContext(lambda kind, fields: said.append(fields.get("text")))
    torch.set_num_threads(1)
    with joined("cpu", ctx) as (processes, own):
        if processes.rank:
            if settings.get("hides"):
                StoredArray.at = classmethod(lambda cls, places, *rest: missing(places))
            kept = []
            finetune = shared_stages.Training.finetune

            def keeping(training, *given):
                kept.append(finetune(training, *given).module.state_dict())

            shared_stages.Training.finetune = keeping
            shared_stages.help_stages(processes, own, ctx)
            states = dict(zip((name for name, _ in settings["tasks"]), kept, strict=True))
        else:
            states = {}
            for name, how in settings["tasks"]:
                files = checkpoints(folder) if settings.get("resume") else (None, None)
                states[name], rows[name] = train(stages(name, **how), ctx, processes, files)
        for name, state in states.items():
            weights |= {f"{name}/{part}": value for part, value in state.items()}
        save_file(weights, f"{folder}/{processes.rank}.safetensors")
        if not processes.rank:
            print(json.dumps({"rows": rows, "said": [line for line in said if line]}))


def missing(places):
    """As `StoredArray.at` where nothing is there."""
    from sits_engine.errors import InputError

    raise InputError(f"{places} can't be read.", "Copy them.")


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
