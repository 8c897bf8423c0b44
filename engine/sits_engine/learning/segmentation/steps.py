"""Optimiser steps on crops: drawing beside the computation, half precision, full cards, cancellation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any, Generic, Protocol, Self, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from sits_engine.context import JobContext
from sits_engine.device import Device
from sits_engine.learning.checkpoint import Checkpoint, resumed
from sits_engine.learning.processes import ALONE, Processes
from sits_engine.learning.sampler import ShuffledSampler
from sits_engine.learning.segmentation.recipes import Recipe
from sits_engine.learning.training_batches import TrainingBatches
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


class Steps(TrainingBatches[RawT], Generic[RawT, BatchT]):
    """Draws batches and steps.

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

    # a window has thousands of pixels, enough for batch norm
    UNIT, SMALLEST = "window", (1, 1)

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
        optimizer = recipe.optimizer(list(nn.ModuleList(modules).parameters()))
        super().__init__(modules, optimizer, batch_size, seed, device, ctx, processes)
        self._parts, self._counted, self.done = parts or _at_once, counted, 0
        self._cutter, self._loss_of = cutter, loss_of
        self._recipe, self._epochs, self._steps = recipe, epochs, steps_per_epoch
        # only float16 runs out of range; the scaler lives on the card, so nothing waits for it
        self._scaler = torch.amp.GradScaler("cuda", enabled=half_type(device) == torch.float16)
        self._patient = Patient(ctx.check_cancelled, device)

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
        losses = []
        self.begin(number)
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
        loss = self._fitting(lambda: self._patient.run(self._forward_backward))
        self._scaler.step(self.optimizer)
        self._scaler.update()
        self.done += 1
        self.samples += self.batch_size
        return loss

    def close(self) -> None:
        """Stop drawing and stepping."""
        self._patient.close()
        super().close()

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

    def _attempt(self) -> Tensor:
        return self._patient.run(lambda: self._gradients(self._next(), 1.0))

    def _drawer(self) -> Callable[[], RawT]:
        usable = self._cutter.usable
        rng = np.random.default_rng([self._seed, self._epoch])
        sampler = ShuffledSampler(usable, self.batch_size, rng)

        def draw() -> RawT:
            raw = self._cutter.drawn(usable[sampler.draw()], rng, self._processes.share)
            return raw.pinned() if self._device.torch.type == "cuda" else raw

        return draw


def _at_once(batch: BatchT) -> Iterator[tuple[BatchT, Tensor | float]]:
    yield batch, 1.0
