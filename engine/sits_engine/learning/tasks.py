"""The trainings that other processes take part in, by the names under which process 0 calls them."""

from __future__ import annotations

from sits_engine.context import JobContext
from sits_engine.device import Device
from sits_engine.learning.exact.task import ExactTask
from sits_engine.learning.processes import Processes
from sits_engine.learning.segmentation import shared_stages
from sits_engine.learning.shared_fit import Task
from sits_engine.learning.timesenclip.task import PhotoTask

TASKS: dict[str, type[Task | PhotoTask | ExactTask]] = {"fit": Task, "photos": PhotoTask, "exact": ExactTask}


def help_out(processes: Processes, device: Device, ctx: JobContext) -> None:
    """What every process but the first does until that one has finished."""
    while (call := processes.receive()) is not None:
        name, facts, arrays = call
        if name == "segment":
            shared_stages.take_part(facts, arrays, device, ctx, processes)
        else:
            TASKS[name].of(facts, arrays).run(device, ctx, processes=processes)
