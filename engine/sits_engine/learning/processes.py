"""The processes that train one network together: where they stand, and what a training loop asks of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt
from torch import Tensor, nn

from sits_engine.errors import EngineError, InputError

Arrays = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Place:
    """Where this process stands, as torchrun says in its environment.

    Attributes:
        rank, size: its number among all processes, and how many there are.
        local_rank, local_size: the same on this machine.
        host, port: of the store.
        hosted: whether torchrun itself keeps the store; else process 0 does.
        attempt: torchrun starts all processes anew after a failure, if asked to.
    """

    rank: int
    size: int
    local_rank: int
    local_size: int
    host: str
    port: int
    hosted: bool
    attempt: str

    @classmethod
    def of_environment(cls, environment: Mapping[str, str] | None = None) -> Place | None:
        """None where this process runs alone."""
        found = os.environ if environment is None else environment
        if int(found.get("WORLD_SIZE") or 1) < 2:
            return None
        try:
            return cls(
                rank=int(found["RANK"]),
                size=int(found["WORLD_SIZE"]),
                local_rank=int(found["LOCAL_RANK"]),
                local_size=int(found.get("LOCAL_WORLD_SIZE", "1")),
                host=found["MASTER_ADDR"],
                port=int(found["MASTER_PORT"]),
                hosted=found.get("TORCHELASTIC_USE_AGENT_STORE") == "True",
                attempt=found.get("TORCHELASTIC_RESTART_COUNT", "0"),
            )
        except (KeyError, ValueError) as error:
            raise InputError(
                f"WORLD_SIZE asks for several processes, but {error} is missing or no number.",
                "Start the processes with torchrun.",
            ) from error


class Processes:
    """This process alone. `Joined` does the same for several: what is called here, all must call in step."""

    rank, size = 0, 1
    #: Processes on this machine.
    here = 1
    #: For `shared_norm.shared_statistics`; None where there is nothing to add up.
    total: Callable[[Tensor], Tensor] | None = None

    @property
    def share(self) -> slice:
        """The samples of a batch that are this process's."""
        return slice(self.rank, None, self.size)

    def check_batch(self, size: int) -> None:
        """Every process must get a sample of each batch.

        Raises:
            InputError: there are more processes than a batch has samples.
        """
        if size < self.size:
            raise InputError(
                f"BATCH_SIZE is {size}, but {self.size} processes share each batch.",
                f"Give at least {self.size}, or start fewer processes.",
            )

    def add(self, tensor: Tensor) -> Tensor:
        """Sum over all processes, without gradients."""
        return tensor

    def add_gradients(self, module: nn.Module) -> None:
        """Replace the gradients by their sums over all processes."""

    def begin_alike(self, module: nn.Module) -> None:
        """Give all processes the parameters and buffers of process 0."""

    def numbers(self, values: list[float]) -> list[float]:
        """Those of process 0, so that all decide alike."""
        return values

    def content(self, given: bytes | None) -> bytes | None:
        """That of process 0."""
        return given

    def call(self, task: str, facts: Mapping[str, Any], arrays: Arrays) -> None:
        """Process 0 asks the others to take part in a task; they get facts (JSON) and arrays by `receive`."""

    def receive(self) -> tuple[str, dict[str, Any], dict[str, npt.NDArray[Any]]] | None:
        """The next call of process 0, as (task, facts, arrays); None when there is nothing left to do."""
        return None


ALONE = Processes()


class Lost(EngineError):
    """Another process can't be reached any more."""

    def __init__(self, what: str) -> None:
        super().__init__(
            "NETWORK",
            f"A process of this run is gone: {what}.",
            "See what it said last (memory, network). The same command goes on after the last whole epoch.",
        )
