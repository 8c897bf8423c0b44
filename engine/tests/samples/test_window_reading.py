"""Windows of data sets: facts, choice, joining, and the memory."""

import dataclasses

import numpy as np
import psutil
import pytest
from support.window_sets import windows

from sits_engine.errors import InputError
from sits_engine.samples import window_reading
from sits_engine.samples.stored_arrays import StoredArray
from sits_engine.samples.window_data import WindowData, check_alike
from sits_engine.samples.window_reading import DataSetOptions, equal_shares, read_data_sets

ALL = DataSetOptions(min_labelled=0, max_windows=None)


def saved(path, extra=None, **options):
    made = windows(**options)
    made.save(path, extra=extra)
    return made


def test_facts(tmp_path):
    extra = {
        "made_by": "me",
        "regions": ["patch 7", "patch 9"],
        "season_years": [2019, None],
        "folds": [1, 4],
        "resolutions": [10.0, 10.0],
        "mask_clouds": False,
        "classes": [{"name": "maize", "color": "#ff0000", "codes": ["11", "12"]}],
    }
    both = [windows(n=2, region=0), windows(n=1, region=1)]
    windows().concatenate(both).save(tmp_path / "a.zarr", extra=extra)
    data = WindowData.open(tmp_path / "a.zarr")
    assert (data.n_windows, data.n_dates, data.size, data.scale, data.n_regions) == (3, 4, (6, 6), 2, 2)
    assert data.bands == ("B04", "B08", "B11")
    assert (data.names, data.season_years, data.folds) == (("patch 7", "patch 9"), (2019, None), (1, 4))
    assert (data.resolutions, data.mask_clouds, data.made_by) == ((10.0,), False, "me")
    assert data.codes["maize"] == ("11", "12")
    assert data.colors == {"maize": "#ff0000"}


def test_unknown_facts_stay_unknown(tmp_path):
    saved(tmp_path / "a.zarr")
    data = WindowData.open(tmp_path / "a.zarr")
    assert (data.names, data.season_years, data.folds, data.resolutions) == (("",), (None,), None, ())
    assert data.mask_clouds is True


def test_what_is_no_data_set_is_named(tmp_path):
    with pytest.raises(InputError, match="not found"):
        WindowData.open(tmp_path / "none.zarr")
    (tmp_path / "else").mkdir()
    with pytest.raises(InputError, match="holds no training windows") as raised:
        WindowData.open(tmp_path / "else")
    assert "convert_windows" in raised.value.advice
    windows().save(tmp_path / "kept.zarr", fingerprint="abc")
    with pytest.raises(InputError, match="WINDOWS_STORE"):
        WindowData.open(tmp_path / "kept.zarr")
    windows().subset([]).save(tmp_path / "empty.zarr")
    with pytest.raises(InputError, match="holds no windows"):
        WindowData.open(tmp_path / "empty.zarr")
    saved(tmp_path / "folds.zarr", {"folds": []})
    with pytest.raises(InputError, match=r"folds\.zarr is damaged: 0 folds for 1 regions"):
        WindowData.open(tmp_path / "folds.zarr")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"size": (8, 8)}, r"different sizes: a\.zarr: 6 x 6; b\.zarr: 8 x 8"),
        ({"scale": 1}, "different scales"),
        ({"resolutions": (20.0,)}, r"pixels of different sizes \(a\.zarr: 10 m; b\.zarr: 20 m\)"),
    ],
)
def test_sets_that_do_not_go_together(tmp_path, changes, words):
    saved(tmp_path / "a.zarr", {"resolutions": [10.0]})
    one = WindowData.open(tmp_path / "a.zarr")
    check_alike([one, one])
    with pytest.raises(InputError, match=words):
        check_alike([one, dataclasses.replace(one, path=tmp_path / "b.zarr", **changes)])


