from __future__ import annotations

import dataclasses

import geopandas as gpd
import numpy as np
import pytest
from imagery import UTM31, write_image
from shapely.geometry import Point, box
from support.memory_series import MemorySeries, series

from sits_engine.context import JobContext
from sits_engine.errors import Cancelled, InputError
from sits_engine.samples.window_grid import WindowOptions, WindowSources, gather_windows

CORNER = (500000.0, 5600000.0)


def pixels_box(row, col, height, width):
    return box(
        500000 + 10 * col, 5600000 - 10 * (row + height), 500000 + 10 * (col + width), 5600000 - 10 * row
    )


@pytest.fixture
def layer(tmp_path):
    """Two neighbours with the same crop, one with another, far apart a last one; image 80 x 90."""
    shapes = [
        pixels_box(2, 2, 20, 8),
        pixels_box(2, 10, 20, 6),
        pixels_box(30, 2, 20, 30),
        pixels_box(60, 70, 20, 20),
    ]
    path = tmp_path / "p.gpkg"
    gpd.GeoDataFrame({"crop": ["w", "w", "m", "w"]}, geometry=shapes, crs=32631).to_file(path)
    return str(path)


def images(seed=0, **options) -> MemorySeries:
    made = series(seed=seed, **options)
    made.title = f"region {seed}"
    return made


def gather(labels, regions=None, *, bands=(), progress=lambda fraction: None, field="crop", **options):
    sources = WindowSources(
        regions or [images()], [labels] if isinstance(labels, str) else labels, field, bands
    )
    return gather_windows(sources, WindowOptions(**options), progress)


def test_values_labels_and_places(layer) -> None:
    region = images()
    windows, notes = gather(layer, [region], size=20)
    assert windows.classes == ("m", "w")
    assert windows.bands == ("B04", "B08")
    places = list(zip(windows.rows.tolist(), windows.cols.tolist(), strict=True))
    assert places == [(0, 0), (20, 0), (20, 20), (40, 0), (40, 20), (60, 60), (60, 70)]
    assert notes == []
    truth = np.full((80, 90), -1)
    truth[2:22, 2:16], truth[30:50, 2:32], truth[60:80, 70:90] = 1, 0, 1
    for i, (row, col) in enumerate(places):
        at = np.s_[..., row : row + 20, col : col + 20]
        np.testing.assert_array_equal(windows.labels[i], truth[at])
        clear = region.clear[at]
        np.testing.assert_array_equal(windows.valid[i], clear)
        expected = np.where(clear[:, None], region.values[at] * np.float32(1e-4) - np.float32(0.1), 0)
        np.testing.assert_allclose(windows.values[i], expected, atol=1e-6)
    assert windows.positions.tolist() == [[-20, -10, 0, 10, 20]] * 7
    assert np.abs(windows.xy - [3.0, 50.5]).max() < 0.1
    assert len(set(windows.sharing_groups().tolist())) == 6


def test_neighbours_with_the_same_crop_keep_their_numbers(layer) -> None:
    windows, _ = gather(layer, size=20)
    assert windows.parcels[0, 5].tolist() == [0] * 2 + [1] * 8 + [2] * 6 + [0] * 4
    assert windows.labels[0, 5].tolist() == [-1] * 2 + [1] * 14 + [-1] * 4


@pytest.mark.parametrize("scale", [2, 4])
def test_finer_labels_under_the_same_images(tmp_path, scale) -> None:
    path = tmp_path / "p.gpkg"
    shapes = [pixels_box(2.5, 3.25, 10, 10), pixels_box(2.5, 13.25, 10, 10)]
    gpd.GeoDataFrame({"crop": ["a", "b"]}, geometry=shapes, crs=32631).to_file(path)
    windows, _ = gather(str(path), size=24, scale=scale, max_windows=1)
    assert windows.labels.shape == (1, 24 * scale, 24 * scale)
    row = windows.labels[0, 8 * scale].tolist()
    first, second = {2: (6, 26), 4: (13, 53)}[scale]
    # at 5 m the border at 3.25 leaves half a pixel on either side: at least half is enough, but not for two
    assert row.index(0) == first
    assert row.index(1) == second + (scale == 2)
    assert windows.covered[0, 2 * scale, 8 * scale] == pytest.approx({2: 0, 4: 0}[scale])


def test_edges_are_covered_by_a_window_moved_inside(layer) -> None:
    windows, _ = gather(layer, size=24, min_labelled=0.01)
    assert windows.rows.max() == 80 - 24
    assert windows.cols.max() == 90 - 24
    seen = np.zeros((80, 90), bool)
    for row, col in zip(windows.rows, windows.cols, strict=True):
        seen[row : row + 24, col : col + 24] = True
    assert seen[60:80, 70:90].all()


def test_stride_makes_windows_overlap(layer) -> None:
    windows, _ = gather(layer, size=20, stride=10)
    assert len(windows) > 6
    assert (windows.rows % 10 == 0).all()


def test_few_labels_and_many_windows(layer) -> None:
    windows, notes = gather(layer, size=20, min_labelled=0.6)
    assert [float((w >= 0).mean()) >= 0.6 for w in windows.labels] == [True] * len(windows)
    assert 0 < len(windows) < 6
    assert "fewer than 60 % of labelled pixels were left out" in notes[0]
    some, notes = gather(layer, size=20, max_windows=2, seed=5)
    again, _ = gather(layer, size=20, max_windows=2, seed=5)
    others = [gather(layer, size=20, max_windows=2, seed=seed)[0] for seed in range(6)]
    assert len(some) == 2
    assert "2 windows were drawn at random" in notes[-1]
    np.testing.assert_array_equal(some.values, again.values)
    assert any(other.rows.tolist() != some.rows.tolist() for other in others)


