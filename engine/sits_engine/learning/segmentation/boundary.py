"""Where parcels of different classes meet, and how well a map finds these borders.

Source: shared/spec/cscl.md section 7; shared/spec/pitfalls.md 3.6 and 3.16.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import maximum_filter, minimum_filter


def boundary(labels: npt.NDArray[np.integer]) -> npt.NDArray[np.bool_]:
    """(..., H, W) True where the 3 x 3 window of labels (reflected at the edges) is not uniform.

    Unknown pixels have one label in common: a border between two unknown classes is none, a border between a
    known and an unknown one is. Pixels that are no boundary are the interior.

    Args:
        labels: (..., H, W).
    """
    size = (1,) * (labels.ndim - 2) + (3, 3)
    # 'mirror' repeats no edge pixel: what others call reflect padding
    high = maximum_filter(labels, size=size, mode="mirror")
    return np.asarray(high != minimum_filter(labels, size=size, mode="mirror"))


def known_boundary(classes: npt.NDArray[np.integer], known: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """(N, H, W) True for known pixels that touch (8 neighbours) a known pixel of another class.

    Args:
        classes: (N, H, W) >= 0 where known.
        known: (N, H, W); pixels that are not known neither are borders nor make one.
    """
    size = (1, 3, 3)
    top = int(classes.max(initial=0)) + 1
    wide = classes.astype(np.int32)
    high = maximum_filter(np.where(known, wide, -1), size=size, mode="nearest")
    low = minimum_filter(np.where(known, wide, top), size=size, mode="nearest")
    return np.asarray(known & (high != low))


#: So many times the true border pixels, and a map is called speckled.
SPECKLED = 2.0


@dataclass
class BorderCounts:
    """Border pixels of the map and of the truth, and how many of each have one of the other nearby."""

    found: int = 0
    found_right: int = 0
    true: int = 0
    true_found: int = 0

    def __add__(self, other: BorderCounts) -> BorderCounts:
        return BorderCounts(
            self.found + other.found,
            self.found_right + other.found_right,
            self.true + other.true,
            self.true_found + other.true_found,
        )

    @property
    def precision(self) -> float:
        """Share of the map's border pixels that are near a true one; NaN where the map has none."""
        return self.found_right / self.found if self.found else float("nan")

    @property
    def recall(self) -> float:
        """Share of the true border pixels that are near one of the map; NaN where there is none."""
        return self.true_found / self.true if self.true else float("nan")

    @property
    def f1(self) -> float:
        """Harmonic mean; 0 where only one of the two has borders, NaN where neither has."""
        if not self.found or not self.true:
            return 0.0 if self.found or self.true else float("nan")
        both = self.precision + self.recall
        return 2 * self.precision * self.recall / both if both else 0.0

    @property
    def speckled(self) -> bool:
        """Whether the map has far more borders than the truth: by chance alone, most true ones are found."""
        return self.true > 0 and self.found > SPECKLED * self.true


def border_counts(
    truth: npt.NDArray[np.integer],
    found: npt.NDArray[np.integer],
    distance: int,
    counted: npt.NDArray[np.bool_] | None = None,
) -> BorderCounts:
    """Compare the borders of a map with the true ones.

    Unknown pixels are left out on both sides: a border is one between two pixels whose class is known, in the
    truth as in the map. A border pixel is right if the other side has one within `distance` (Chebyshev).

    Args:
        truth: (N, H, W) class, < 0 unknown.
        found: (N, H, W) class of the map, everywhere.
        distance: pixels of this grid.
        counted: (N, H, W) pixels that are counted; None: all known ones. Others still serve as neighbours.
    """
    known = truth >= 0
    true_border, found_border = known_boundary(truth, known), known_boundary(found, known)
    size = (1, 2 * distance + 1, 2 * distance + 1)
    near_true = maximum_filter(true_border, size=size, mode="constant")
    near_found = maximum_filter(found_border, size=size, mode="constant")
    if counted is not None:
        true_border, found_border = true_border & counted, found_border & counted
    return BorderCounts(
        found=int(found_border.sum()),
        found_right=int((found_border & near_true).sum()),
        true=int(true_border.sum()),
        true_found=int((true_border & near_found).sum()),
    )
