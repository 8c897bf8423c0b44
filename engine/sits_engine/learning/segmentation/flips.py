"""The eight symmetries of a square window: image, validity, labels and parcels turn together.

A number from 0 to 7: bit 0 mirrors left and right, bit 1 top and bottom, bit 2 then swaps rows and columns.
CSCL targets are made from the labels after turning, so they turn too.

Source: shared/spec/cscl.md sections 8.3 and 12.9; shared/spec/pitfalls.md 3.2 (labels not turned along).
"""

from __future__ import annotations

from typing import Literal, TypeVar

import numpy as np
import numpy.typing as npt

Scalar = TypeVar("Scalar", bound=np.generic)
Turning = Literal["all", "flips", "none"]
#: Symmetries to draw from. `flips` are the published ones.
CHOICES: dict[Turning, int] = {"all": 8, "flips": 4, "none": 1}


def draw(n: int, turning: Turning, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """(n,) symmetries, each equally likely."""
    return rng.integers(0, CHOICES[turning], n)


def turned(array: npt.NDArray[Scalar], symmetry: int) -> npt.NDArray[Scalar]:
    """The array with its last two axes (rows, columns) turned; a view.

    Args:
        array: (..., H, W), square for symmetries from 4.
        symmetry: 0 to 7.
    """
    if symmetry & 1:
        array = array[..., ::-1]
    if symmetry & 2:
        array = array[..., ::-1, :]
    if symmetry & 4:
        array = array.swapaxes(-1, -2)
    return array


def inverse(symmetry: int) -> int:
    """The symmetry that undoes this one."""
    if not symmetry & 4:
        return symmetry
    # the swap comes last: undoing it first exchanges the two mirrors
    return 4 | (symmetry & 1) << 1 | (symmetry & 2) >> 1
