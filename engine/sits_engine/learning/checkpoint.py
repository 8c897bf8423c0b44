"""The state of a training after an epoch, so that an interrupted one goes on where it was. No pickle."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn, optim

from sits_engine import __version__, outputs
from sits_engine.context import JobContext
from sits_engine.errors import Cancelled
from sits_engine.learning.processes import ALONE, Processes

KEY = "sits_training"
FORMAT = "sits-training/1"
OPTIMIZER = "optimizer"


@dataclass
class Checkpoint:
    """Where, and of which run: only a run with the same mark takes it up.

    Attributes:
        path: file, beside the output.
        mark: of inputs and settings, see `mark_of`.
        what: is trained, for people, where a run has several stages.
    """

    path: Path
    mark: str
    what: str = "training"

    @classmethod
    def of(
        cls, path: Path | None, plain: Mapping[str, Any], arrays: Iterable[npt.NDArray[Any]]
    ) -> Checkpoint | None:
        """The file's, of the run with these settings and samples (see `mark_of`); None without a file."""
        return None if path is None else cls(path, mark_of(plain, arrays))

    def save(
        self,
        parts: Mapping[str, nn.Module],
        optimizer: optim.Optimizer,
        schedule: optim.lr_scheduler.LRScheduler | None,
        facts: Mapping[str, Any],
    ) -> None:
        """Write networks, optimiser and JSON facts, complete or not at all."""
        tensors = {f"{part}/{name}": v for part, m in parts.items() for name, v in m.state_dict().items()}
        tensors |= {
            f"{OPTIMIZER}/{index}/{name}": value
            for index, entries in optimizer.state_dict()["state"].items()
            for name, value in entries.items()
            if isinstance(value, Tensor)
        }
        rates = [group["lr"] for group in optimizer.param_groups]
        own = {"format": FORMAT, "mark": self.mark, "steps": schedule and schedule.last_epoch, "rates": rates}
        plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
        with outputs.atomic(self.path) as temporary:
            temporary.write_bytes(save(plain, metadata={KEY: json.dumps({**facts, **own})}))

    def read(self) -> bytes | None:
        """The file, if it is whole and of this very run; for `restore`, perhaps in another process."""
        try:
            content = self.path.read_bytes()
            facts = facts_of(content)
            if facts.get("format") != FORMAT or facts.get("mark") != self.mark:
                return None
            load(content)
        except (SafetensorError, OSError, ValueError, LookupError, TypeError, AttributeError):
            return None  # not there, or damaged: the run starts anew
        return content

    @contextmanager
    def kept(self, epochs: Sequence[object]) -> Iterator[None]:
        """A run that is cancelled in the block says that the state after its last epoch is kept."""
        try:
            yield
        except Cancelled as stop:
            if not epochs:
                raise
            raise Cancelled(
                stop.message,
                f"The state after epoch {len(epochs)} is kept in {self.path.name}: the same run goes on "
                "from there.",
            ) from stop

    def take_up(self, ctx: JobContext) -> bytes | None:
        """`read`, and say what was found."""
        content = self.read()
        if content is not None:
            done = len(facts_of(content)["rows"])
            ctx.info(f"Going on with {self.what} after epoch {done}, where an earlier run was interrupted.")
        elif self.path.is_file():
            ctx.info(f"{self.path.name} is of a run with other inputs or settings: {self.what} starts anew.")
        return content


def facts_of(content: bytes) -> dict[str, Any]:
    """The JSON facts in the head of a safetensors file; empty where it has none of ours."""
    length = int.from_bytes(content[:8], "little")
    head = json.loads(content[8 : 8 + length])
    facts: dict[str, Any] = json.loads(head.get("__metadata__", {}).get(KEY, "{}"))
    return facts


def restore(
    content: bytes,
    parts: Mapping[str, nn.Module],
    optimizer: optim.Optimizer,
    schedule: optim.lr_scheduler.LRScheduler | None = None,
) -> dict[str, Any]:
    """Put the state of `Checkpoint.read` into networks, optimiser and schedule; gives the facts."""
    facts = facts_of(content)
    state: dict[int, dict[str, Tensor]] = {}
    networks: dict[str, dict[str, Tensor]] = {part: {} for part in parts}
    for name, value in load(content).items():
        part, rest = name.split("/", 1)
        if part == OPTIMIZER:
            index, entry = rest.split("/")
            state.setdefault(int(index), {})[entry] = value
        else:
            networks[part][rest] = value
    for part, module in parts.items():
        module.load_state_dict(networks[part])
    groups = optimizer.state_dict()["param_groups"]
    for group, rate in zip(groups, facts["rates"], strict=True):
        group["lr"] = rate
    optimizer.load_state_dict({"state": state, "param_groups": groups})
    if schedule is not None:
        schedule.last_epoch = facts["steps"]
    return facts


def resumed(
    checkpoint: Checkpoint | None,
    parts: Mapping[str, nn.Module],
    optimizer: optim.Optimizer,
    schedule: optim.lr_scheduler.LRScheduler | None = None,
    *,
    ctx: JobContext,
    processes: Processes = ALONE,
) -> dict[str, Any] | None:
    """Put the state of an earlier run back: in all processes that which process 0 found.

    Returns:
        Its facts, or None where there is none.
    """
    found = processes.content(checkpoint.take_up(ctx) if checkpoint is not None else None)
    return None if found is None else restore(found, parts, optimizer, schedule)


def keeping(checkpoint: Checkpoint | None, epochs: Sequence[object]) -> AbstractContextManager[None]:
    """`Checkpoint.kept`, where there is one."""
    return nullcontext() if checkpoint is None else checkpoint.kept(epochs)


def mark_of(
    plain: Mapping[str, Any],
    arrays: Iterable[npt.NDArray[Any]],
    module: nn.Module | None = None,
) -> str:
    """Changes when engine, settings, samples or first weights change; not with processes or device.

    Args:
        plain: JSON-serialisable settings.
        arrays: the samples.
        module: weights that training starts from, where they aren't fresh ones.
    """
    facts = {**plain, "version": __version__}
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode())
    for name, tensor in sorted(module.state_dict().items()) if module is not None else ():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    for array in arrays:
        digest.update(f"{array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()
