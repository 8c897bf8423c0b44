import datetime
import json
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from affine import Affine
from imagery import BANDS, DATES, UTM31, UTM32, ramp, write_folder, write_image

from sits_engine.errors import InputError
from sits_engine.series import gridding
from sits_engine.series.item_collection import Document, write_document
from sits_engine.series.raster_files import NumberRules, find, scenes_of_files
from sits_engine.series.time_series import TimeSeries
from sits_engine.series.types import Grid, Window


def series_of(folder, rules=None, **document):
    """Write a collection beside the images, and open it."""
    scenes = scenes_of_files(find(folder), rules or NumberRules())
    path = folder / "series.json"
    write_document(path, Document(tuple(scenes), **document))
    return TimeSeries.open(path)


def test_values_are_those_of_the_files(tmp_path):
    written = write_folder(tmp_path / "à b", DATES[::-1])
    series = series_of(tmp_path / "à b")
    assert series.dates == DATES
    assert series.bands == BANDS
    assert series.positions.tolist() == [63, 94, 124, 155, 185]
    cube = series.read(series.grid.whole, series.bands)
    assert cube.values.dtype == np.uint16
    for t, date in enumerate(DATES):
        np.testing.assert_array_equal(cube.values[t], written[date])
    assert cube.valid.all()
    np.testing.assert_allclose(cube.physical(), cube.values * 1e-4, rtol=1e-6)


def test_a_window_and_bands_in_another_order(tmp_path):
    written = write_folder(tmp_path)
    series = series_of(tmp_path)
    cube = series.read(Window(3, 5, 4, 6), ["B08", "B02"])
    np.testing.assert_array_equal(cube.values[2], written[DATES[2]][[2, 0], 3:7, 5:11])


def test_outside_of_the_images_is_missing(tmp_path):
    written = write_folder(tmp_path)
    series = series_of(tmp_path)
    cube = series.read(Window(-2, -3, 6, 6), BANDS)
    assert not cube.observed[:, :2].any()
    assert not cube.observed[:, :, :3].any()
    assert cube.observed[:, 2:, 3:].all()
    np.testing.assert_array_equal(cube.values[0, :, 2:, 3:], written[DATES[0]][:, :4, :3])
    assert not cube.values[:, :, :2].any()
    assert not series.read(Window(500, 500, 3, 3), BANDS).observed.any()


def test_nodata_and_clouds(tmp_path):
    for number, date in enumerate(DATES):
        values = ramp(3, 4, 4)
        values[2] = 4
        values[2, 0, :] = [3, 8, 9, 5]  # shadow, cloud, cloud, soil
        values[:, 3, 0] = 0
        values[1, 3, 1] = 0  # missing in one band: the pixel can't be used
        if number == 1:
            values[2] = 9  # wholly clouded
        if number == 2:
            values[:] = 0  # wholly missing
        write_image(tmp_path / f"{date:%Y%m%d}.tif", values, ["B02", "B04", "SCL"])
    series = series_of(tmp_path)
    assert series.bands == ("B02", "B04")
    cube = series.read(series.grid.whole, series.bands)
    assert cube.valid[0].tolist() == [
        [False, False, False, True],
        [True] * 4,
        [True] * 4,
        [False, False, True, True],
    ]
    assert cube.observed[0].sum() == 14
    assert not cube.valid[1:3].any()
    assert cube.observed[1].sum() == 14
    assert not cube.observed[2].any()
    assert not cube.values[0, :, 0, :3].any()
    kept = series.read(series.grid.whole, series.bands, keep_clouds=True)
    assert kept.values[0, 0, 0].tolist() == [1000, 1001, 1002, 1003]
    np.testing.assert_array_equal(kept.valid, cube.observed)
    assert not kept.values[:, :, 3, :2].any()


def test_float_images_with_nan(tmp_path):
    for date in DATES:
        values = ramp(2, 3, 3, dtype="float32") / 10000
        values[0, 1, 1] = np.nan
        write_image(tmp_path / f"{date}.tif", values, ["B04", "B08"], nodata=None)
    cube = series_of(tmp_path).read(Window(0, 0, 3, 3), ["B04", "B08"])
    assert cube.valid.sum() == len(DATES) * 8
    assert np.isfinite(cube.values).all()
    assert cube.values[0, 1, 1, 1] == 0
    assert cube.scale.max() == 1


