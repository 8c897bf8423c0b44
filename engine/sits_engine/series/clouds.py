"""Which pixels count as clear.

The scene classification (SCL) of Sentinel-2 level 2A has 12 values. Clear are 4 vegetation, 5 bare soil,
6 water and 7 "unclassified" (in practice mostly built-up land, bright soil and field edges: leaving it out
loses far more good pixels than clouds). Not clear: 0 no data, 1 saturated, 2 dark area (topographic and cast
shadows, which field crops on flat land hardly have but clouds do), 3 cloud shadow, 8 and 9 cloud, 10 thin
cirrus, 11 snow (a crop under snow can't be seen).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sits_engine.errors import InputError

SCL_NOT_CLEAR = (0, 1, 2, 3, 8, 9, 10, 11)
#: Bands that are taken as mask without being asked for.
AUTOMATIC = {"SCL": SCL_NOT_CLEAR}


@dataclass(frozen=True)
class MaskRule:
    """A categorical band and its values that are not clear."""

    band: str
    not_clear: tuple[int, ...]

    def clear(self, mask: npt.NDArray[np.generic]) -> npt.NDArray[np.bool_]:
        """True where a mask of any integer type says clear; same shape."""
        if mask.dtype.itemsize == 1 or mask.dtype == np.uint16:
            # A table is several times faster than np.isin, and this runs over every pixel of every date.
            table = np.ones(1 << (8 * mask.dtype.itemsize), dtype=bool)
            inside = [v for v in self.not_clear if -len(table) // 2 <= v < len(table)]
            table[inside] = False
            clear: npt.NDArray[np.bool_] = table[mask]
            return clear
        return np.isin(mask, self.not_clear, invert=True)


def rule(bands: Iterable[str], band: str | None, values: Iterable[int] | None) -> MaskRule | None:
    """The mask of a series: the band that the user named, else SCL where every scene may have it, else none.

    Raises:
        InputError: a band was named that isn't there, or a band other than SCL without values.
    """
    names = list(bands)
    if band is None:
        chosen = next((name for name in AUTOMATIC if name in names), None)
        if chosen is None:
            if values:
                raise InputError(
                    "MASK_VALUES is given, but there is no mask band.", "Name the band in MASK_BAND."
                )
            return None
        return MaskRule(chosen, tuple(values) if values else AUTOMATIC[chosen])
    by_key = {name.casefold(): name for name in names}
    if band.casefold() not in by_key:
        raise InputError(
            f"The mask band {band!r} is not in the images (bands: {', '.join(names) or 'none'}).",
            "Correct MASK_BAND.",
        )
    found = by_key[band.casefold()]
    given = tuple(values) if values else AUTOMATIC.get(found)
    if given is None:
        raise InputError(
            f"MASK_BAND is {band!r}, but which of its values mean cloud is not known.",
            "List the values that are not clear in MASK_VALUES, for example 1 2 3.",
        )
    return MaskRule(found, given)
