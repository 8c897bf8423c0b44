"""Which samples a training step sees."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt


class BalancedSampler:
    """Batches in which every class is equally likely, drawn with replacement.

    Within a class the samples come in random order, all of them before one comes again, so that
    small classes are seen evenly. Same as weights 1 / class frequency (spec timematch.md section 6),
    with less chance.

    Args:
        labels: (N,) class numbers, none unknown; classes without samples are never drawn.
        batch_size: samples a batch.
        rng: source of chance.
    """

    def __init__(self, labels: npt.NDArray[np.int64], batch_size: int, rng: np.random.Generator) -> None:
        if len(labels) == 0 or labels.min() < 0:
            raise ValueError("a balanced sampler needs samples, all of them with a class")
        self.batch_size = batch_size
        self._rng = rng
        self._members = [np.flatnonzero(labels == k) for k in np.unique(labels)]
        self._queues = [np.empty(0, dtype=np.int64) for _ in self._members]

    def __iter__(self) -> Iterator[npt.NDArray[np.int64]]:
        """Endless batches of sample numbers, (batch_size,) int64."""
        while True:
            yield self.draw()

    def draw(self) -> npt.NDArray[np.int64]:
        """One batch."""
        classes = len(self._members)
        # equal numbers of each class, and the remainder to classes drawn without repetition
        counts = np.full(classes, self.batch_size // classes)
        counts[self._rng.permutation(classes)[: self.batch_size % classes]] += 1
        batch = np.concatenate([self._take(k, n) for k, n in enumerate(counts)])
        return self._rng.permutation(batch)

    def _take(self, k: int, n: int) -> npt.NDArray[np.int64]:
        while len(self._queues[k]) < n:
            again = self._rng.permutation(self._members[k])
            self._queues[k] = np.concatenate([self._queues[k], again])
        taken, self._queues[k] = self._queues[k][:n], self._queues[k][n:]
        return taken


class ShuffledSampler:
    """Batches of all samples in random order, one round after the other; the last short batch is dropped.

    A batch larger than the set takes samples of the next rounds as well.

    Args:
        labels: (N,), only counted.
        batch_size: samples a batch.
        rng: source of chance.
    """

    def __init__(self, labels: npt.NDArray[np.int64], batch_size: int, rng: np.random.Generator) -> None:
        if len(labels) == 0:
            raise ValueError("a sampler needs samples")
        self.batch_size = batch_size
        self._n, self._rng = len(labels), rng
        self._queue = np.empty(0, dtype=np.int64)

    def draw(self) -> npt.NDArray[np.int64]:
        """One batch."""
        if self._n >= self.batch_size > len(self._queue):
            self._queue = np.empty(0, dtype=np.int64)
        while len(self._queue) < self.batch_size:
            self._queue = np.concatenate([self._queue, self._rng.permutation(self._n)])
        batch, self._queue = self._queue[: self.batch_size], self._queue[self.batch_size :]
        return batch
