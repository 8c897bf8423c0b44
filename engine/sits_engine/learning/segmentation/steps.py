"""Optimiser steps on crops: drawing beside the computation, half precision, full cards, cancellation."""

from __future__ import annotations

import copy
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any, Generic, Protocol, Self, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from sits_engine.context import JobContext
from sits_engine.device import Device
from sits_engine.errors import InputError
from sits_engine.learning.checkpoint import Checkpoint, resumed
from sits_engine.learning.processes import ALONE, Processes
from sits_engine.learning.sampler import ShuffledSampler
from sits_engine.learning.segmentation.recipes import Recipe
from sits_engine.models.precision import half_type, mixed

Result = TypeVar("Result")
#: Of a batch.
EVERYTHING = slice(None)


class Raw(Protocol):
    """A batch as it was drawn, on the CPU."""

    def pinned(self) -> Self:
        """In memory from which a CUDA card can copy while it computes."""


RawT = TypeVar("RawT", bound=Raw)
BatchT = TypeVar("BatchT")
MadeT = TypeVar("MadeT", covariant=True)


class Source(Protocol[RawT, MadeT]):
    """Where batches come from, a `batches.Cutter` for example."""

    @property
    def usable(self) -> npt.NDArray[np.int64]:
        """(M,) numbers of what can be drawn."""

    def drawn(
        self, index: npt.NDArray[np.integer], rng: np.random.Generator, share: slice = EVERYTHING
    ) -> RawT:
        """A batch of these, or its share of one process; same generator state, same batch."""

    def on_device(self, raw: RawT) -> MadeT:
        """What the network takes; doesn't wait for a CUDA card."""


#: Seconds between two looks at cancellation while a step computes.
LOOK = 0.1
#: A crop has thousands of pixels, enough for batch norm.
SMALLEST_BATCH = 1


class Patient:
    """Runs work beside the thread that listens: a step of a large network takes seconds on a processor.

    Work that is given up ends on its own; nobody waits for it, except the end of the process.

    Args:
        check: raises where somebody asked to stop; called often.
        device: where the work computes.
    """

    def __init__(self, check: Callable[[], None], device: Device) -> None:
        self._check = check
        # steps of a card are short, and another thread would only be in the way
        self._thread = ThreadPoolExecutor(1, "step") if device.is_cpu else None

    def run(self, work: Callable[[], Result]) -> Result:
        """The result of `work`; raises what `check` raises, within a moment."""
        self._check()
        if self._thread is None:
            return work()
        future = self._thread.submit(work)
        while True:
            try:
                return future.result(timeout=LOOK)
            except TimeoutError:
                if future.done():
                    continue  # it ended just now: the next round has its result or its own error
                self._check()

    def close(self) -> None:
        """Take no more work."""
        if self._thread:
            self._thread.shutdown(wait=False, cancel_futures=True)


