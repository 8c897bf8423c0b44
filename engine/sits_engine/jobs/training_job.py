"""What jobs share that train for hours: the states of an interrupted run, and several processes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from sits_engine.context import JobContext
from sits_engine.errors import EngineError
from sits_engine.jobs.base import Job, JobResult

if TYPE_CHECKING:
    from sits_engine.device import Device
    from sits_engine.learning.processes import Processes


class ResumableJob(Job):
    """A job that keeps the state after each epoch beside its output until that is written."""

    if TYPE_CHECKING:
        output: Path  # each job describes its own

    resume: bool = Field(
        True, description="go on from the last whole epoch of an interrupted run with the same inputs"
    )

    @property
    def checkpoint(self) -> Path:
        """Where an interrupted run goes on from."""
        return self.output.with_name(f"{self.output.stem}.resume.safetensors")

    @property
    def checkpoints(self) -> tuple[Path, ...]:
        """All files of states."""
        return (self.checkpoint,)

    def forget(self) -> None:
        """Remove the states of earlier runs."""
        for path in self.checkpoints:
            path.unlink(missing_ok=True)


class TrainingJob(ResumableJob):
    """A training; torchrun may start it in several processes."""

    several: ClassVar[bool] = True

    if TYPE_CHECKING:
        batch_size: int  # each job describes its own

    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, mps")

    def run(self, ctx: JobContext) -> JobResult:
        """Read, train, test, write."""
        from sits_engine.learning.distributed import joined

        with joined(self.device, ctx) as (processes, device):
            self.check_processes(processes)
            return self.train(ctx, processes, device)

    def help(self, ctx: JobContext) -> None:
        """Train with the process that runs the job."""
        from sits_engine.learning.distributed import joined
        from sits_engine.learning.tasks import help_out

        with joined(self.device, ctx) as (processes, device):
            help_out(processes, device, ctx)

    @classmethod
    def refuse(cls, error: EngineError, ctx: JobContext) -> None:
        """Tell the process that runs the job why this one can't help."""
        from sits_engine.learning.distributed import refuse

        refuse(error, ctx)

    def check_processes(self, processes: Processes) -> None:
        """Before anything is read: refuse options that these processes can't train with."""
        processes.check_batch(self.batch_size)

    def train(self, ctx: JobContext, processes: Processes, device: Device) -> JobResult:
        """`run` in the first of the processes that train together."""
        raise NotImplementedError

    def use(self, device: Device, processes: Processes, ctx: JobContext) -> None:
        """Say where training will compute."""
        ctx.device = device.label
        together = f" in each of {processes.size} processes" if processes.size > 1 else ""
        ctx.info(f"Training will use {device.label}{together}.")
