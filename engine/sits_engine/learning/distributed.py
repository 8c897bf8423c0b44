"""One training in several processes: sums over a group, and how all of them begin and end.

Process 0 runs the job: it alone reads, talks and writes. The others wait for its calls (`tasks`), do
their share of each batch, and end with it. Sums go through NCCL between graphics cards and gloo between
processors; nothing is pickled.
"""

from __future__ import annotations

import json
import re
import threading
import time
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.distributed_c10d import PrefixStore

from sits_engine import device as devices
from sits_engine.context import JobContext
from sits_engine.device import Device
from sits_engine.errors import Cancelled, EngineError, InputError, from_exception
from sits_engine.learning.lifeline import DONE, GRACE, Lifeline
from sits_engine.learning.processes import ALONE, Arrays, Lost, Place, Processes

#: Seconds that a process waits for the others in a sum.
SUM = 600
#: Bytes of an array that are sent at once.
PIECE = 2**26


class Joined(Processes):
    """One of several processes.

    Args:
        place: of this process.
        ctx: is cancelled when another process fails.
    """

    def __init__(self, place: Place, ctx: JobContext) -> None:
        self.rank, self.size, self.place = place.rank, place.size, place
        self.total, self.here = self._total, place.local_size
        self.lifeline = Lifeline(place, ctx)
        self._ctx, self._calls = ctx, 0

    def start(self, request: str) -> Device:
        """Choose the device and meet the others.

        Raises:
            InputError: there is no card for this process, or the processes use different kinds of devices.
            Lost: the others don't come.
        """
        device = own_device(request, self.place)
        kind = device.torch.type
        store = self.lifeline.store
        with self._talking():
            if self.rank == 0:
                store.set("device", kind)
            self.lifeline.meet()
            first = store.get("device").decode()
        if first != kind:
            raise InputError(
                f"Process {self.rank} would compute on {kind}, process 0 on {first}.",
                "Give DEVICE = cpu, or use machines with graphics cards only.",
            )
        if kind == "cuda":
            torch.cuda.set_device(device.torch)
        with self._talking():
            dist.init_process_group(
                "cpu:gloo,cuda:nccl" if kind == "cuda" else "gloo",
                store=PrefixStore("group", store),
                rank=self.rank,
                world_size=self.size,
                timeout=timedelta(seconds=SUM),
            )
        return device

    def add(self, tensor: Tensor) -> Tensor:
        """Sum over all processes, without gradients."""
        out = tensor.detach().clone(memory_format=torch.contiguous_format)
        with self._talking():
            dist.all_reduce(out)
        return out

    def add_gradients(self, module: nn.Module) -> None:
        """Replace the gradients by their sums over all processes.

        One sum of all of them after the backward pass: these networks have few parameters, and the training
        forms call them piece by piece, which DistributedDataParallel can't follow. A parameter that has no
        gradient in any process keeps none, so that its optimiser leaves it alone as in one process.
        """
        parameters = [p for p in module.parameters() if p.requires_grad]
        here = [p.grad is not None for p in parameters]
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        flat = torch.cat([g.flatten() for g in gradients])
        flat = self.add(torch.cat([flat, torch.tensor(here, device=flat.device).to(flat.dtype)]))
        *parts, there = torch.split(flat, [*(p.numel() for p in parameters), len(parameters)])
        # a card is waited for only where something is missing
        wanted = here if all(here) else there.bool().tolist()
        for parameter, part, some in zip(parameters, parts, wanted, strict=True):
            parameter.grad = part.view_as(parameter) if some else None

    def begin_alike(self, module: nn.Module) -> None:
        """Give all processes the parameters and buffers of process 0."""
        for tensor in module.state_dict().values():
            self._broadcast(tensor)

    def numbers(self, values: list[float]) -> list[float]:
        """Those of process 0, so that all decide alike."""
        tensor = torch.tensor(values, dtype=torch.float64)
        self._broadcast(tensor)
        return [float(value) for value in tensor]

    def content(self, given: bytes | None) -> bytes | None:
        """That of process 0."""
        length = int(self.numbers([-1.0 if given is None else float(len(given))])[0])
        if length < 0:
            return None
        held = np.empty(length, np.uint8)
        if self.rank == 0 and given is not None:
            held[:] = np.frombuffer(given, np.uint8)
        self._send(held)
        return held.tobytes()

    def call(self, task: str, facts: Mapping[str, Any], arrays: Arrays) -> None:
        """Process 0 asks the others to take part in a task; they get facts (JSON) and arrays by `receive`."""
        layout = [[name, array.dtype.str, list(array.shape)] for name, array in arrays.items()]
        words = json.dumps({"task": task, "facts": facts, "arrays": layout})
        with self._talking():
            self.lifeline.store.set(f"call/{self._calls}", words)
        self._calls += 1
        for array in arrays.values():
            self._send(np.ascontiguousarray(array))

    def receive(self) -> tuple[str, dict[str, Any], dict[str, npt.NDArray[Any]]] | None:
        """The next call of process 0, as (task, facts, arrays); None when there is nothing left to do."""
        key, store = f"call/{self._calls}", self.lifeline.store
        with self._talking():
            # by looking, not in a sum: process 0 may read images for hours
            while not store.check([key]):
                self._ctx.check_cancelled()
                if self.lifeline.told() == DONE:
                    return None
                time.sleep(0.1)
            call = json.loads(store.get(key))
        self._calls += 1
        arrays = {}
        for name, kind, shape in call["arrays"]:
            arrays[name] = np.empty(shape, np.dtype(kind))
            self._send(arrays[name])
        return call["task"], call["facts"], arrays

    def explain(self, raised: BaseException) -> EngineError:
        """What is behind an error here: perhaps another process failed first."""
        if isinstance(raised, Lost | Cancelled):
            if isinstance(raised, Cancelled):
                self.lifeline.judge()
                first = self.lifeline.first_error(0.0)
            else:
                first = self.lifeline.behind_break()
            # of two that were asked to stop, this one knows better what is kept
            if first is not None and not (isinstance(raised, Cancelled) and first.code == raised.code):
                return first
        return from_exception(raised)

    @contextmanager
    def _talking(self) -> Iterator[None]:
        """A broken connection is a lost process, or one that was asked to stop as this one was."""
        try:
            yield
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            if self._ctx.cancelled:
                raise self._ctx.stop() from error
            raise self._broken(str(error)) from error

    def _broken(self, said: str) -> EngineError:
        """Gloo listens where the machine's own name leads: on Debian 127.0.1.1, which others can't reach."""
        if self.size > self.here and "connectFullMesh" in said and "[127." in said:
            return EngineError(
                "NETWORK",
                "Two machines can't reach each other: the name of one leads to itself (127.0.0.0/8).",
                "Set GLOO_SOCKET_IFNAME to the network interface on all, or mend /etc/hosts there.",
            )
        return Lost(_plain(said))

    def _broadcast(self, tensor: Tensor) -> None:
        with self._talking():
            dist.broadcast(tensor, 0)

    def _total(self, tensor: Tensor) -> Tensor:
        return _Total.apply(tensor, self)  # type: ignore[no-any-return, no-untyped-call]

    def _send(self, array: npt.NDArray[Any]) -> None:
        """Fill the array of every process with that of process 0."""
        flat = array.reshape(-1).view(np.uint8)
        for start in range(0, len(flat), PIECE):
            self._ctx.check_cancelled()
            self._broadcast(torch.from_numpy(flat[start : start + PIECE]))