class Steps(Generic[RawT, BatchT]):
    """Draws batches and steps; halves the batch when a card's memory runs out, and says so.

    Args:
        cutter: draws the crops; at least one of its windows is usable.
        loss_of: loss of a batch, a scalar in float32.
        modules: whose parameters are trained, and put into training mode.
        recipe, epochs, steps_per_epoch: the rate of each step.
        batch_size: crops a step.
        seed: of the draw.
        device, ctx: where to compute, and whom to ask.
        parts: what a step goes through in turn, and the weight of each part's loss; None: the batch at once.
        processes: that share each batch; all of them make the same calls.
        counted: number of what the loss of a batch is the mean of; needed where batches are shared.
    """

    def __init__(
        self,
        cutter: Source[RawT, BatchT],
        loss_of: Callable[[BatchT], Tensor],
        modules: Sequence[nn.Module],
        recipe: Recipe,
        epochs: int,
        steps_per_epoch: int,
        *,
        batch_size: int,
        seed: int,
        device: Device,
        ctx: JobContext,
        parts: Callable[[BatchT], Iterator[tuple[BatchT, Tensor | float]]] | None = None,
        processes: Processes = ALONE,
        counted: Callable[[BatchT], Tensor] | None = None,
    ) -> None:
        self._parts, self._processes, self._counted = parts or _at_once, processes, counted
        self.batch_size, self.samples, self.done = batch_size, 0, 0
        self._cutter, self._loss_of, self._modules = cutter, loss_of, nn.ModuleList(modules)
        self._recipe, self._epochs, self._steps = recipe, epochs, steps_per_epoch
        self._device, self._ctx = device, ctx
        self.optimizer = recipe.optimizer(list(self._modules.parameters()))
        # only float16 runs out of range; the scaler lives on the card, so nothing waits for it
        self._scaler = torch.amp.GradScaler("cuda", enabled=half_type(device) == torch.float16)
        self._seed, self._epoch = seed, 0
        self._patient = Patient(ctx.check_cancelled, device)
        self._drawing = None if device.is_cpu else ThreadPoolExecutor(1, "draw")
        self._batches = self._draw_batches()

    @property
    def learning_rate(self) -> float:
        """Of the last step; 0 before the first."""
        return self._recipe.rate(self.done - 1, self._steps, self._epochs) if self.done else 0.0

    def resume(self, checkpoint: Checkpoint | None, parts: Mapping[str, nn.Module]) -> dict[str, Any] | None:
        """`resumed`, and go on from that step with that batch."""
        facts = resumed(checkpoint, parts, self.optimizer, ctx=self._ctx, processes=self._processes)
        if facts is not None:
            self.batch_size, self.done = facts["batch_size"], facts["done"]
            if facts["scale"]:
                self._scaler.load_state_dict(facts["scale"])
        return facts

    def save(
        self, checkpoint: Checkpoint | None, parts: Mapping[str, nn.Module], rows: Sequence[Any], **facts: Any
    ) -> None:
        """Keep the state after an epoch for `resume`, where there is a checkpoint.

        Args:
            parts: all that changes, `modules` or what holds them.
            rows: dataclasses, one an epoch.
            facts: JSON-serialisable.
        """
        if checkpoint is None:
            return
        # only float16 has a scale
        own = {"batch_size": self.batch_size, "done": self.done, "scale": self._scaler.state_dict()}
        told = {"rows": [asdict(row) for row in rows], **facts, **own}
        checkpoint.save(parts, self.optimizer, None, told)

    def epoch(self, number: int, progress: Callable[[float], None]) -> Tensor:
        """All steps of an epoch; the mean loss, where batches are shared this process's part of it.

        Args:
            progress: gets the done share of all epochs, before each step.
        """
        # chance comes from seed and number: a resumed run is the same
        self._epoch, losses = number, []
        chance = [self._seed, number, self._processes.rank]
        torch.manual_seed(int(np.random.SeedSequence(chance).generate_state(1)[0]))
        self._batches.close()
        self._batches = self._draw_batches()
        for _ in range(self._steps):
            progress(self.done / (self._epochs * self._steps))
            losses.append(self.step())
        return torch.stack(losses).mean()

    def step(self) -> Tensor:
        """One step; its loss (this process's part of it) stays on the device, so that it isn't waited for.

        Raises:
            Cancelled: somebody asked to stop.
            torch.OutOfMemoryError: not even the smallest batch fits.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = self._recipe.rate(self.done, self._steps, self._epochs)
        while True:
            try:
                loss = self._patient.run(self._forward_backward)
                break
            except torch.OutOfMemoryError:
                if self.batch_size // 2 < SMALLEST_BATCH or self._processes.size > 1:
                    raise
            # outside the except: the error holds on to the tensors that filled the card
            self._halve()
        self._scaler.step(self.optimizer)
        self._scaler.update()
        self.done += 1
        self.samples += self.batch_size
        return loss

    def close(self) -> None:
        """Stop drawing and stepping."""
        self._patient.close()
        if self._drawing:
            self._drawing.shutdown(wait=False, cancel_futures=True)

    def _forward_backward(self) -> Tensor:
        batch = self._next()
        loss = self._gradients(batch, self._weight(batch))
        self._processes.add_gradients(self._modules)
        return loss

    def _next(self) -> BatchT:
        return self._cutter.on_device(next(self._batches))

    def _weight(self, batch: BatchT) -> Tensor | float:
        """Of this process's share, so that the losses of all add up to the mean over the whole batch."""
        if self._counted is None or self._processes.size == 1:
            return 1.0
        own = self._counted(batch).double()
        return (own / self._processes.add(own).clamp(min=1)).float()

    def _gradients(self, batch: BatchT, share: Tensor | float) -> Tensor:
        self._modules.train()
        self.optimizer.zero_grad(set_to_none=True)
        total = torch.zeros((), device=self._device.torch)
        for part, weight in self._parts(batch):
            with mixed(self._device):
                loss = self._loss_of(part) * (weight * share)
            self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
        return total

    def agree(self) -> None:
        """Several processes agree on a batch that fits into the memory of all: by a step without effect.

        Later none could halve it alone: the others would wait for its part of a sum. So this comes before
        norms share their statistics.

        Raises:
            InputError: there are more processes than crops in a batch.
            torch.OutOfMemoryError: not even one crop a process fits.
        """
        size = self._processes.size
        if size == 1:
            return
        before = copy.deepcopy(self._modules.state_dict())
        while True:
            if self.batch_size < size:
                raise InputError(
                    f"BATCH_SIZE is {self.batch_size}, but {size} processes share each batch.",
                    f"Give at least {size}, or start fewer processes.",
                )
            try:
                self._patient.run(lambda: self._gradients(self._next(), 1.0))
                short = 0.0
            except torch.OutOfMemoryError:
                short = 1.0
            self.optimizer.zero_grad(set_to_none=True)
            if not float(self._processes.add(torch.tensor(short, device=self._device.torch))):
                break
            if self.batch_size // 2 < size:
                raise torch.OutOfMemoryError(f"{self._device.label}: not even {self.batch_size} windows fit")
            self._halve()
        self._modules.load_state_dict(before)

    def _halve(self) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        self._batches.close()
        self.batch_size //= 2
        crops = "windows" if self.batch_size > 1 else "window"
        self._ctx.warn(
            f"{self._device.label} ran out of memory: going on with batches of {self.batch_size} {crops}."
        )
        if self._device.torch.type == "cuda":
            torch.cuda.empty_cache()
        self._batches = self._draw_batches()

    def _draw_batches(self) -> Generator[RawT, None, None]:
        """Endless batches; beside a card the next one is cut while it computes."""
        usable = self._cutter.usable
        rng = np.random.default_rng([self._seed, self._epoch])
        sampler = ShuffledSampler(usable, self.batch_size, rng)

        def draw() -> RawT:
            raw = self._cutter.drawn(usable[sampler.draw()], rng, self._processes.share)
            return raw.pinned() if self._device.torch.type == "cuda" else raw

        if self._drawing is None:
            while True:
                yield draw()
        coming = self._drawing.submit(draw)
        while True:
            raw = coming.result()
            coming = self._drawing.submit(draw)
            yield raw


def _at_once(batch: BatchT) -> Iterator[tuple[BatchT, Tensor | float]]:
    yield batch, 1.0