def test_several_regions_share_what_is_asked_for(layer) -> None:
    regions = [images(0), images(1, dates=7)]
    windows, _ = gather(layer, regions, size=20, max_windows=4)
    assert windows.region.tolist() == [0, 0, 1, 1]
    assert windows.values.shape[1] == 7
    assert not windows.valid[:2, 5:].any()
    everything, _ = gather(layer, regions, size=20)
    assert everything.region.tolist() == [0] * 7 + [1] * 7


def test_clouds_are_masked_or_kept(layer) -> None:
    masked, _ = gather(layer, size=20)
    kept, _ = gather(layer, size=20, mask_clouds=False)
    assert not masked.valid.all()
    assert kept.valid.all()
    assert (kept.values[~masked.valid[:, :, None].repeat(2, 2)] != 0).all()


def test_bands_in_any_spelling(layer) -> None:
    both, _ = gather(layer, size=20)
    one, _ = gather(layer, size=20, bands=["nir"])
    assert one.bands == ("B08",)
    np.testing.assert_array_equal(one.values[:, :, 0], both.values[:, :, 1])
    with pytest.raises(InputError, match="no band"):
        gather(layer, size=20, bands=["B11"])


def test_a_label_raster(tmp_path) -> None:
    values = np.zeros((1, 160, 180), np.uint16)
    values[0, 3:30, 4:41], values[0, 100:140, 50:90] = 12, 5
    path = write_image(tmp_path / "l.tif", values, None, corner=CORNER, size=5.0, crs=UTM31)
    windows, _ = gather(str(path), field=None, size=20, scale=2, min_labelled=0.001)
    assert windows.classes == ("12", "5")
    first = windows.labels[(windows.rows == 0) & (windows.cols == 0)][0]
    np.testing.assert_array_equal(first >= 0, values[0, :40, :40] > 0)
    assert set(windows.labels[windows.labels >= 0].tolist()) == {0, 1}
    assert windows.counts.tolist() == [27 * 37, 40 * 40]
    with pytest.raises(InputError, match="doesn't lie on the grid of region 0"):
        gather(str(path), field=None, size=20)


def test_several_layers_of_one_series_are_one(layer, tmp_path) -> None:
    path = tmp_path / "q.gpkg"
    gpd.GeoDataFrame({"crop": ["b"]}, geometry=[pixels_box(2, 16, 20, 4)], crs=32631).to_file(path)
    windows, _ = gather([layer, str(path)], size=20)
    assert windows.classes == ("b", "m", "w")
    assert windows.parcels[0, 5].tolist() == [0] * 2 + [1] * 8 + [2] * 6 + [5] * 4


def test_never_clear_windows_are_dropped(layer) -> None:
    region = images()
    region.clear[1:, :20, :20] = False
    windows, notes = gather(layer, [region], size=20)
    assert (0, 0) not in set(zip(windows.rows.tolist(), windows.cols.tolist(), strict=True))
    assert "1 windows with clear pixels on fewer than 3 dates were dropped" in notes[-1]
    region.clear[:] = False
    with pytest.raises(InputError, match="No window of 20 x 20 pixels can be used"):
        gather(layer, [region], size=20)


def test_cancel_while_burning_and_while_reading(layer) -> None:
    for stop in (0.01, 0.6):
        ctx = JobContext()

        def progress(fraction: float, ctx=ctx, stop=stop) -> None:
            if fraction >= stop:
                ctx.cancel()
            ctx.progress(fraction)

        with pytest.raises(Cancelled):
            gather(layer, size=20, progress=progress)


def test_memory_limits_the_windows(layer, monkeypatch) -> None:
    import psutil

    small = dataclasses.make_dataclass("Memory", ["total", "available"])(5 * 10**5, 10**6)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: small)
    windows, notes = gather(layer, size=20)
    assert len(windows) < 6
    assert any("set MAX_WINDOWS to" in note for note in notes)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"size": 96}, "region 0 have 80 x 90 pixels; a window of 96 x 96 doesn't fit"),
        ({"scale": 3}, "SCALE is 3"),
        ({"stride": 0}, "STRIDE"),
        ({"field": None}, "without FIELD"),
        ({"field": "none"}, "no field 'none'"),
        ({"regions": [images(0, dates=2)]}, "has 2 dates"),
        ({"regions": [images(0), images(1), images(2)], "twice": True}, "3 time series and 2 layers"),
        ({"min_labelled": 1.0, "size": 48}, r"100 % of labelled pixels were left out \(the best has"),
    ],
)
def test_bad_input(layer, options, words) -> None:
    labels = [layer, layer] if options.pop("twice", False) else layer
    with pytest.raises(InputError, match=words):
        gather(labels, **{"size": 20, **options})


def test_nothing_given_and_points(tmp_path, layer) -> None:
    with pytest.raises(InputError, match="no parcels or label raster are given"):
        gather([])
    with pytest.raises(InputError, match="no time series are given"):
        gather_windows(WindowSources([], [layer], "crop"), WindowOptions())
    path = tmp_path / "points.gpkg"
    gpd.GeoDataFrame({"crop": ["w"]}, geometry=[Point(500050, 5599950)], crs=32631).to_file(path)
    with pytest.raises(InputError, match="holds points, which cover no pixel"):
        gather(str(path))
    raster = write_image(tmp_path / "l.tif", np.ones((1, 80, 90), np.uint8), None, corner=CORNER)
    with pytest.raises(InputError, match="of which 1 are rasters"):
        gather([layer, str(raster)])
