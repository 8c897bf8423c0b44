"""Training windows of real Sentinel-2 patches in Flanders: parcels, label rasters and finer labels agree."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio

from sits_engine.context import JobContext
from sits_engine.jobs.build_time_series import BuildTimeSeries
from sits_engine.jobs.export_training_windows import ExportTrainingWindows
from sits_engine.samples.windows import WindowSet

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def export(folder, tmp_path, name, **params) -> WindowSet:
    series = tmp_path / f"{folder.name}.json"
    if not series.exists():
        BuildTimeSeries.parse({"input_folder": str(folder / "images"), "output": str(series)}).run(
            JobContext()
        )
    given = {"series": [str(series)], "output": str(tmp_path / name), "min_labelled": 0, "window": 16}
    ExportTrainingWindows.parse({**given, **params}).run(JobContext())
    return WindowSet.load(tmp_path / name)


def assembled(windows: WindowSet, codes: np.ndarray, height: int, width: int) -> np.ndarray:
    """Codes of the windows put together, 0 where unknown or in no window."""
    out = np.zeros((height * windows.scale, width * windows.scale), dtype=int)
    side = windows.size[0] * windows.scale
    for labels, row, col in zip(windows.labels, windows.rows, windows.cols, strict=True):
        at = np.s_[row * windows.scale :, col * windows.scale :]
        out[at][:side, :side] = np.where(labels >= 0, codes[labels], 0)
    return out


def read(path) -> np.ndarray:
    with rasterio.open(path) as file:
        return file.read(1)


def test_polygons_of_a_raster_give_the_raster_back(real_data, tmp_path) -> None:
    folder = real_data("s2_flanders_lpis_patches") / "patch_0000280849BAC91C_2019"
    truth = read(folder / "labels_croptype.tif")
    raster = export(folder, tmp_path, "r.zarr", labels=str(folder / "labels_croptype.tif"))
    codes = np.array([int(code) for code in raster.classes])
    np.testing.assert_array_equal(assembled(raster, codes, *truth.shape), truth)
    parcels = export(
        folder, tmp_path, "p.zarr", parcels=str(folder / "parcels_from_raster.gpkg"), field="ct_code"
    )
    own = np.array([int(code) for code in parcels.classes])
    burnt = assembled(parcels, own, *truth.shape)
    # the layer leaves out pieces smaller than 500 m2
    assert (burnt[burnt > 0] == truth[burnt > 0]).all()
    assert (burnt > 0).sum() >= 0.95 * (truth > 0).sum()
    assert 0.3 < raster.valid.mean() < 1
    assert 0 < raster.values[raster.valid[:, :, None].repeat(len(raster.bands), 2)].mean() < 0.6


def test_finer_labels_than_images(real_data, tmp_path) -> None:
    folder = real_data("s2_flanders_lpis_patches") / "patch_000028085BF08E7E_2019"
    truth = read(folder / "labels_croptype.tif")
    windows = export(
        folder, tmp_path, "f.zarr", labels=str(folder / "labels_croptype.tif"), scale=2, n_dates=30
    )
    assert windows.values.shape[1] == 30
    codes = np.array([int(code) for code in windows.classes])
    np.testing.assert_array_equal(assembled(windows, codes, 32, 32), truth)