def test_scenes_of_a_date_are_mosaicked_clear_first(tmp_path):
    """Two halves that overlap in columns 4 and 5; the newer one is clouded in column 4."""
    for date in DATES:
        left, right = ramp(2, 4, 6), ramp(2, 4, 6, start=5000)
        left[1] = right[1] = 4
        right[1, :, 0] = 9
        write_image(tmp_path / f"L_{date}.tif", left, ["B04", "SCL"])
        path = tmp_path / f"R_{date}.tif"
        write_image(path, right, ["B04", "SCL"], corner=(600040.0, 5600000.0))
        os.utime(path, (2e9, 2e9))
    series = series_of(tmp_path)
    assert (len(series.dates), series.grid.width) == (len(DATES), 10)
    cube = series.read(series.grid.whole, series.bands)
    assert cube.valid.all()
    assert cube.values[0, 0, 0].tolist() == [1000, 1001, 1002, 1003, 1004, 5001, 5002, 5003, 5004, 5005]


def test_scenes_of_a_date_with_other_offsets(tmp_path):
    for date in DATES:
        write_image(
            tmp_path / f"A_{date}.tif", np.full((1, 2, 2), 3000, "uint16"), ["B04"], scale=1e-4, offset=0.0
        )
        write_image(
            tmp_path / f"B_{date}.tif",
            np.full((1, 2, 2), 4000, "uint16"),
            ["B04"],
            corner=(600020.0, 5600000.0),
            scale=1e-4,
            offset=-0.1,
        )
    cube = series_of(tmp_path).read(Window(0, 0, 2, 4), ["B04"])
    np.testing.assert_allclose(cube.physical(), 0.3, atol=1e-6)


def test_bands_of_two_resolutions_are_read_on_the_finer_grid(tmp_path):
    for date in DATES:
        write_image(tmp_path / f"{date:%Y%m%d}_B02_10m.tif", np.full((1, 8, 8), 1000, "uint16"), None)
        coarse = np.full((1, 4, 4), 2000, "uint16")
        coarse[0, :, 2:] = 4000
        write_image(tmp_path / f"{date:%Y%m%d}_B05_20m.tif", coarse, None, size=20)
        scl = np.full((1, 4, 4), 4, "uint8")
        scl[0, 1, 1] = 9
        write_image(tmp_path / f"{date:%Y%m%d}_SCL_20m.tif", scl, None, size=20)
    series = series_of(tmp_path)
    assert series.grid.resolution == (10, 10)
    cube = series.read(series.grid.whole, ["B02", "B05"])
    assert np.argwhere(~cube.valid[0]).tolist() == [[2, 2], [2, 3], [3, 2], [3, 3]]
    row = cube.values[0, 1, 7].tolist()
    assert row[:3] == [2000, 2000, 2000]
    assert row[-3:] == [4000, 4000, 4000]
    assert row[3] == 2500  # bilinear
    assert row[4] == 3500
    part = series.read(Window(3, 1, 3, 6), ["B02", "B05"])  # odd offsets against the coarse grid
    np.testing.assert_array_equal(part.values, cube.values[:, :, 3:6, 1:7])
    np.testing.assert_array_equal(part.valid, cube.valid[:, 3:6, 1:7])


def smooth(grid_corner, size, shape, crs, target=UTM31):
    """Reflectance that is a plane in the target CRS, sampled on any grid."""
    from rasterio.warp import transform

    rows, cols = np.indices(shape)
    x = grid_corner[0] + (cols + 0.5) * size
    y = grid_corner[1] - (rows + 0.5) * size
    xs, ys = transform(crs, target, x.ravel(), y.ravel())
    plane = 3000 + (np.array(xs) - 799000) / 2 + (np.array(ys) - 5600000) / 3
    return plane.reshape(shape)


