from __future__ import annotations

import json

import numpy as np
import pytest
from support.published_windows import PASTIS_DATES, write_pastis
from support.window_sets import windows

from sits_engine.errors import InputError
from sits_engine.samples.pastis import CLASSES, cut, read_pastis, read_patch, read_patches
from sits_engine.samples.windows import WindowSet


@pytest.fixture
def archive(tmp_path):
    return tmp_path, write_pastis(tmp_path)


def test_facts(archive) -> None:
    patches = read_patches(archive[0])
    assert [p.id for p in patches] == [10000, 10007, 10014]
    assert [p.fold for p in patches] == [1, 2, 4]
    # 17 September 2018 is 106 days before 1 January 2019
    assert patches[0].positions.tolist() == [-106, -81, 20, 160, 73, 305]
    assert patches[0].lon_lat == pytest.approx((4.85, 46.5), abs=0.1)


def test_dates_are_in_order_of_time(archive) -> None:
    """Pitfalls 2.6: the published loaders sort by day of the year and mix two autumns."""
    folder, _ = archive
    patch = read_patches(folder)[0]
    whole = read_patch(folder, patch, size=None)
    assert whole.positions[0].tolist() == [-106, -81, 20, 73, 160, 305]
    stored = np.load(folder / "DATA_S2" / "S2_10000.npy")
    np.testing.assert_allclose(whole.values[0], stored[np.argsort(PASTIS_DATES)] * 1e-4, atol=1e-6)
    assert whole.valid.all()


def test_classes_and_parcels(archive) -> None:
    folder, written = archive
    patch = read_patches(folder)[1]
    whole = read_patch(folder, patch, size=None)
    raw = written[10007].astype(int)
    np.testing.assert_array_equal(whole.labels[0], np.where(raw == 19, -1, raw))
    assert len(CLASSES) == 19
    assert CLASSES[3] == "corn"
    ids = np.load(folder / "ANNOTATIONS" / "ParcelIDs_10007.npy")
    known = (whole.labels[0] >= 0) & (ids > 0)
    assert len(set(zip(ids[known], whole.parcels[0][known], strict=True))) == len(np.unique(ids[known]))
    assert not whole.parcels[0][ids == 0].any()
    assert not whole.parcels[0][raw == 19].any()


def test_pieces_count_as_parcels_without_ids(tmp_path) -> None:
    write_pastis(tmp_path, parcel_ids=False)
    whole = read_patch(tmp_path, read_patches(tmp_path)[0], size=None)
    assert ((whole.parcels > 0) == (whole.labels >= 0)).all()
    for number in np.unique(whole.parcels[whole.parcels > 0]):
        assert len(np.unique(whole.labels[whole.parcels == number])) == 1


def test_published_windows_leave_the_rest_out(archive) -> None:
    folder, _ = archive
    parts = read_patch(folder, read_patches(folder)[0], size=12)
    whole = read_patch(folder, read_patches(folder)[0], size=None)
    assert len(parts) == 4
    assert parts.rows.tolist() == [0, 0, 12, 12]
    assert parts.cols.tolist() == [0, 12, 0, 12]
    for i in range(4):
        at = np.s_[..., parts.rows[i] : parts.rows[i] + 12, parts.cols[i] : parts.cols[i] + 12]
        np.testing.assert_array_equal(parts.values[i], whole.values[0][at])
        np.testing.assert_array_equal(parts.labels[i], whole.labels[0][at])
        np.testing.assert_array_equal(parts.parcels[i], whole.parcels[0][at])


def test_cutting_finer_labels() -> None:
    some = windows(n=3, scale=2, side=6)
    parts = cut(some, 3)
    assert len(parts) == 12
    np.testing.assert_array_equal(parts.labels[6], some.labels[1, 6:, :6])
    np.testing.assert_array_equal(parts.valid[5], some.valid[1, :, :3, 3:])
    assert parts.rows[6] == some.rows[1] + 3
    with pytest.raises(InputError, match="6 x 6 pixels; 7 x 7"):
        cut(some, 7)


def test_folds_dates_and_patch_after_patch(archive) -> None:
    folder, _ = archive
    seen = []
    read = list(read_pastis(folder, folds=(1, 2), size=16, dates=4, progress=seen.append))
    assert [patch.fold for _, patch in read] == [1, 2]
    assert seen == [0.5, 1.0]
    joined = WindowSet.concatenate([part for part, _ in read])
    assert joined.values.shape == (8, 4, 10, 16, 16)
    assert joined.region.tolist() == [0] * 4 + [1] * 4
    assert joined.positions[0, 0] == -106
    assert joined.positions[0, -1] == 305
    assert len(list(read_pastis(folder, most=1, size=16))) == 1
    with pytest.raises(InputError, match="no patch in the folds"):
        list(read_pastis(folder, folds=(5,)))


def test_unusable_archives(archive, tmp_path) -> None:
    folder, _ = archive
    patch = read_patches(folder)[0]
    with pytest.raises(InputError, match=r"metadata\.geojson is missing"):
        read_patches(tmp_path / "elsewhere")
    target = folder / "ANNOTATIONS" / "TARGET_10000.npy"
    target.write_bytes(target.read_bytes()[:500])
    with pytest.raises(InputError, match=r"TARGET_10000\.npy can't be read"):
        read_patch(folder, patch)
    target.unlink()
    with pytest.raises(InputError, match="it is missing"):
        read_patch(folder, patch)
    np.save(target, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="can't be read"):
        read_patch(folder, patch)
    np.save(target, np.zeros((3, 5, 5), np.uint8))
    with pytest.raises(InputError, match="doesn't fit together"):
        read_patch(folder, patch)
    tree = json.loads((folder / "metadata.geojson").read_text())
    del tree["features"][0]["properties"]["Fold"]
    (folder / "metadata.geojson").write_text(json.dumps(tree))
    with pytest.raises(InputError, match="'Fold' is missing"):
        read_patches(folder)
