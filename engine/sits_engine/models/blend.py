"""Windows on a lattice of the whole image, and how their answers become one without a seam.

A network sees less at the border of a window than in its middle, so windows overlap, and the answer of each
counts less towards its border: weights are a raised cosine, divided by the sum of the weights of a pixel.
The lattice belongs to the image, not to the part that is asked for: whoever asks for a pixel, in whatever
tile, gets the same windows and so the same answer.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


def starts(length: int, window: int, step: int) -> npt.NDArray[np.int64]:
    """First pixels of the windows along one axis of an image.

    Windows lie `step` apart, the last one ends with the image. An image smaller than a window has one
    window, centred on it (its start is negative).

    Raises:
        ValueError: step outside 1..window, which would leave gaps.
    """
    if not 1 <= step <= window:
        raise ValueError(f"a step of {step} with windows of {window} pixels")
    if length <= window:
        return np.array([-((window - length) // 2)])
    regular = np.arange(0, length - window, step)
    return np.append(regular, length - window)


def touching(places: npt.NDArray[np.int64], window: int, first: int, size: int) -> npt.NDArray[np.int64]:
    """Those windows that hold a pixel of first..first + size."""
    return places[(places + window > first) & (places < first + size)]


def reach(places: npt.NDArray[np.int64], window: int, first: int, size: int, length: int) -> tuple[int, int]:
    """(first pixel, pixels) of the image that the windows of first..first + size see."""
    near = touching(places, window, first, size)
    low = max(0, int(near[0]))
    return low, min(length, int(near[-1]) + window) - low


def reflected(start: int, window: int, length: int) -> npt.NDArray[np.int64]:
    """(window,) pixel numbers within 0..length of a window that may reach over the edges: mirrored there."""
    if length == 1:
        return np.zeros(window, np.int64)
    period = 2 * (length - 1)
    place = np.abs(np.arange(start, start + window)) % period
    mirrored: npt.NDArray[np.int64] = np.minimum(place, period - place)
    return mirrored


def taper(size: int) -> Floats:
    """(size,) raised cosine, above 0 everywhere; two of them half a window apart add up to 1."""
    weights: Floats = (np.sin(np.pi * (np.arange(size) + 0.5) / size) ** 2).astype(np.float32)
    return weights


class Blend:
    """Adds up probabilities of windows over an area, weighted, in the order in which they come.

    Args:
        classes: K.
        height, width: of the area, in pixels of the network's answer.
        window: side of a window's answer.
    """

    def __init__(self, classes: int, height: int, width: int, window: int) -> None:
        self._sum = np.zeros((classes, height, width), np.float32)
        self._weight = np.zeros((height, width), np.float32)
        line = taper(window)
        self._taper: Floats = line[:, None] * line

    def add(self, probabilities: Floats, row: int, col: int) -> None:
        """Add the answer (K, window, window) of a window whose first pixel is row, col of the area.

        It may reach over the area on all sides; that part of it is not used.
        """
        window = len(self._taper)
        _, height, width = self._sum.shape
        top, left = max(0, -row), max(0, -col)
        bottom, right = min(window, height - row), min(window, width - col)
        if bottom <= top or right <= left:
            return
        weights = self._taper[top:bottom, left:right]
        here = slice(row + top, row + bottom), slice(col + left, col + right)
        self._sum[:, *here] += probabilities[:, top:bottom, left:right] * weights
        self._weight[here] += weights

    def result(self) -> Floats:
        """(K, height, width) probabilities, zeros where no window was added. Ends the blend (in place)."""
        np.divide(self._sum, self._weight, out=self._sum, where=self._weight > 0)
        return self._sum