def test_two_utm_zones_in_one_map(tmp_path):
    """Neighbouring scenes of zones 31 and 32, as at a zone border: each place keeps its own value."""
    from rasterio.warp import transform_bounds

    corner31 = (799000.0, 5600000.0)
    box = transform_bounds(UTM31, UTM32, 799300, 5599400, 799900, 5600000)
    corner32 = (float(np.floor(box[0] / 10) * 10), float(np.ceil(box[3] / 10) * 10))
    for date in DATES:
        west = smooth(corner31, 10, (60, 40), UTM31)[None].astype("uint16")
        east = np.rint(smooth(corner32, 10, (70, 70), UTM32)[None]).astype("uint16")
        write_image(tmp_path / f"west_{date}.tif", west, ["B04"], corner=corner31)
        write_image(tmp_path / f"west2_{date}.tif", west, ["B04"], corner=(corner31[0], corner31[1] + 600))
        write_image(tmp_path / f"east_{date}.tif", east, ["B04"], corner=corner32, crs=UTM32)
    series = series_of(tmp_path)
    assert gridding.same_crs(series.grid.crs, gridding.parse_crs(UTM31))
    whole = series.read(series.grid.whole, ["B04"])
    row0 = round((series.grid.bounds[3] - 5600000) / 10)
    col0 = round((799000 - series.grid.bounds[0]) / 10)
    part = whole.values[0, 0, row0 + 5 : row0 + 50, col0 : col0 + 85].astype(float)
    seen = whole.observed[0, row0 + 5 : row0 + 50, col0 : col0 + 85]
    expected = smooth((799000.0, 5599950.0), 10, part.shape, UTM31)
    assert seen.all()
    error = np.abs(part - expected)
    assert np.median(error) <= 0.5  # the plane rises by 5 a column: a shift by a pixel would show
    assert error.max() <= 4.2  # half a pixel at the very edge of a scene


def test_another_grid(tmp_path):
    write_folder(tmp_path)
    series = series_of(tmp_path)
    coarse = Grid(series.grid.crs, series.grid.transform * Affine.scale(2), 6, 8)
    other = series.with_grid(coarse)
    assert other.read(coarse.whole, BANDS).values.shape == (5, 3, 6, 8)
    assert other.fingerprint() != series.fingerprint()
    assert TimeSeries.open(series.path, grid=coarse).grid == coarse


def test_many_threads_read_the_same(tmp_path):
    write_folder(tmp_path)
    series = series_of(tmp_path)
    windows = [Window(r, c, 4, 4) for r in range(0, 12, 2) for c in range(0, 16, 2)]
    whole = series.read(Window(0, 0, 20, 20), BANDS)
    with ThreadPoolExecutor(6) as pool:
        cubes = list(pool.map(lambda w: series.read(w, BANDS), windows))
    for w, cube in zip(windows, cubes, strict=True):
        np.testing.assert_array_equal(cube.values, whole.values[..., w.row : w.row + 4, w.col : w.col + 4])


def test_open_files_are_bounded(tmp_path):
    write_folder(tmp_path)
    series = series_of(tmp_path)
    series._pool._limit = 2
    series.read(series.grid.whole, BANDS)
    assert series._pool._count <= 2
    series.close()
    assert series._pool._count == 0
    assert series.read(series.grid.whole, BANDS).valid.all()


def test_fingerprint_sees_changed_files(tmp_path):
    write_folder(tmp_path)
    series = series_of(tmp_path)
    before = series.fingerprint()
    assert TimeSeries.open(series.path).fingerprint() == before
    write_image(tmp_path / f"S2_{DATES[0]:%Y%m%d}.tif", ramp(3, 12, 16, start=2000))
    assert TimeSeries.open(series.path).fingerprint() != before


def test_wanted_bands_by_any_name(tmp_path):
    write_folder(tmp_path)
    series = series_of(tmp_path)
    assert series.match_bands(["nir", "Blue", "B4"]) == ["B08", "B02", "B04"]
    np.testing.assert_array_equal(
        series.read(series.grid.whole, ["nir"]).values, series.read(series.grid.whole, ["B08"]).values
    )
    with pytest.raises(InputError, match=r"no band B11, NDVI.*Wanted: B02, B11, NDVI.*series: B02, B04, B08"):
        series.match_bands(["B02", "B11", "NDVI"])


def test_a_band_that_some_dates_lack_is_named_with_the_dates(tmp_path):
    write_folder(tmp_path)
    write_image(tmp_path / f"S2_{DATES[1]:%Y%m%d}.tif", ramp(2, 12, 16), ["B02", "B04"])
    series = series_of(tmp_path)
    assert series.bands == ("B02", "B04")
    with pytest.raises(InputError, match=r"B08 is missing in 1 of 5 dates \(2019-04-05"):
        series.match_bands(["B08"])


def test_season_year(tmp_path):
    write_folder(tmp_path)
    series = series_of(tmp_path, season_year=2020)
    assert series.positions[0] == 63 - 365
    assert TimeSeries.open(series.path, season_year=2019).positions[0] == 63


