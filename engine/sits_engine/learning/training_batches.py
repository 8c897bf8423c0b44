"""The batches of a training: drawn beside the computation, and of a size that fits into memory."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor, nn, optim

from sits_engine.context import JobContext
from sits_engine.device import Device
from sits_engine.learning.processes import Processes

DrawnT = TypeVar("DrawnT")


class TrainingBatches(ABC, Generic[DrawnT]):
    """Draws batches; halves them when memory runs out, and says so.

    Chance comes from the seed, the epoch and, for dropout, the process: a resumed run draws what the whole
    one would have drawn, on any number of processes.

    Args:
        modules: that are trained.
        optimizer: of their parameters.
        batch_size: to begin with.
        seed: of the draw.
        device, ctx: where to compute, and whom to tell.
        processes: that share each batch; all of them make the same calls.
    """

    #: What batches consist of, for people.
    UNIT: ClassVar[str]
    #: The smallest batch that is worth a step, of all processes and of each.
    SMALLEST: ClassVar[tuple[int, int]]

    def __init__(
        self,
        modules: Sequence[nn.Module],
        optimizer: optim.Optimizer,
        batch_size: int,
        seed: int,
        device: Device,
        ctx: JobContext,
        processes: Processes,
    ) -> None:
        self.batch_size, self.samples, self.optimizer = batch_size, 0, optimizer
        self._modules = nn.ModuleList(modules)
        self._device, self._ctx, self._processes = device, ctx, processes
        self._seed, self._epoch = seed, 0
        self._drawing = None if device.is_cpu else ThreadPoolExecutor(1, "draw")
        self._batches = self._draw_batches()

    @abstractmethod
    def _drawer(self) -> Callable[[], DrawnT]:
        """Draws the batches of the epoch one after the other, on the CPU."""

    @abstractmethod
    def _attempt(self) -> object:
        """Forward and backward pass of the next batch, each process for itself."""

    def close(self) -> None:
        """Stop drawing."""
        if self._drawing:
            self._drawing.shutdown(wait=False, cancel_futures=True)

    def begin(self, epoch: int) -> None:
        """Draw the batches of an epoch, from 1."""
        self._epoch = epoch
        chance = [self._seed, epoch, self._processes.rank]
        torch.manual_seed(int(np.random.SeedSequence(chance).generate_state(1)[0]))
        self._batches.close()
        self._batches = self._draw_batches()

    def agree(self) -> None:
        """Several processes agree on a batch that fits into the memory of all: by a step without effect.

        Later none could halve it alone: the others would wait for its part of a sum. So this comes before
        norms share their statistics.

        Raises:
            InputError: there are more processes than a batch has samples.
            torch.OutOfMemoryError: not even the smallest batch fits.
        """
        if self._processes.size == 1:
            return
        self._processes.check_batch(self.batch_size)
        before = copy.deepcopy(self._modules.state_dict())
        while True:
            try:
                self._attempt()
                short = 0.0
            except torch.OutOfMemoryError:
                short = 1.0
            self.optimizer.zero_grad(set_to_none=True)
            if not float(self._processes.add(torch.tensor(short, device=self._device.torch))):
                break
            self._halve()
        self._modules.load_state_dict(before)

    def _fitting(self, work: Callable[[], Tensor]) -> Tensor:
        """What `work` makes of a batch that fits into memory."""
        while True:
            try:
                return work()
            except torch.OutOfMemoryError:
                if self._processes.size > 1:
                    raise
            # outside the except: the error holds on to the tensors that filled the card
            self._halve()

    @property
    def _size(self) -> str:
        return f"{self.batch_size} {self.UNIT}{'s' if self.batch_size > 1 else ''}"

    def _halve(self) -> None:
        smallest, share = self.SMALLEST
        if self.batch_size // 2 < max(smallest, share * self._processes.size):
            raise torch.OutOfMemoryError(f"{self._device.label}: not even {self._size} fit")
        self.optimizer.zero_grad(set_to_none=True)
        self._batches.close()
        self.batch_size //= 2
        self._ctx.warn(f"{self._device.label} ran out of memory: going on with batches of {self._size}.")
        if self._device.torch.type == "cuda":
            torch.cuda.empty_cache()
        self._batches = self._draw_batches()

    def _draw_batches(self) -> Generator[DrawnT, None, None]:
        """Endless batches; beside a card the next one is drawn while it computes."""
        draw = self._drawer()
        if self._drawing is None:
            while True:
                yield draw()
        coming = self._drawing.submit(draw)
        while True:
            batch = coming.result()
            coming = self._drawing.submit(draw)
            yield batch
