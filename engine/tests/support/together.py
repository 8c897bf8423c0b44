"""How a small training of `support` begins and ends that `companies` starts once a process."""

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from sits_engine.context import JobContext
from sits_engine.errors import EngineError
from sits_engine.learning.distributed import joined


def plain(recipe, parameters, rate=0.05):
    """Steps along the gradient: Adam would make one of whatever rounding leaves of a gradient that is 0."""
    return torch.optim.SGD(parameters, lr=rate, momentum=0.9)


def stop_after(epoch):
    """For `together`: cancels with the first number of this epoch; None: never."""

    def heard(ctx, kind, fields) -> None:
        if kind == "metric" and fields["step"] == epoch:
            ctx.cancel("Enough.")

    return heard


def as_received(task, processes):
    """The task; in all processes but the first as that one's call brought it."""
    return type(task).of(*processes.receive()[1:]) if processes.rank else task


def together(settings, work, heard=lambda ctx, kind, fields: None) -> None:
    """Do some work in each process, write its weights, and say in one line what came of it or what ended it.

    Args:
        settings: `folder` gets the weights as `<rank>.safetensors`.
        work: (processes, device, ctx) -> weights, and what is said.
        heard: (ctx, kind, fields) gets every message.
    """
    ctx = JobContext(lambda kind, fields: heard(ctx, kind, fields))
    torch.set_num_threads(1)
    try:
        with joined("cpu", ctx) as (processes, device):
            weights, said = work(processes, device, ctx)
            save_file(weights, Path(settings["folder"]) / f"{processes.rank}.safetensors")
            print(json.dumps(said))
    except EngineError as error:
        print(json.dumps({"code": error.code, "message": error.message, "advice": error.advice}))
        raise SystemExit(1) from error


def given():
    """The settings that `companies` gave this process."""
    return json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