def test_a_missing_image_is_named(tmp_path):
    write_folder(tmp_path)
    series = series_of(tmp_path)
    (tmp_path / "S2_20190405.tif").unlink()
    with pytest.raises(InputError, match=r"Image of 2019-04-05 not found: .*S2_20190405\.tif"):
        TimeSeries.open(series.path)
    with pytest.raises(InputError, match=r"not found: .*S2_20190405\.tif"):
        series.read(series.grid.whole, BANDS)


@pytest.mark.parametrize("damage", ["truncated", "overwritten"])
def test_an_image_damaged_later_is_found_when_read(tmp_path, damage):
    noise = np.random.default_rng(0).integers(1, 9000, (3, 64, 64)).astype("uint16")
    for date in DATES:
        write_image(tmp_path / f"{date}.tif", noise, compress="deflate")
    series = series_of(tmp_path)
    broken = tmp_path / f"{DATES[3]}.tif"
    if damage == "truncated":
        os.truncate(broken, broken.stat().st_size * 2 // 3)
    else:
        content = bytearray(broken.read_bytes())
        content[1000 : len(content) // 2] = bytes(len(content) // 2 - 1000)
        broken.write_bytes(content)
    with pytest.raises(InputError, match=rf"can't be read: .*{DATES[3]}\.tif"):
        series.read(series.grid.whole, BANDS)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "broken JSON"),
        ("[1, 2]", "isn't a STAC item collection"),
        ('{"type": "FeatureCollection", "features": []}', "is empty"),
        (
            '{"type": "FeatureCollection", "features": [{"type": "Feature", "geometry": null}]}',
            "isn't a STAC",
        ),
        ('{"type": "Catalog", "links": []}', "is a STAC catalog"),
    ],
)
def test_files_that_are_no_series(tmp_path, text, reason):
    path = tmp_path / "série.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=reason) as error:
        TimeSeries.open(path)
    assert "série.json" in error.value.message


def test_binary_missing_and_folder(tmp_path):
    (tmp_path / "a.tif").write_bytes(b"II*\x00\xff\xfe\xfa")
    for path, reason in (
        (tmp_path / "a.tif", "no time series"),
        (tmp_path / "b", "not found"),
        (tmp_path, "folder"),
    ):
        with pytest.raises(InputError, match=reason):
            TimeSeries.open(path)


def test_too_short(tmp_path):
    write_folder(tmp_path, DATES[:2])
    with pytest.raises(InputError, match="too short: 2 dates"):
        series_of(tmp_path)


def test_damaged_extra_field(tmp_path):
    write_folder(tmp_path)
    series = series_of(tmp_path, grid=None)
    plain = json.loads(series.path.read_text())
    plain["sits:series"]["grid"] = {"crs": "EPSG:32631"}
    series.path.write_text(json.dumps(plain))
    with pytest.raises(InputError, match="damaged field sits:series"):
        TimeSeries.open(series.path)


def test_a_moved_folder_still_opens(tmp_path):
    write_folder(tmp_path / "here")
    series = series_of(tmp_path / "here")
    values = series.read(series.grid.whole, BANDS).values
    (tmp_path / "here").rename(tmp_path / "thére")
    moved = TimeSeries.open(tmp_path / "thére" / "series.json")
    np.testing.assert_array_equal(moved.read(moved.grid.whole, BANDS).values, values)
    assert datetime.date(2019, 3, 5) in moved.dates


def test_an_overview_shows_a_pixel_of_each_cell_and_its_own_mask(tmp_path):
    for date in DATES:
        values = ramp(2, 64, 96)
        values[1] = 4
        values[1, 32:, :48] = 9
        write_image(tmp_path / f"{date}.tif", values, ["B04", "SCL"])
    series = series_of(tmp_path)
    coarse, step = series.overview(12)
    assert (step, coarse.grid.height, coarse.grid.width) == (8, 8, 12)
    cube = coarse.read(coarse.grid.whole, ["B04"], keep_clouds=True)
    rows, cols = np.divmod(cube.values[0, 0].astype(int) - 1000, 96)
    assert (rows // 8 == np.arange(8)[:, None]).all()
    assert (cols // 8 == np.arange(12)).all()
    clear = coarse.read(coarse.grid.whole, ["B04"]).valid[0]
    assert not clear[4:, :6].any()
    assert clear[:4].all()
    assert clear[4:, 6:].all()
    assert series.overview(96) == (series, 1)
