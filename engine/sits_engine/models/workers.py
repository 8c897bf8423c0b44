"""Pieces of work on several threads, one thread of PyTorch each.

Beats PyTorch's own threads inside each small operator: there every operator waits for the slowest
thread, which costs little on a quiet machine and up to 60 times the work's own time beside another
busy process (shared/design/performance.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

import torch

In = TypeVar("In")
Out = TypeVar("Out")


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, "sits-compute", initializer=torch.set_num_threads, initargs=(1,))


def run(work: Callable[[In], Out], items: Iterable[In], *, parallel: bool = True) -> list[Out]:
    """Results of `work` for each item, in order, computed without gradients.

    As many threads as PyTorch may use are taken; with one thread, one item or `parallel` False
    everything runs here.
    """
    todo = list(items)
    threads = torch.get_num_threads()

    def quiet(item: In) -> Out:
        # Gradient mode belongs to a thread.
        with torch.no_grad():
            return work(item)

    if threads == 1 or len(todo) < 2 or not parallel:
        return [quiet(item) for item in todo]
    # The limit of the matrix library is one for the whole process, those of the loops one a thread.
    torch.set_num_threads(1)
    try:
        return list(_pool(threads).map(quiet, todo))
    finally:
        torch.set_num_threads(threads)


def part_size(count: int, most: int, step: int, threads: int) -> int:
    """Things of a piece of work, at most `most`, so that all threads end at about the same time.

    Args:
        count: things in all.
        most: of a piece, a multiple of `step`.
        step: things that are computed together; a piece has a multiple of it.
        threads: that compute.
    """
    pieces = max(1, -(-count // (most * threads)) * threads)
    return max(1, -(-count // (pieces * step))) * step
