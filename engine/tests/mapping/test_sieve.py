import numpy as np
import pytest
import rasterio
from scipy import ndimage
from support.maps import grid

from sits_engine.errors import InputError
from sits_engine.mapping import cog, sieve


def run(tmp_path, values, pixels):
    values = np.asarray(values, np.uint8)
    where = grid(*values.shape)
    with cog.create_plain(tmp_path / "a.tif", where, 1, 0) as image:
        image.write(values, 1)
    with (
        rasterio.open(tmp_path / "a.tif") as source,
        cog.create_plain(tmp_path / "b.tif", where, 1, 0) as target,
    ):
        changed = sieve.sieve_band(source, target, pixels)
    with rasterio.open(tmp_path / "b.tif") as image:
        after = image.read(1)
    assert changed == (after != values).sum()
    return after


def test_small_patches_join_the_largest_neighbour(tmp_path):
    values = np.ones((12, 12), int)
    values[:, 7:] = 2
    values[3:5, 6:8] = 3  # 4 pixels between 1 and 2; 1 is larger
    values[8:11, 8:11] = 3  # 9 pixels: large enough
    after = run(tmp_path, values, 5)
    assert (after[3:5, 6:8] == 1).all()
    assert (after[8:11, 8:11] == 3).all()


def test_nodata_is_neither_filled_nor_a_neighbour(tmp_path):
    values = np.zeros((10, 10), int)
    values[4, 4] = 2  # an island in nodata
    values[7:, :] = 1
    values[8, 8] = 0  # a hole
    after = run(tmp_path, values, 4)
    np.testing.assert_array_equal(after, values)


def test_blocks_do_not_show(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    noise = ndimage.gaussian_filter(rng.random((3, 150, 130)), (0, 2, 2))
    values = noise.argmax(axis=0) + 1
    whole = run(tmp_path, values, 12)
    monkeypatch.setattr(sieve, "BLOCK", 32)
    pieces = run(tmp_path, values, 12)
    assert (whole != values).sum() > 300
    # only the choice among several neighbours may differ where a neighbour is cut by the margin
    assert (whole != pieces).mean() < 0.002
    for after in (whole, pieces):
        assert smallest(after) >= 12


def smallest(values):
    """Pixels of the smallest patch that touches another one."""
    sizes = [np.inf]
    for value in np.unique(values[values > 0]):
        labels, count = ndimage.label(values == value)
        for number in range(1, count + 1):
            patch = labels == number
            around = ndimage.binary_dilation(patch) & ~patch
            if values[around].any():
                sizes.append(patch.sum())
    return min(sizes)


@pytest.mark.parametrize("pixels", [2, 9, 30])
@pytest.mark.parametrize("kinds", [2, 5])
def test_no_small_patch_is_left_even_in_noise(tmp_path, monkeypatch, pixels, kinds):
    # in pure noise all neighbours are small: a single pass of GDAL's sieve leaves most of it
    rng = np.random.default_rng(pixels + kinds)
    values = rng.integers(1, kinds + 1, (90, 110))
    values[rng.random(values.shape) < 0.15] = 0
    values[:, 60:] = np.where(values[:, 60:] > 0, 1, 0)
    monkeypatch.setattr(sieve, "BLOCK", 32)
    after = run(tmp_path, values, pixels)
    assert smallest(after) >= pixels
    np.testing.assert_array_equal(after == 0, values == 0)
    # what has no neighbour keeps its class
    for value in range(1, kinds + 1):
        labels, count = ndimage.label(values == value)
        for number in range(1, count + 1):
            patch = labels == number
            if not values[ndimage.binary_dilation(patch) & ~patch].any():
                assert (after[patch] == value).all()


def test_equal_patches_side_by_side_become_one(tmp_path):
    values = np.indices((12, 12)).sum(axis=0) % 2 + 1  # a chessboard: 144 patches of one pixel
    assert len(np.unique(run(tmp_path, values, 100))) == 1


def test_unit_in_pixels():
    assert sieve.pixels_of(0.1, 0.01) == 10
    assert sieve.pixels_of(0.05, 0.04) == 2
    assert sieve.pixels_of(0.0001, 0.01) == 1
    with pytest.raises(InputError, match="at most 1024"):
        sieve.pixels_of(50, 0.01)
