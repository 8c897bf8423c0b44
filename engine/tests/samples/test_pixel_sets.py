from __future__ import annotations

import numpy as np
import pytest

from sits_engine.errors import EngineError, InputError
from sits_engine.samples.pixel_sets import STORE, PixelSets, offsets_of


def make_sets(sizes: list[int], dates: int = 4, seed: int = 0, region: int = 0) -> PixelSets:
    rng = np.random.default_rng(seed)
    n, pixels = len(sizes), sum(sizes)
    valid = rng.random((pixels, dates)) < 0.7
    values = rng.random((pixels, dates, 2)).astype(np.float32) * valid[..., None]
    return PixelSets(
        bands=("B04", "B08"),
        values=values,
        valid=valid,
        offsets=offsets_of(sizes),
        positions=np.tile(np.arange(dates, dtype=np.int32) * 10, (n, 1)),
        labels=np.arange(n, dtype=np.int64) % 2,
        classes=("maïs", "wheat"),
        ids=np.array([f"p{i}" for i in range(n)], dtype=np.str_),
        xy=rng.random((n, 2)),
        region=np.full(n, region, dtype=np.int16),
        blocks=np.arange(n, dtype=np.int64),
    )


def test_subset_keeps_each_set_with_its_pixels() -> None:
    sets = make_sets([3, 1, 0, 5])
    part = sets.subset([3, 0, 3])
    assert part.n_pixels.tolist() == [5, 3, 5]
    np.testing.assert_array_equal(part.values[:5], sets.values[4:9])
    np.testing.assert_array_equal(part.values[5:8], sets.values[:3])
    np.testing.assert_array_equal(part.values[8:], sets.values[4:9])
    assert part.ids.tolist() == ["p3", "p0", "p3"]
    assert sets.subset(np.array([False, True, True, False])).ids.tolist() == ["p1", "p2"]
    assert len(sets.subset([])) == 0


def test_concatenate_pads_the_shorter_series_with_invalid_dates() -> None:
    long, short = make_sets([2, 3], dates=4), make_sets([1], dates=2, seed=1, region=1)
    both = PixelSets.concatenate([long, short])
    assert both.values.shape == (6, 4, 2)
    assert not both.valid[5, 2:].any()
    assert both.positions[2].tolist() == [0, 10, 10, 10]
    assert both.region.tolist() == [0, 0, 1]
    np.testing.assert_array_equal(both.values[5, :2], short.values[0])


def test_concatenate_refuses_other_bands() -> None:
    other = make_sets([1])
    other.bands = ("B04", "B03")
    with pytest.raises(ValueError, match="bands"):
        PixelSets.concatenate([make_sets([1]), other])


def test_set_means_match_a_plain_loop() -> None:
    sets = make_sets([3, 0, 1, 6])
    means, seen = sets.set_means()
    for i in range(4):
        values = sets.values[sets.offsets[i] : sets.offsets[i + 1]]
        valid = sets.valid[sets.offsets[i] : sets.offsets[i + 1]]
        for t in range(4):
            assert seen[i, t] == valid[:, t].any()
            if seen[i, t]:
                np.testing.assert_allclose(means[i, t], values[valid[:, t], t].mean(axis=0), rtol=1e-5)
            else:
                assert np.isnan(means[i, t]).all()


def test_zarr_round_trip_with_accents_and_spaces(tmp_path) -> None:
    sets = make_sets([3, 0, 2])
    path = tmp_path / "été 1" / "échantillons.zarr"
    sets.save(path, fingerprint="abc", extra={"n": 1})
    back = PixelSets.load(path)
    for name in ("values", "valid", "offsets", "positions", "labels", "ids", "xy", "region", "blocks"):
        np.testing.assert_array_equal(getattr(back, name), getattr(sets, name))
        assert getattr(back, name).dtype.kind == getattr(sets, name).dtype.kind
    assert (back.bands, back.classes) == (sets.bands, sets.classes)
    assert STORE.facts(path) == ("abc", {"n": 1})
    make_sets([1]).save(path, fingerprint="new")
    assert len(PixelSets.load(path)) == 1
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_folder_of_something_else_is_neither_read_nor_replaced(tmp_path) -> None:
    (tmp_path / "notes.txt").write_text("keep me")
    with pytest.raises(EngineError, match="not a samples store"):
        make_sets([1]).save(tmp_path)
    with pytest.raises(InputError, match="not a samples store"):
        PixelSets.load(tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "keep me"
    assert STORE.facts(tmp_path / "nothing") is None
