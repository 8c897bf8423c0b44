"""Split labelled parcels into train.gpkg and test.gpkg by blocks of land, before any training.

Parcels of a test block were never seen, nor were their neighbours in the block. By the engine's Python:

    python tools/demo_split.py PARCELS FIELD FOLDER [BLOCKS A SIDE] [SHARE OF TEST BLOCKS]
"""

from __future__ import annotations

import sys
from pathlib import Path

import geopandas as gpd
import numpy as np

#: Draws of test blocks that are tried for one in which both sides hold every class.
DRAWS = 200


def split(frame: gpd.GeoDataFrame, field: str, side: int = 5, share: float = 0.3) -> np.ndarray:
    """(N,) bool, True for test parcels: all whose centroid lies in one of the drawn blocks.

    The first draw (seeds 0, 1, ...) in which both sides hold every class is taken; scores play no part.

    Raises:
        SystemExit: no draw has every class on both sides.
    """
    centres = frame.geometry.centroid
    west, south, east, north = frame.total_bounds
    column = np.clip((centres.x - west) / (east - west) * side, 0, side - 1).astype(int)
    row = np.clip((centres.y - south) / (north - south) * side, 0, side - 1).astype(int)
    block = (row * side + column).to_numpy()
    classes = set(frame[field])
    for seed in range(DRAWS):
        drawn = np.random.default_rng(seed).permutation(side * side)[: round(share * side * side)]
        test = np.isin(block, drawn)
        if set(frame[field][test]) == classes == set(frame[field][~test]):
            return test
    raise SystemExit("No split in blocks leaves every crop on both sides: use a larger region.")


def main(parcels: str, field: str, folder: str, side: str = "5", share: str = "0.3") -> None:
    """Write both layers and say how many parcels each holds."""
    frame = gpd.read_file(parcels)
    test = split(frame, field, int(side), float(share))
    for name, chosen in (("train", ~test), ("test", test)):
        frame[chosen].to_file(Path(folder) / f"{name}.gpkg", layer=name, driver="GPKG")
    print(f"{int((~test).sum())} parcels to learn from, {int(test.sum())} held out in blocks of their own")


if __name__ == "__main__":
    main(*sys.argv[1:])
