"""Batches on a graphics card: how large, and the copy of the next one while one is computed.

None of this ran on a card yet; tests replace the card's memory and its errors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from sits_engine.device import Device

#: Share of the free memory that a batch may fill: two threads have two batches each on the card.
SHARE = 0.2
#: Pixels of a map from which on compiling for a card (a minute) pays.
COMPILE_PIXELS = 50_000_000


class CardBatch:
    """The number of rows that a card computes at once.

    It begins at `first`; what its rows take is measured, and it grows to what fits, at most `largest`. Where
    the memory is full it is halved, for good. A user's own number stays.

    Args:
        device: any; sizes of other devices than CUDA cards stay at `largest`.
        first, largest: rows.
        smallest: a card that can't take these can't take any.
        unit: word for rows in messages, with a space before it.
        notice: receives a sentence when the batch had to be made smaller.
    """

    def __init__(
        self,
        device: Device,
        first: int,
        largest: int,
        *,
        smallest: int = 1,
        unit: str = "",
        notice: Callable[[str], None] | None = None,
    ) -> None:
        self.device, self.smallest, self.unit, self.notice = device, smallest, unit, notice
        self._cuda = device.torch.type == "cuda"
        self.size = first if self._cuda else largest
        self.largest = largest
        self._stream: Any = None

    def fix(self, size: int) -> None:
        """Use this size, unless memory is too small for it."""
        self.size = self.largest = size

    def move(self, array: npt.NDArray[Any]) -> Tensor:
        """An array on the device; to a CUDA card through pinned memory on a stream of its own, so that the
        copy overlaps what the card computes."""
        tensor = torch.from_numpy(np.ascontiguousarray(array))
        device = self.device.torch
        if not self._cuda:
            return tensor.to(device)
        if self._stream is None:
            self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        now = torch.cuda.current_stream(device)
        with torch.cuda.stream(self._stream):
            moved = tensor.pin_memory().to(device, non_blocking=True)
        now.wait_stream(self._stream)
        moved.record_stream(now)
        return moved

    def one_behind(self, n: int, launch: Callable[[slice], Tensor]) -> Iterator[tuple[slice, Tensor]]:
        """`launch` of slices of 0..n, each given when the next one was launched.

        So a card computes one batch while the last is fetched and the next is cut and copied.

        Args:
            n: rows.
            launch: enqueues the work of a batch; must not wait for the card.
        """
        start = 0
        waiting: tuple[slice, Tensor] | None = None
        while start < n:
            part = slice(start, min(n, start + self.size))
            found: Tensor | None = None
            try:
                found = self._measured(part, launch)
            except torch.OutOfMemoryError:
                if self.size <= self.smallest:
                    raise
            if found is None:
                # outside of the except: the error holds on to the tensors that filled the card
                self.halve()
                continue
            if waiting is not None:
                yield waiting
            waiting = (part, found)
            start = part.stop
        if waiting is not None:
            yield waiting

    def halve(self) -> None:
        """The memory is full: go on with half the size, and say so."""
        full, self.size = self.size, self.size // 2
        self.largest = self.size
        if self._cuda:
            torch.cuda.empty_cache()
        if self.notice:
            self.notice(
                f"{self.device.label}: memory is full, going on with batches of {self.size}{self.unit} "
                f"instead of {full}."
            )

    def _measured(self, part: slice, launch: Callable[[slice], Tensor]) -> Tensor:
        """`launch`, and a larger size where a full batch left room for it."""
        rows = part.stop - part.start
        if not self._cuda or self.size >= self.largest or rows < self.size:
            with torch.no_grad():
                return launch(part)
        device = self.device.torch
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        with torch.no_grad():
            found = launch(part)
        taken = max(1, torch.cuda.max_memory_allocated(device) - before) / rows
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        room = SHARE * (torch.cuda.mem_get_info(device)[0] + kept) / taken
        self.size = int(min(self.largest, max(self.size, room)))
        return found


class Compiled(nn.Module):
    """A network through `torch.compile`; where that fails, as it is, with a sentence.

    Args:
        plain: the network.
        notice: receives the sentence.
    """

    def __init__(self, plain: nn.Module, notice: Callable[[str], None] | None = None) -> None:
        super().__init__()
        self.plain, self.notice = plain, notice
        self._fast: Any = torch.compile(plain, dynamic=True)

    def forward(self, *inputs: Any) -> Any:
        """As the network."""
        if self._fast is not None:
            try:
                return self._fast(*inputs)
            except torch.OutOfMemoryError:
                raise
            except Exception as error:  # whatever the compiler's tool chain lacks
                self._fast = None
                if self.notice:
                    self.notice(
                        f"The network could not be compiled ({type(error).__name__}): it runs as it is."
                    )
        return self.plain(*inputs)


def for_many(
    network: nn.Module, device: Device, pixels: int, notice: Callable[[str], None] | None = None
) -> nn.Module:
    """The network for a map of so many pixels: compiled on a CUDA card where the map is large."""
    if device.torch.type != "cuda" or pixels < COMPILE_PIXELS or isinstance(network, Compiled):
        return network
    return Compiled(network, notice)
