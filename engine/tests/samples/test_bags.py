from __future__ import annotations

import geopandas as gpd
import numpy as np
import pytest
import shapely
from shapely.affinity import translate
from shapely.geometry import box
from support.memory_series import series

from sits_engine.context import JobContext
from sits_engine.errors import Cancelled, InputError
from sits_engine.samples.bags import cut_bags
from sits_engine.samples.dates import thinned
from sits_engine.samples.label_windows import LabelWindows

TICKS = {"wheat": [True, False, True, False], "maize": [False, True, True, False], "done": [True] * 4}


def at(row, col, height, width):
    """A rectangle of pixels of the series, which has 80 x 90."""
    x, y = 500000 + 10 * col, 5600000 - 10 * row
    return box(x, y - 10 * height, x + 10 * width, y)


def windows(tmp_path, shapes, crs=32631, **columns) -> LabelWindows:
    given = {name: values[: len(shapes)] for name, values in {**TICKS, **columns}.items()}
    path = tmp_path / "w.gpkg"
    gpd.GeoDataFrame(given, geometry=shapes, crs=32631).to_crs(crs).to_file(path)
    return LabelWindows.read(str(path))


def places(bags):
    return list(zip(bags.bag.tolist(), bags.windows.rows.tolist(), bags.windows.cols.tolist(), strict=True))


def test_squares_of_the_size_are_one_window_each(tmp_path) -> None:
    images = series()
    labels = windows(tmp_path, [at(0, 0, 16, 16), at(64, 74, 16, 16), at(16, 32, 16, 16), at(32, 0, 16, 16)])
    bags = cut_bags(images, labels, 16)
    assert places(bags) == [(0, 0, 0), (1, 64, 74), (2, 16, 32), (3, 32, 0)]
    assert bags.classes == ("wheat", "maize")
    assert bags.present.astype(int).tolist() == [[1, 0], [0, 1], [1, 1], [0, 0]]
    assert bags.inside.all()
    assert bags.inside.shape == (4, 16, 16)
    assert bags.ids.tolist() == ["1", "2", "3", "4"]
    for i, (_, row, col) in enumerate(places(bags)):
        part = np.s_[..., row : row + 16, col : col + 16]
        clear = images.clear[part]
        np.testing.assert_array_equal(bags.windows.valid[i], clear)
        expected = np.where(clear[:, None], images.values[part] * np.float32(1e-4) - np.float32(0.1), 0)
        np.testing.assert_allclose(bags.windows.values[i], expected, atol=1e-6)
    assert bags.windows.bands == ("B04", "B08")
    assert bags.windows.positions.tolist() == [[-20, -10, 0, 10, 20]] * 4
    assert (bags.windows.labels == -1).all()
    assert bags.warnings == []
    assert bags.notes == ["w.gpkg: 1 windows are done without a tick: they hold none of the classes."]
    assert thinned(bags.windows, 3).values.shape[1] == 3
    few = bags.subset(np.array([False, True, True, False]))
    assert few.present.astype(int).tolist() == [[0, 1], [1, 1]]
    assert places(few) == [(1, 64, 74), (2, 16, 32)]


def test_other_shapes_are_cut_into_windows_that_share_the_ticks(tmp_path) -> None:
    ell = at(0, 0, 32, 32).difference(at(16, 16, 16, 16).union(at(14, 28, 2, 4)))
    bags = cut_bags(series(), windows(tmp_path, [ell, at(30, 40, 36, 20), at(70, 3, 4, 6)]), 16)
    # the L loses its fourth window, 36 x 20 pixels get three windows in a row that stick out alike, 4 x 6 one
    assert places(bags) == [
        (0, 0, 0),
        (0, 0, 16),
        (0, 16, 0),
        *[(1, 24 + 16 * i, 34 + 16 * j) for i in range(3) for j in range(2)],
        (2, 64, 0),  # centred it would begin at row 64, column -2: it stays inside the image
    ]
    assert bags.present.astype(int).tolist() == [[1, 0]] * 3 + [[0, 1]] * 6 + [[1, 1]]
    assert bags.inside[[0, 2]].all()
    assert bags.inside[1].sum() == 256 - 8
    assert not bags.inside[1][14:, 12:].any()
    assert bags.inside[bags.bag == 1].sum() == 36 * 20
    assert np.argwhere(bags.inside[-1]).min(axis=0).tolist() == [6, 3]
    assert bags.inside[-1].sum() == 24


def test_windows_hardly_inside_are_dropped_but_one_stays(tmp_path) -> None:
    # a bar of 3 x 40 pixels lies in three windows by 3/16 or less each; a triangle's corners are cut off
    bar = at(5, 5, 3, 40)
    labels = windows(tmp_path, [bar, at(30, 30, 16, 16)])
    bags = cut_bags(series(), labels, 16, least_inside=0.18)
    assert (bags.bag == 0).sum() == 1
    assert bags.inside[0].sum() == 48
    bags = cut_bags(series(), labels, 16, least_inside=0.1)
    assert bags.inside[bags.bag == 0].sum() == 120
    assert (bags.bag == 0).sum() == 3


