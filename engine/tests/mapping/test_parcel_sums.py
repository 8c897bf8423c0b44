"""Pixels of parcels are found in windows, and their sums over tiles are those of the whole."""

import numpy as np
import pytest

from sits_engine.mapping.parcel_sums import ParcelPixels, ParcelTotals
from sits_engine.mapping.tiles import tiles_of
from sits_engine.series.types import Cube, Window

WIDTH, HEIGHT = 30, 20


def pixels():
    """Four parcels; the third has no pixel, two share one."""
    flat = [(2, 3), (2, 4), (3, 3), (19, 29)], [(2, 4), (15, 0)], [], [(9, 9)]
    return ParcelPixels.of([np.array([r * WIDTH + c for r, c in own], np.int64) for own in flat], WIDTH)


def places(some):
    return sorted(zip(some.owner.tolist(), some.row.tolist(), some.col.tolist(), strict=True))


def test_within_and_beyond_share_the_pixels():
    every = pixels()
    assert (len(every), every.parcels) == (7, 4)
    window = Window(2, 4, 8, 6)
    assert places(every.within(window)) == [(0, 2, 4), (1, 2, 4), (3, 9, 9)]
    assert places(every.within(window)) + places(every.beyond(window)) != places(every)
    assert sorted(places(every.within(window)) + places(every.beyond(window))) == places(every)
    assert len(every.within(Window(5, 5, 2, 2))) == 0
    assert every.within(window).parcels == 4


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_sums_over_tiles(scale):
    rng = np.random.default_rng(0)
    p = rng.random((3, HEIGHT * scale, WIDTH * scale)).astype(np.float32)
    valid = rng.random((5, HEIGHT, WIDTH)) < 0.5
    valid[:, 9, 9] = False
    p[:, 9 * scale : 10 * scale, 9 * scale : 10 * scale] = 0
    every, totals = pixels(), ParcelTotals(4, 3, 5)
    for tile in tiles_of(Window(0, 0, HEIGHT, WIDTH), 7):
        own = every.within(tile)
        if not len(own):
            continue
        # what is read may be larger than the tile
        area = Window(max(0, tile.row - 2), tile.col, tile.height + min(2, tile.row), tile.width)
        seen = valid[:, area.row : area.row + area.height, area.col : area.col + area.width]
        cube = Cube(np.zeros((5, 1, *seen.shape[1:])), seen, seen, np.ones((5, 1)), np.zeros((5, 1)))
        rows = slice(tile.row * scale, (tile.row + tile.height) * scale)
        cols = slice(tile.col * scale, (tile.col + tile.width) * scale)
        totals.add(own.measured(p[:, rows, cols], tile, cube, area))
        mask = own.mask(tile, scale)
        assert mask.sum() == len(set(zip(own.row.tolist(), own.col.tolist(), strict=True))) * scale**2
    found, dates = totals.result()
    coarse = p.reshape(3, HEIGHT, scale, WIDTH, scale).mean(axis=(2, 4))
    for parcel in range(4):
        own = every[every.owner == parcel]
        clear = valid[:, own.row, own.col]
        assert dates[parcel] == clear.any(axis=1).sum()
        n = max(1, clear.any(axis=0).sum())
        np.testing.assert_allclose(found[parcel], coarse[:, own.row, own.col].sum(axis=1) / n, atol=1e-6)
    assert (found[2:] == 0).all()
