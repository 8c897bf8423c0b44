"""The tool that makes stores of windows out of published data sets."""

import os
import pickle
import sys

import convert_windows as convert
import layout
import numpy as np
import pytest

sys.path.append(str(layout.ROOT / "engine" / "tests"))
from sits_engine.samples.window_data import WindowData
from sits_engine.samples.windows import WindowSet
from support.published_windows import mtlcc_sample, t31tfm_sample, write_pastis


def write_t31tfm(folder, n=3, **options):
    for i in range(n):
        place = folder / str(2016 + i % 2) / "pkl_timeseries" / "W1"
        place.mkdir(parents=True, exist_ok=True)
        name = f"654142{i}_800224_{2016 + i % 2}.pickle"
        (place / name).write_bytes(pickle.dumps(t31tfm_sample(i, dates=4 + i, **options), 4))
    return folder


def test_t31tfm_by_year_and_place(tmp_path):
    convert.main(["t31tfm", str(tmp_path / "w.zarr"), str(write_t31tfm(tmp_path / "data"))])
    windows = WindowSet.load(tmp_path / "w.zarr")
    assert windows.values.shape == (3, 6, 13, 12, 12)
    assert windows.region.tolist() == [0, 0, 1]
    assert np.abs(windows.xy - [4.3, 45.95]).max() < 0.1
    assert windows.classes[:3] == ("1", "2", "3")
    data = WindowData.open(tmp_path / "w.zarr")
    assert (data.names, data.season_years) == (("2016", "2017"), (2016, 2017))
    assert (data.resolutions, data.mask_clouds) == ((10.0,), False)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["data", "w.zarr"]


def test_finer_labels_and_fixed_dates(tmp_path, monkeypatch):
    monkeypatch.setattr(convert, "BATCH_BYTES", 1)  # every window is a batch of its own
    folder = write_t31tfm(tmp_path / "data", endings=("", "_x2"))
    convert.main(["t31tfm", str(tmp_path / "w.zarr"), str(folder), "--dates", "5", "--scale", "2"])
    windows = WindowSet.load(tmp_path / "w.zarr")
    assert windows.values.shape == (3, 5, 13, 12, 12)
    assert windows.labels.shape == (3, 24, 24)
    assert windows.valid.any(axis=(2, 3)).sum(axis=1).tolist() == [4, 5, 5]


@pytest.mark.parametrize("protocol", [4, 5])
def test_mtlcc_pickles_of_any_protocol(tmp_path, protocol):
    (tmp_path / "data16").mkdir()
    sample = mtlcc_sample()
    (tmp_path / "data16" / "1.pickle").write_bytes(pickle.dumps(sample, protocol))
    convert.main(["mtlcc", str(tmp_path / "w.zarr"), str(tmp_path / "data16")])
    windows = WindowSet.load(tmp_path / "w.zarr")
    np.testing.assert_allclose(windows.values[0, :, 0], sample["x10"][..., 0] * 1e-4, atol=1e-6)
    assert np.isnan(windows.xy).all()
    data = WindowData.open(tmp_path / "w.zarr")
    assert (data.names, data.season_years) == (("data16",), (2016,))


def test_pastis(tmp_path):
    write_pastis(tmp_path / "PASTIS")
    options = ["--folds", "1", "4", "--size", "16", "--dates", "4"]
    convert.main(["pastis", str(tmp_path / "w.zarr"), str(tmp_path / "PASTIS"), *options])
    windows = WindowSet.load(tmp_path / "w.zarr")
    assert windows.values.shape == (8, 4, 10, 16, 16)
    data = WindowData.open(tmp_path / "w.zarr")
    assert (data.folds, data.season_years) == ((1, 4), (2019, 2019))
    assert data.names == ("patch 10000", "patch 10014")


def test_pickles_that_run_code_are_refused_and_nothing_is_written(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'ran'}",)

    folder = write_t31tfm(tmp_path / "data", n=1)
    (folder / "z.pickle").write_bytes(pickle.dumps({"labels": Evil()}))
    with pytest.raises(SystemExit, match=r"z\.pickle is refused"):
        convert.main(["t31tfm", str(tmp_path / "w.zarr"), str(folder)])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["data"]


def test_other_input_is_named(tmp_path):
    target = str(tmp_path / "w.zarr")
    with pytest.raises(SystemExit, match="not found"):
        convert.main(["mtlcc", target, str(tmp_path / "none")])
    with pytest.raises(SystemExit, match="No pickles"):
        convert.main(["mtlcc", target, str(tmp_path)])
    (tmp_path / "a.pickle").write_bytes(pickle.dumps([1, 2]))
    with pytest.raises(SystemExit, match="not a dictionary"):
        convert.main(["mtlcc", target, str(tmp_path)])
    (tmp_path / "a.pickle").write_bytes(pickle.dumps(t31tfm_sample()))
    with pytest.raises(SystemExit, match="has no 'x10'"):
        convert.main(["mtlcc", target, str(tmp_path / "a.pickle")])
    with pytest.raises(SystemExit, match=r"metadata\.geojson is missing"):
        convert.main(["pastis", target, str(tmp_path)])
    assert [p.name for p in tmp_path.iterdir()] == ["a.pickle"]
