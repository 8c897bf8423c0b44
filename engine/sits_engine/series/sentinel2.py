"""The radiometric offset of Sentinel-2: numbers are shifted since processing baseline 04.00 (January 2022).

Reflectance = (number + BOA_ADD_OFFSET) / 10000 with BOA_ADD_OFFSET = -1000 (level 1C: RADIO_ADD_OFFSET), so
scale 1e-4 and offset -0.1; earlier baselines have offset 0. It must be applied once and never twice:

1. `earthsearch:boa_offset_applied` (or `sentinel:boa_offset_applied`) true: the provider has subtracted it
   from the pixels already; offset 0, whatever `raster:bands` says (it says -0.1 all the same).
2. An offset stated in `raster:bands`, `bands` or by GDAL is taken as it is.
3. Otherwise a stated processing baseline decides: 04.00 and later -0.1, earlier 0.
4. Nothing stated: 0. A date alone decides nothing, since most re-distributed copies are harmonised.

SAFE folders state it in their metadata (`safe.py`). Series written by this program state offset and scale
of every band, so rule 2 keeps them as they are.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

SCALE = 1e-4
OFFSET = -0.1
FIRST_SHIFTED_BASELINE = 4.0

_APPLIED = ("earthsearch:boa_offset_applied", "sentinel:boa_offset_applied")
_BASELINE = (
    "s2:processing_baseline",
    "sentinel:processing_baseline",
    "processing:version",
    "earthsearch:processing_baseline",
)


def is_sentinel2(properties: Mapping[str, Any], collection: str | None = None) -> bool:
    """True where a STAC item is of Sentinel-2 (or of a collection named so)."""
    words = " ".join(
        str(v) for v in (properties.get("platform"), properties.get("constellation"), collection)
    )
    return "sentinel-2" in words.lower() or any(key.startswith("s2:") for key in properties)


def baseline(properties: Mapping[str, Any]) -> float | None:
    """Processing baseline as a number (5.09), or None."""
    for key in _BASELINE:
        found = re.fullmatch(r"\s*0?(\d{1,2}\.\d{1,2})\s*", str(properties.get(key, "")))
        if found:
            return float(found[1])
    return None


def offset(properties: Mapping[str, Any], stated: float | None) -> float:
    """Offset of a reflectance band (see above); `stated` is that of the band's metadata."""
    if any(properties.get(key) is True for key in _APPLIED):
        return 0.0
    if stated is not None:
        return stated
    number = baseline(properties)
    return OFFSET if number is not None and number >= FIRST_SHIFTED_BASELINE else 0.0
