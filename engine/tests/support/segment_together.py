"""Tiny trainings of segmentation networks, alone or once a process."""

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import zarr
from support.field_windows import field_windows
from support.small_segmenters import SMALL
from support.together import given, plain, together

from sits_engine import device
from sits_engine.errors import InputError
from sits_engine.learning.checkpoint import Checkpoint
from sits_engine.learning.processes import ALONE
from sits_engine.learning.segmentation import shared_stages
from sits_engine.learning.segmentation.batches import normalisation
from sits_engine.learning.segmentation.options import SegmentOptions, settle
from sits_engine.learning.segmentation.recipes import Recipe
from sits_engine.learning.tasks import help_out
from sits_engine.samples.stored_arrays import StoredArray


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
    """Train as the settings say; process 0 keeps states."""
    Recipe.optimizer = plain

    def work(processes, own, ctx):
        states, rows = {}, {}
        if processes.rank:
            help_and_keep(processes, own, ctx, [name for name, _ in settings["tasks"]], states)
        else:
            for name, how in settings["tasks"]:
                kept = checkpoints(Path(settings["folder"]), name)
                states[name], rows[name] = train(stages(name, **how), ctx, processes, kept)
        weights = {f"{name}/{part}": v for name, state in states.items() for part, v in state.items()}
        return weights, {"rows": rows}

    def heard(ctx, kind, fields) -> None:
        if settings.get("stops") and fields.get("name") == "validation_miou":
            ctx.cancel("Enough.")

    together(settings, work, heard)


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
    main(given())
