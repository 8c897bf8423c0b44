from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import zarr
from support.window_sets import windows

from sits_engine.errors import EngineError, InputError
from sits_engine.samples import window_store
from sits_engine.samples.windows import PER_WINDOW, WindowSet


def same(a: WindowSet, b: WindowSet) -> None:
    assert (a.bands, a.classes, a.scale) == (b.bands, b.classes, b.scale)
    for name in PER_WINDOW:
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
        assert getattr(a, name).dtype == getattr(b, name).dtype


def test_shapes_are_checked() -> None:
    good = windows()
    assert good.size == (6, 6)
    assert len(good) == 5
    np.testing.assert_array_equal(good.covered, good.labels >= 0)
    with pytest.raises(ValueError, match=r"labels has shape \(5, 12, 12\), expected \(5, 6, 6\)"):
        dataclasses.replace(good, scale=1)
    with pytest.raises(ValueError, match="positions has shape"):
        dataclasses.replace(good, positions=good.positions[:, 1:])


def test_subset_by_number_and_mask() -> None:
    all_of = windows()
    some = all_of.subset([3, 0, 3])
    np.testing.assert_array_equal(some.values, all_of.values[[3, 0, 3]])
    np.testing.assert_array_equal(some.rows, [18, 0, 18])
    same(all_of.subset(all_of.rows > 6), all_of.subset([2, 3, 4]))
    assert len(all_of.subset(np.zeros(5, bool))) == 0


def test_counts_and_presence() -> None:
    some = windows(n=2)
    some.labels[0], some.labels[1] = -1, 2
    some.labels[1, 0, :3] = 0
    assert some.counts.tolist() == [3, 0, 141]
    assert some.presence().tolist() == [[False, False, False], [True, False, True]]


def test_shorter_series_are_padded_at_the_end() -> None:
    long, short = windows(dates=4), windows(n=3, dates=2, region=1, seed=1)
    joined = WindowSet.concatenate([long, short])
    assert len(joined) == 8
    same(joined.subset(np.arange(5)), long)
    np.testing.assert_array_equal(joined.values[5:, :2], short.values)
    assert not joined.valid[5:, 2:].any()
    assert not joined.values[5:, 2:].any()
    np.testing.assert_array_equal(joined.positions[5:], short.positions[:, [0, 1, 1, 1]])
    assert WindowSet.concatenate([short]) is short
    with pytest.raises(ValueError, match="can't be joined"):
        WindowSet.concatenate([long, windows(scale=1)])


def test_a_store_gives_the_same_back(tmp_path) -> None:
    path = tmp_path / "w.zarr"
    stored = windows()
    stored.covered[:] = np.random.default_rng(4).random(stored.covered.shape)
    stored.save(path, fingerprint="abc", extra={"notes": ["é"]})
    same(WindowSet.load(path), stored)
    same(WindowSet.load(path, [4, 1]), stored.subset([4, 1]))
    assert window_store.STORE.facts(path) == ("abc", {"notes": ["é"]})
    windows(n=2).save(path)  # replaces it
    assert len(WindowSet.load(path)) == 2
    assert [p.name for p in tmp_path.iterdir()] == ["w.zarr"]


def test_a_store_explains_itself(tmp_path) -> None:
    windows().save(tmp_path / "w.zarr")
    group = zarr.open_group(tmp_path / "w.zarr", mode="r")
    assert "grid 'scale' times finer" in group.attrs["description"]
    assert set(group.attrs["arrays"]) == set(PER_WINDOW) == set(group.array_keys())
    assert group["labels"].metadata.dimension_names == ("window", "fine_row", "fine_column")


def test_an_empty_set_can_be_stored(tmp_path) -> None:
    none = windows().subset([])
    none.save(tmp_path / "w.zarr")
    same(WindowSet.load(tmp_path / "w.zarr"), none)


def test_nothing_else_is_replaced_or_read(tmp_path) -> None:
    (tmp_path / "w.zarr").mkdir()
    (tmp_path / "w.zarr" / "mine.txt").write_text("mine")
    with pytest.raises(EngineError, match="something else than training windows"):
        windows().save(tmp_path / "w.zarr")
    assert (tmp_path / "w.zarr" / "mine.txt").read_text() == "mine"
    with pytest.raises(InputError, match="holds no training windows"):
        WindowSet.load(tmp_path / "w.zarr")
    with pytest.raises(InputError, match="holds no training windows"):
        WindowSet.load(tmp_path / "nothing.zarr")


def test_a_failed_write_leaves_the_old_store(tmp_path, monkeypatch) -> None:
    path = tmp_path / "w.zarr"
    windows().save(path)

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(zarr.Group, "create_array", full)
    with pytest.raises(EngineError) as raised:
        windows(n=2).save(path)
    assert raised.value.code == "DISK_FULL"
    monkeypatch.undo()
    assert len(WindowSet.load(path)) == 5
    assert [p.name for p in tmp_path.iterdir()] == ["w.zarr"]


def test_a_damaged_store_is_named(tmp_path) -> None:
    path = tmp_path / "w.zarr"
    windows().save(path)
    (path / "labels" / "zarr.json").unlink()
    with pytest.raises(InputError, match="are damaged"):
        WindowSet.load(path)


def test_windows_that_share_pixels_form_groups() -> None:
    some = windows(n=7)
    # 0 | 6 12 and one moved inside at 15; the same place in another region; one that only touches
    some.cols[:] = [0, 6, 12, 15, 15, 40, 46]
    some.rows[:] = 0
    some.region[:] = [0, 0, 0, 0, 1, 0, 0]
    groups = some.sharing_groups()
    assert groups[2] == groups[3]
    assert len(set(groups.tolist())) == 6
    some.cols[:2], some.rows[:2] = [2, 0], [5, 0]
    some.cols[4] = 15
    assert len(set(some.sharing_groups().tolist())) == 5
    assert len(some.subset([]).sharing_groups()) == 0
