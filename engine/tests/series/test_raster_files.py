import datetime
import os

import numpy as np
import pytest
from imagery import BANDS, DATES, ramp, write_folder, write_image

from sits_engine.errors import InputError
from sits_engine.series.raster_files import NumberRules, find, scenes_of_files


def scenes_of(folder, rules=None, **options):
    return scenes_of_files(find(folder), rules or NumberRules(), **options)


def test_one_file_a_date(tmp_path):
    write_folder(tmp_path / "été 2019")
    scenes = scenes_of(tmp_path / "été 2019")
    assert [scene.date for scene in scenes] == list(DATES)
    assert [band.name for band in scenes[0].bands] == list(BANDS)
    assert {(b.scale, b.offset, b.nodata, b.dtype) for s in scenes for b in s.bands} == {
        (1e-4, 0.0, 0.0, "uint16")
    }


def test_one_file_a_band_and_date_of_two_resolutions(tmp_path):
    for date in DATES:
        for name, size in (("B02", 10), ("B05", 20)):
            side = 80 // size
            path = tmp_path / f"T31_{date:%Y%m%d}_{name}_{size}m.tif"
            write_image(path, ramp(1, side, side), None, size=size)
    scenes = scenes_of(tmp_path)
    assert len(scenes) == len(DATES)
    assert [(b.name, b.grid.resolution[0]) for b in scenes[0].bands] == [("B02", 10), ("B05", 20)]


def test_gdal_scale_wins_over_the_default_and_the_user_over_both(tmp_path):
    write_folder(tmp_path, scale=2e-4, offset=-0.1)
    assert {(b.scale, b.offset) for s in scenes_of(tmp_path) for b in s.bands} == {(2e-4, -0.1)}
    own = scenes_of(tmp_path, NumberRules(scale=1e-3, offset=0.5))
    assert {(b.scale, b.offset) for s in own for b in s.bands} == {(1e-3, 0.5)}


def test_index_stored_times_ten_thousand(tmp_path):
    values = np.linspace(-2000, 9000, 64).reshape(1, 8, 8)
    for date in DATES:
        # One date is so dull that its numbers alone would pass for plain -1..1.
        dull = values * (0 if date == DATES[0] else 1)
        write_image(tmp_path / f"M_{date:%Y%j}.tif", dull.astype("int16"), ["ndvi"], nodata=None)
    assert {(b.name, b.scale) for s in scenes_of(tmp_path) for b in s.bands} == {("NDVI", 1e-4)}


def test_names_given_for_files_without_descriptions(tmp_path):
    write_image(tmp_path / "a_20190401.tif", ramp(3, 4, 4), None)
    assert [b.name for b in scenes_of(tmp_path)[0].bands] == ["band1", "band2", "band3"]
    named = scenes_of(tmp_path, NumberRules(bands=["red", "nir", "SCL"]))[0]
    assert [b.name for b in named.bands] == ["B04", "B08", "SCL"]
    with pytest.raises(InputError, match="has 3 bands, but BANDS lists 2"):
        scenes_of(tmp_path, NumberRules(bands=["red", "nir"]))


def test_date_of_the_metadata_where_the_name_has_none(tmp_path):
    write_image(tmp_path / "april.tif", ramp(3, 4, 4), tags={"TIFFTAG_DATETIME": "2019:04:01 10:00:00"})
    assert scenes_of(tmp_path)[0].date == datetime.date(2019, 4, 1)


def test_a_file_without_date_is_named(tmp_path):
    write_folder(tmp_path)
    write_image(tmp_path / "elevation.tif", ramp(3, 4, 4))
    with pytest.raises(InputError, match=r"No acquisition date in the name of .*elevation\.tif") as error:
        scenes_of(tmp_path)
    assert "DATE_PATTERN" in error.value.advice


def test_a_truncated_file_is_found_when_built(tmp_path):
    noise = np.random.default_rng(0).integers(1, 9000, (3, 300, 300)).astype("uint16")
    path = write_image(tmp_path / "S2_20190401.tif", noise, tiled=True, blockxsize=64, blockysize=64)
    os.truncate(path, path.stat().st_size * 3 // 4)
    with pytest.raises(InputError, match=r"can't be read: .*S2_20190401\.tif") as error:
        scenes_of(tmp_path)
    assert "damaged" in error.value.advice


def test_a_file_that_is_no_raster(tmp_path):
    (tmp_path / "S2_20190401.tif").write_text("no raster")
    with pytest.raises(InputError, match=r"S2_20190401\.tif"):
        scenes_of(tmp_path)


def test_a_file_without_crs(tmp_path):
    write_image(tmp_path / "S2_20190401.tif", ramp(3, 4, 4), crs=None)
    with pytest.raises(InputError, match="no coordinate reference system"):
        scenes_of(tmp_path)


def test_the_same_band_twice(tmp_path):
    write_image(tmp_path / "S2_20190401.tif", ramp(2, 4, 4), ["B02", "blue"])
    with pytest.raises(InputError, match="B02 of 2019-04-01 is there twice"):
        scenes_of(tmp_path)


def test_empty_and_missing_folders(tmp_path):
    with pytest.raises(InputError, match="No images in"):
        find(tmp_path)
    with pytest.raises(InputError, match="not found"):
        find(tmp_path / "nowhere")
    (tmp_path / "f").write_text("")
    with pytest.raises(InputError, match="is a file"):
        find(tmp_path / "f")
