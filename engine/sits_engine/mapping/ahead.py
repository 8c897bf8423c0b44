"""Things that several threads prepare ahead and others take in order, a bounded number of them."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

T = TypeVar("T")
#: Seconds between two looks at whether everything stops.
PATIENCE = 0.1


class Ahead(Generic[T]):
    """Numbers 0..count - 1 are claimed, prepared and put by some threads, and taken in order by others.

    Which is taken when doesn't depend on how many prepare; nor does the memory, but for the limit.

    Args:
        count: how many there are.
        limit: that may be claimed and not yet taken.
        stop: everything ends.
    """

    def __init__(self, count: int, limit: int, stop: threading.Event) -> None:
        self.count, self.limit, self.stop = count, limit, stop
        self._claimed = self._taken = 0
        self._ready: dict[int, T] = {}
        self._changed = threading.Condition()

    def claim(self) -> int | None:
        """The next number to prepare; waits while enough is ahead. None at the end."""
        with self._changed:
            while not self.stop.is_set() and self._claimed < self.count:
                if self._claimed - self._taken < self.limit:
                    self._claimed += 1
                    return self._claimed - 1
                self._changed.wait(PATIENCE)
        return None

    def put(self, number: int, item: T) -> None:
        """Number `number` is prepared."""
        with self._changed:
            self._ready[number] = item
            self._changed.notify_all()

    def take(self) -> T | None:
        """The next one in order, None at the end."""
        with self._changed:
            while not self.stop.is_set() and self._taken < self.count:
                if self._taken in self._ready:
                    item = self._ready.pop(self._taken)
                    self._taken += 1
                    self._changed.notify_all()
                    return item
                self._changed.wait(PATIENCE)
        return None
