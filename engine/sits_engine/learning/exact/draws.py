"""Which pixels each step of a training sees, so that each pixel's draws depend on nothing but itself.

A pixel's own number, hashed, says how often it is drawn and in which steps; a pixel more or less, or one of
another class, so leaves the draws of all others as they are, up to the share that its class has.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


def draws(
    pixels: Ints, classes: Ints, n_classes: int, *, evenness: float, steps: int, batch: int, seed: int
) -> list[Ints]:
    """Pixels of each step: about `batch` of them, the same one perhaps several times.

    Args:
        pixels: (n,) numbers that name them, the same in each run.
        classes: (n,) their classes, each 0..n_classes - 1.
        n_classes: how many there are.
        evenness: classes are drawn with k ** (1 - evenness) of their k pixels; 0: as they are, 1: evenly.
        steps: number of steps.
        batch: mean number of pixels of a step.
        seed: same seed, same draws.
    """
    count = np.bincount(classes, minlength=n_classes)
    weight = np.where(count > 0, count ** (1 - evenness), 0.0)
    expected = steps * batch * weight / weight.sum() / np.maximum(count, 1)
    times = np.floor(expected[classes] + uniform(pixels, seed)).astype(np.int64)
    drawn = np.repeat(pixels, times)
    which = np.arange(1, len(drawn) + 1) - np.repeat(times.cumsum() - times, times)
    step = np.floor(steps * uniform(drawn, seed, which)).astype(np.int64)
    order = np.argsort(step, kind="stable")
    return np.split(drawn[order], np.searchsorted(step[order], np.arange(1, steps)))


def uniform(numbers: Ints, *salts: int | Ints) -> npt.NDArray[np.float64]:
    """A number in [0, 1) for each of `numbers` (n,) and its salts, of integers or (n,): alike, as if drawn.

    The function that mixes bits is that of SplitMix64 (Steele, Lea and Flood 2014, 10.1145/2714064.2660195).
    """
    mixed = numbers.astype(np.uint64)
    for salt in (0, *salts):
        mixed = mixed ^ _mix(np.atleast_1d(salt).astype(np.uint64))
        mixed = _mix(mixed)
    return (mixed >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _mix(bits: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    bits = bits + np.uint64(0x9E3779B97F4A7C15)
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))
