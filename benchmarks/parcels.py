"""Pixels of parcels: one pass over the tiles against `rasterio.mask` for each parcel and date.

    python benchmarks/parcels.py [--size 1024] [--dates 24] [--parcels 2000] [--rounds 3] [--folder DIR]

Both give the same pixels of the same parcels at all dates and bands (checked). The baseline does a random
sample of the parcels, since all of them would take minutes; its time for a parcel doesn't depend on the
others. Runs are interleaved, the ratio is the median over the rounds.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))
from images import BANDS, BLOCK, make_series

#: What issue 2 asks for.
WANTED = 15.0


def field_layer(series, number: int, seed: int = 0):
    """`number` fields of 0.3 to 3 ha, turned at random, in a jittered grid, so that none overlap."""
    import geopandas as gpd
    from shapely import affinity
    from shapely.geometry import box

    rng = np.random.default_rng(seed)
    west, south, east, north = series.grid.bounds
    across = int(np.ceil(np.sqrt(number)))
    step = (east - west) / across
    shapes = []
    for i in range(number):
        x, y = west + (i % across + 0.5) * step, south + (i // across + 0.5) * (north - south) / across
        size = step * rng.uniform(0.45, 0.68)
        shape = box(x - size / 2, y - size / 3, x + size / 2, y + size / 3)
        shapes.append(affinity.rotate(shape, rng.uniform(0, 180)))
    frame = gpd.GeoDataFrame(
        {"id": np.arange(number).astype(str), "code": rng.choice(["a", "b"], number)},
        geometry=shapes,
        crs=series.grid.crs,
    )
    from sits_engine.samples.vectors import Labelled

    return Labelled(frame, "fields")


def by_mask(paths: list[Path], shapes) -> list[np.ndarray]:
    """(T, C, P) numbers of each shape, in row order: open, mask, take what is inside."""
    import rasterio
    import rasterio.mask

    out = []
    for shape in shapes:
        dates = []
        for path in paths:
            with rasterio.open(path) as image:
                indexes = list(range(1, len(BANDS) + 1))
                values, _ = rasterio.mask.mask(image, [shape], crop=True, indexes=indexes, filled=False)
                dates.append(values.data[:, ~values.mask[0]])
        out.append(np.stack(dates))
    return out


def everything(series) -> int:
    """Read all tiles of 256 pixels, nothing more; the number of pixels."""
    from sits_engine.mapping.tiles import tiles_of
    from sits_engine.series.types import Window

    return sum(
        series.read(tile, BANDS).values[0, 0].size
        for tile in tiles_of(Window(0, 0, series.grid.height, series.grid.width), BLOCK)
    )


def main() -> int:
    """Measure, check equality, print; 1 if the ratio is below `WANTED`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--dates", type=int, default=24)
    parser.add_argument("--parcels", type=int, default=2000)
    parser.add_argument("--sample", type=int, default=12, help="parcels that the baseline does")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="keeps the images for the next run")
    options = parser.parse_args()

    from sits_engine.samples.parcels import ParcelOptions, collect
    from sits_engine.series.time_series import TimeSeries

    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        path = make_series(folder, options.size, options.dates)
        paths = sorted((folder / f"images-{options.size}-{options.dates}").glob("*.tif"))
        fields = field_layer(TimeSeries.open(path), options.parcels)
        rng = np.random.default_rng(1)
        sample = np.sort(rng.choice(options.parcels, options.sample, replace=False))
        reading = ParcelOptions(buffer=0, min_pixels=1, max_pixels=10**6, mask_clouds=False)
        ratios, ours, theirs = [], [], []
        for _ in range(options.rounds):
            started = time.perf_counter()
            sets, _ = collect(TimeSeries.open(path), fields, list(BANDS), reading)
            ours.append(len(sets) / (time.perf_counter() - started))
            started = time.perf_counter()
            masked = by_mask(paths, fields.frame.geometry.iloc[sample])
            theirs.append(len(sample) / (time.perf_counter() - started))
            ratios.append(ours[-1] / theirs[-1])
        place = {name: i for i, name in enumerate(sets.ids)}
        for number, values in zip(sample, masked, strict=True):
            one = sets.subset([place[str(number)]])
            expected = np.where(one.valid[..., None], values.transpose(2, 0, 1) * 1e-4, 0)
            np.testing.assert_allclose(one.values, expected, atol=1e-6)
    ratio = statistics.median(ratios)
    print(
        f"{options.parcels} parcels, {sets.n_pixels.mean():.0f} pixels each, {options.dates} dates, 10 bands"
    )
    print(f"one pass over the tiles   {statistics.median(ours):8.1f} parcels/s")
    print(f"rasterio.mask             {statistics.median(theirs):8.1f} parcels/s")
    print(f"ratio                     {ratio:8.1f}   (wanted: {WANTED:g})")
    return int(ratio < WANTED)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "engine"))
    sys.exit(main())