def test_two_sets_are_joined_whatever_their_dates_bands_and_classes(tmp_path):
    one = saved(tmp_path / "a.zarr", n=3)
    other = windows(n=2, dates=3, seed=1)
    other = dataclasses.replace(
        other,
        bands=("b11", "B02", "B4"),
        classes=("wheat", "rye", "maize"),
    )
    other.save(tmp_path / "b.zarr")
    sets = [WindowData.open(tmp_path / name) for name in ("a.zarr", "b.zarr")]
    found, notes = read_data_sets(sets, ALL)
    assert notes == []
    assert found.bands == ("B04", "B11")
    assert found.classes == ("maize", "wheat", "Rübe", "rye")
    np.testing.assert_array_equal(found.values[:3], one.values[:, :, [0, 2]])
    np.testing.assert_array_equal(found.values[3:, :3], other.values[:, :, [2, 0]])
    assert not found.values[3:, 3].any()
    assert not found.valid[3:, 3].any()
    np.testing.assert_array_equal(found.positions[3:, 3], other.positions[:, -1])
    np.testing.assert_array_equal(found.labels[:3], one.labels)
    np.testing.assert_array_equal(found.labels[3:], np.array([1, 3, 0, -1])[other.labels])
    assert found.region.tolist() == [0, 0, 0, 1, 1]


def test_images_too_large_for_the_memory_stay_on_the_disk(tmp_path, monkeypatch):
    saved(tmp_path / "a.zarr", n=5)
    sets = [WindowData.open(tmp_path / "a.zarr")]
    there, _ = read_data_sets(sets, ALL)
    monkeypatch.setattr(window_reading, "MEMORY_SHARE", 0.0)
    found, notes = read_data_sets(sets, ALL)
    assert isinstance(found.values, StoredArray)
    assert isinstance(found.valid, StoredArray)
    assert "don't fit into this machine's memory" in notes[0]
    size = there.values.nbytes + there.valid.nbytes
    monkeypatch.setattr(window_reading, "MEMORY_SHARE", 3 * size / psutil.virtual_memory().total)
    assert isinstance(read_data_sets(sets, ALL)[0].values, np.ndarray)
    several, notes = read_data_sets(sets, dataclasses.replace(ALL, copies=2))
    assert isinstance(several.values, StoredArray)
    assert "once in each of 2 processes" in notes[0]
    some = found.subset([4, 1])
    np.testing.assert_array_equal(some.values[0], there.values[4])
    np.testing.assert_array_equal(some.labels, there.labels[[4, 1]])


def test_windows_are_drawn_evenly_from_the_regions(tmp_path):
    region = np.repeat([0, 1, 2], [10, 2, 6])
    for seed in range(3):
        drawn = equal_shares(region, 9, seed)
        assert np.bincount(region[drawn]).tolist() in ([4, 2, 3], [3, 2, 4])
        assert (np.diff(drawn) > 0).all()
    assert equal_shares(region, 9, 1).tolist() == equal_shares(region, 9, 1).tolist()
    assert equal_shares(region, 9, 1).tolist() != equal_shares(region, 9, 2).tolist()
    joined = windows().concatenate([windows(n=6, region=r, seed=r) for r in range(3)])
    joined.save(tmp_path / "a.zarr")
    found, notes = read_data_sets(
        [WindowData.open(tmp_path / "a.zarr")], dataclasses.replace(ALL, max_windows=6)
    )
    assert np.bincount(found.region).tolist() == [2, 2, 2]
    assert "6 of 18 windows were drawn at random" in notes[0]


def test_windows_with_few_labels_are_left_out_and_counted(tmp_path):
    made = windows(n=4)
    made.labels[1] = -1
    made.save(tmp_path / "a.zarr")
    sets = [WindowData.open(tmp_path / "a.zarr")]
    found, notes = read_data_sets(sets, ALL)
    np.testing.assert_array_equal(found.rows, made.rows[[0, 2, 3]])
    assert "1 of 4 windows" in notes[0]
    with pytest.raises(InputError, match="has enough labels"):
        read_data_sets(sets, dataclasses.replace(ALL, min_labelled=1.0))


def test_a_band_that_is_missing(tmp_path):
    saved(tmp_path / "a.zarr")
    sets = [WindowData.open(tmp_path / "a.zarr")]
    found, _ = read_data_sets(sets, dataclasses.replace(ALL, bands=("b8", "B04")))
    assert found.bands == ("B08", "B04")
    with pytest.raises(InputError, match=r"a\.zarr has no band B02\. It has: B04, B08, B11"):
        read_data_sets(sets, dataclasses.replace(ALL, bands=("B02",)))
