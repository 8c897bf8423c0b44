"""Places that a model has seen, short enough for its card, and which other places are at them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sits_engine.samples.photos_places import on_globe

#: Key of the places in a card's provenance.
KEY = "places_seen"
#: More places than this aren't written down (about 14 bytes each).
MOST = 5000
#: Units of a degree: 3 decimals, 111 m at most. A model that is passed on need not tell whose yard it was.
UNITS = 1000
#: Places within so many metres of the rounded position may be the same, or of the same field.
NEAR = 100.0


def remembered(lon_lat: npt.NDArray[np.float64], most: int = MOST) -> dict[str, Any]:
    """Facts for the card: number of places, and longitudes and latitudes in 1e-3 degrees.

    Args:
        lon_lat: (N, 2) degrees; NaN where a place has no position.
        most: with more places, or one without a position, only their number is written down.
    """
    facts: dict[str, Any] = {"count": len(lon_lat)}
    if 0 < len(lon_lat) <= most and np.isfinite(lon_lat).all():
        whole = np.rint(lon_lat * UNITS).astype(np.int64)
        facts |= {"lon": whole[:, 0].tolist(), "lat": whole[:, 1].tolist()}
    return facts


def overlap(lon_lat: npt.NDArray[np.float64], provenance: dict[str, Any], within: float = NEAR) -> int | None:
    """How many places lie within some metres of one that a model has seen; None if the card doesn't say.

    Args:
        lon_lat: (N, 2) degrees; a place without a position lies nowhere.
        provenance: of the model's card.
        within: metres.
    """
    from scipy.spatial import cKDTree

    facts = provenance.get(KEY)
    lon, lat = (facts.get("lon"), facts.get("lat")) if isinstance(facts, dict) else (None, None)
    if not lon or not lat or len(lon) != len(lat):
        return None
    placed = lon_lat[np.isfinite(lon_lat).all(axis=1)]
    if not len(placed):
        return None
    tree = cKDTree(on_globe(np.column_stack([lon, lat]).astype(np.float64) / UNITS))
    distance, _ = tree.query(on_globe(placed))
    return int((distance <= within).sum())