def test_a_square_off_the_pixels_is_a_polygon(tmp_path) -> None:
    off = translate(at(16, 16, 16, 16), 4, -3)
    bags = cut_bags(series(), windows(tmp_path, [off, at(40, 40, 16, 16)]), 16)
    assert places(bags) == [(0, 16, 16), (1, 40, 40)]
    # 0.6 of each pixel of the first column and 0.7 of the first row, so that one corner has less than half
    assert np.argwhere(~bags.inside).tolist() == [[0, 0, 0]]
    assert any("1 squares of 16 x 16 pixels don't lie on the pixels of a.json" in note for note in bags.notes)
    # another CRS turns squares a little
    turned = cut_bags(series(), windows(tmp_path, [at(16, 16, 16, 16), at(40, 40, 16, 16)], crs=3035), 16)
    assert places(turned) == places(bags)
    assert turned.inside.mean() > 0.98


def test_windows_partly_outside_of_the_image_are_left_out_and_counted(tmp_path) -> None:
    shapes = [at(0, 0, 16, 16), at(64, 0, 16.1, 16), at(70, 20, 16, 16), at(200, 200, 16, 16)]
    bags = cut_bags(series(), windows(tmp_path, shapes), 16)
    assert places(bags) == [(0, 0, 0), (1, 64, 0)]
    assert bags.ids.tolist() == ["1", "2"]
    assert "w.gpkg: 1 of 4 features lie outside the images of a.json and were dropped." in bags.notes
    assert any(
        "1 of 4 windows reach out of the images of a.json and were left out" in note for note in bags.notes
    )
    with pytest.raises(InputError, match=r"Every window of w.gpkg reaches out of the images of a.json"):
        cut_bags(series(), windows(tmp_path, [at(70, 0, 16, 16), at(70, 20, 16, 16)]), 16)
    with pytest.raises(
        InputError, match=r"The windows of w.gpkg don't overlap the images of a.json. Windows: x"
    ):
        cut_bags(series(), windows(tmp_path, [at(700, 0, 16, 16), at(700, 20, 16, 16)]), 16)


def test_classes_that_are_only_outside_are_gone(tmp_path) -> None:
    shapes = [at(0, 0, 16, 16), at(16, 16, 16, 16), at(70, 20, 16, 16)]
    columns = {"wheat": [True, False, True], "maize": [False, True, False], "rye": [False, False, True]}
    bags = cut_bags(series(), windows(tmp_path, shapes, **columns), 16)
    assert bags.classes == ("wheat", "maize")
    assert bags.present.shape == (2, 2)
    assert bags.warnings == ["In no window of w.gpkg, left out: rye."]
    columns = {"wheat": [True, True, True], "maize": [False, False, True]}
    with pytest.raises(InputError, match="only one class is ticked, 'wheat'"):
        cut_bags(series(), windows(tmp_path, shapes, **columns), 16)


def test_a_draw_takes_from_the_polygons_with_most_windows(tmp_path) -> None:
    labels = windows(tmp_path, [at(0, 0, 80, 64), at(64, 70, 16, 16), at(0, 70, 16, 20)])
    assert np.bincount(cut_bags(series(), labels, 16).bag).tolist() == [20, 1, 2]
    bags = cut_bags(series(), labels, 16, max_windows=8, seed=3)
    assert np.bincount(bags.bag).tolist() == [5, 1, 2]
    assert "8 of 23 windows were drawn at random, at least one of each polygon (seed 3)." in bags.notes
    assert np.bincount(cut_bags(series(), labels, 16, max_windows=1).bag).tolist() == [1, 1, 1]
    assert places(cut_bags(series(), labels, 16, max_windows=8, seed=3)) == places(bags)
    assert places(cut_bags(series(), labels, 16, max_windows=8, seed=4)) != places(bags)


def test_what_cannot_be_read(tmp_path) -> None:
    labels = windows(tmp_path, [at(0, 0, 16, 16), at(16, 0, 16, 16)])
    with pytest.raises(InputError, match="a window of 84 x 84 doesn't fit"):
        cut_bags(series(), labels, 84)
    with pytest.raises(InputError, match="has 2 dates; at least 3 are needed"):
        cut_bags(series(dates=2), labels, 16)
    with pytest.raises(InputError, match="no band"):
        cut_bags(series(), labels, 16, bands=["B11"])
    dark = series()
    dark.clear[:, 16:32, :16] = False
    with pytest.raises(InputError, match="only one class is ticked, 'wheat'"):
        cut_bags(dark, labels, 16)
    assert len(cut_bags(dark, labels, 16, mask_clouds=False)) == 2
    dark.clear[:] = False
    with pytest.raises(InputError, match=r"No window of w.gpkg can be used: .*fewer than 3 dates"):
        cut_bags(dark, labels, 16)


def test_polygons_without_a_pixel(tmp_path) -> None:
    sliver = shapely.box(500204, 5599500, 500208, 5599900)
    labels = windows(tmp_path, [at(0, 0, 16, 16), at(16, 0, 16, 16), sliver])
    bags = cut_bags(series(), labels, 16)
    assert bags.ids.tolist() == ["1", "2"]
    assert "w.gpkg: 1 polygons hold not a single pixel and were left out." in bags.notes


def test_reading_in_pieces_can_be_stopped(tmp_path) -> None:
    images, ctx = series(), JobContext()

    def stop(fraction: float) -> None:
        if fraction > 0.05:
            ctx.cancel()
        ctx.check_cancelled()

    labels = windows(tmp_path, [at(0, 0, 32, 32), at(48, 48, 16, 16)])
    with pytest.raises(Cancelled):
        cut_bags(images, labels, 16, progress=stop)
    told: list[float] = []
    cut_bags(images, labels, 16, progress=told.append)
    assert told == sorted(told)
    assert told[-1] == 1
