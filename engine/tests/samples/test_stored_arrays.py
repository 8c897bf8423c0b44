"""Arrays that stay in their store give what arrays in the memory give."""

import numpy as np
import pytest
import zarr

from sits_engine.errors import InputError
from sits_engine.samples import stored_arrays
from sits_engine.samples.stored_arrays import StoredArray


@pytest.fixture
def two(tmp_path):
    """Two stores, the second with fewer dates and its bands in another order; the joined array."""
    rng = np.random.default_rng(0)
    arrays = [rng.random((5, 4, 3, 6, 6), np.float32), rng.random((3, 2, 3, 6, 6), np.float32)]
    stores = []
    for number, array in enumerate(arrays):
        group = zarr.open_group(tmp_path / str(number), mode="w")
        stored = group.create_array("values", shape=array.shape, dtype=array.dtype, chunks=(2, 4, 3, 6, 6))
        stored[:] = array
        stores.append(stored)
    joined = np.zeros((6, 4, 2, 6, 6), np.float32)
    joined[:4] = arrays[0][[0, 2, 3, 4]][:, :, [0, 2]]
    joined[4:, :2] = arrays[1][[2, 1]][:, :, [1, 0]]
    lazy = StoredArray(stores, np.array([0, 0, 0, 0, 1, 1]), np.array([0, 2, 3, 4, 2, 1]), [[0, 2], [1, 0]])
    return lazy, joined


def test_windows_index_and_shape(two):
    lazy, joined = two
    assert (lazy.shape, lazy.ndim, len(lazy), lazy.nbytes) == (joined.shape, 5, 6, joined.nbytes)
    for i in (*range(6), -1):
        np.testing.assert_array_equal(lazy[i], joined[i])
    np.testing.assert_array_equal(np.stack(list(lazy)), joined)
    np.testing.assert_array_equal(lazy[4, 1, [1, 0]], joined[4, 1, [1, 0]])
    some = lazy[np.array([5, 0, 0])]
    assert isinstance(some, StoredArray)
    np.testing.assert_array_equal(some[0], joined[5])
    np.testing.assert_array_equal(some.read(), joined[[5, 0, 0]])


@pytest.mark.parametrize("slab", [1, 2**30])
def test_read_into_the_memory(two, monkeypatch, slab):
    lazy, joined = two
    monkeypatch.setattr(stored_arrays, "SLAB_BYTES", slab)
    told = []
    np.testing.assert_array_equal(lazy.read(told.append), joined)
    assert told == sorted(told)
    assert told[-1] == 1


def test_rows_far_apart(tmp_path):
    stored = zarr.create_array(tmp_path / "a", shape=(40, 1), dtype="int16", chunks=(2, 1))
    stored[:] = np.arange(40)[:, None]
    lazy = StoredArray([stored], np.zeros(3, int), np.array([39, 0, 20]))
    np.testing.assert_array_equal(lazy.read()[:, 0], [39, 0, 20])


def test_a_kept_window_can_not_be_changed(two):
    lazy, joined = two
    with pytest.raises(ValueError, match="read-only"):
        lazy[0][:] = 0
    np.testing.assert_array_equal(lazy[0], joined[0])
    assert len({id(lazy[0]), id(lazy[0])}) == 1


def test_damaged_file_is_named_with_the_way_out(two, tmp_path):
    lazy, joined = two
    # the last file of the second store: its window 2
    chunks = [one for one in (tmp_path / "1" / "values" / "c").rglob("*") if one.is_file()]
    damaged = max(chunks)
    damaged.write_bytes(damaged.read_bytes()[:20])
    np.testing.assert_array_equal(lazy[0], joined[0])
    for read in (lambda: lazy[4], lambda: lazy[np.array([4])].read()):
        with pytest.raises(InputError, match=r"1/values can't be read: .+") as caught:
            read()
        assert "Copy the data set anew" in caught.value.advice