class _Total(torch.autograd.Function):
    """Sum over processes; each one's loss depends on it, so its gradients are added up as well."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, processes: Joined) -> Tensor:
        ctx.processes = processes
        return processes.add(tensor)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return ctx.processes.add(grad), None


def _plain(text: str) -> str:
    """The first line of gloo or NCCL, without their source files, advice and signs for the eye."""
    line = text.strip().splitlines()[0] if text.strip() else "the connection broke"
    line = re.sub(r"^\[?\S*?\w+\.(?:cc|cpp|h|hpp|cu):\d+\]?:?\s*", "", line)
    line = "".join(sign for sign in line if unicodedata.category(sign) not in ("So", "Mn", "Cf"))
    advice = "GLHF|Original exception|This (?:may indicate|is typically)|Check the logs|Application timeout"
    line = re.split(rf"\s*\b(?:{advice})\b", line)[0]
    return " ".join(line.split()).rstrip(".:") or "the connection broke"


def _leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


def own_device(request: str, place: Place) -> Device:
    """The device of this process: a card of its own, or the processor.

    Raises:
        InputError: fewer cards than processes, or a single card is asked for.
        EngineError: DEVICE_UNAVAILABLE.
    """
    cards = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if request == "cpu" or (request == "auto" and not cards):
        return devices.processor(torch.get_num_threads())
    if request not in ("auto", "cuda"):
        raise InputError(
            f"DEVICE is {request}, but every process needs a card of its own.",
            "Give cuda: process after process takes the next card.",
        )
    if 0 < cards <= place.local_rank:
        raise InputError(
            f"{place.local_size} processes were started on this machine, which has {cards} graphics card"
            f"{'s' if cards > 1 else ''}.",
            f"Start one a card: torchrun --nproc-per-node {cards}.",
        )
    return devices.select(f"cuda:{place.local_rank}")


@contextmanager
def joined(request: str, ctx: JobContext) -> Iterator[tuple[Processes, Device]]:
    """The processes that train together, and the device of this one; started by torchrun, or this one alone.

    An error in one ends all, and is raised in all: process 0 says what it was.

    Args:
        request: auto, cpu, cuda; one process alone may name a card.
        ctx: of the job.
    """
    place = Place.of_environment()
    if place is None:
        device = devices.select(request)
        yield ALONE, devices.processor(torch.get_num_threads()) if device.is_cpu else device
        return
    company = Joined(place, ctx)
    try:
        yield company, company.start(request)
        company.lifeline.done()
        _leave()
    except BaseException as raised:
        error = company.explain(raised)
        # Whoever waits for this process in a sum shall wait no longer. Beside, since leaving may wait itself.
        threading.Thread(target=_leave, name="leave", daemon=True).start()
        company.lifeline.fail(error)
        if error is raised:
            raise
        raise error from raised
    finally:
        company.lifeline.close()


def refuse(error: EngineError, ctx: JobContext) -> None:
    """Tell the others, who wait for this process, that it can't take part.

    Where process 0 is on this machine it had the same command line, and so knows already.

    Args:
        error: why.
        ctx: of the job.
    """
    place = Place.of_environment()
    if place is None or place.rank == place.local_rank:
        return
    lifeline = Lifeline(place, ctx, GRACE)
    lifeline.fail(EngineError(error.code, f"Process {place.rank}: {error.message}", error.advice))
    lifeline.close()
