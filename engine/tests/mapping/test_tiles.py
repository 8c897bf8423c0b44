import numpy as np
import pytest

from sits_engine.mapping.tiles import MAX_CUBE_BYTES, tile_size_for, tiles_of
from sits_engine.series.types import Window


@pytest.mark.parametrize("window", [Window(0, 0, 100, 130), Window(37, 61, 100, 7), Window(64, 64, 64, 64)])
def test_tiles_cover_once_and_never_cross_a_block(window):
    seen = np.zeros((200, 200), int)
    for tile in tiles_of(window, 64):
        seen[tile.row : tile.row + tile.height, tile.col : tile.col + tile.width] += 1
        assert tile.row // 64 == (tile.row + tile.height - 1) // 64
        assert tile.col // 64 == (tile.col + tile.width - 1) // 64
    inside = np.zeros_like(seen)
    inside[window.row : window.row + window.height, window.col : window.col + window.width] = 1
    np.testing.assert_array_equal(seen, inside)


def test_tile_size_follows_the_length_of_the_series():
    assert tile_size_for(24, 10) == 256
    assert tile_size_for(143, 10) < 256
    assert tile_size_for(24, 10, largest=512) == 256
    for dates in (24, 143, 1000):
        side = tile_size_for(dates, 10)
        assert side * side * dates * 22 <= MAX_CUBE_BYTES or side == 32
