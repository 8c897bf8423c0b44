import shutil

import numpy as np
import pytest
import rasterio
from imagery import BANDS, DATES, UTM32, ramp, write_folder, write_image

from sits_engine.errors import Cancelled, EngineError, InputError
from sits_engine.series.clip import clip
from sits_engine.series.item_collection import Document, write_document
from sits_engine.series.raster_files import NumberRules, find, scenes_of_files
from sits_engine.series.time_series import TimeSeries
from sits_engine.series.types import Grid


def opened(folder, scenes, name="series.json", **document):
    path = folder / name
    write_document(path, Document(tuple(scenes), **document))
    return TimeSeries.open(path)


def series_of(folder, **document):
    return opened(folder, scenes_of_files(find(folder), NumberRules()), **document)


def window_of(series):
    grid = series.grid
    return Grid(grid.crs, grid.window_transform(type(grid.whole)(2, 3, 7, 9)), 7, 9)


def test_the_copy_reads_as_the_original(tmp_path):
    for number, date in enumerate(DATES):
        values = ramp(4, 12, 16)
        values[3] = 4
        values[3, 5, 5:8] = 9
        values[:, 6, 6] = 0
        # Numbers are shifted from the third date on, as Sentinel-2's are since 2022.
        write_image(
            tmp_path / f"{date}.tif", values, [*BANDS, "SCL"], scale=1e-4, offset=-0.1 if number > 1 else 0.05
        )
    series = series_of(tmp_path)
    series = series.with_grid(window_of(series))
    copied = opened(tmp_path, clip(series, tmp_path / "cöpy", lambda share: None), "copy.json")
    assert copied.grid == series.grid
    assert copied.bands == series.bands
    for keep in (True, False):
        one = series.read(series.grid.whole, BANDS, keep_clouds=keep)
        two = copied.read(copied.grid.whole, BANDS, keep_clouds=keep)
        for name in ("values", "valid", "observed", "scale", "offset"):
            np.testing.assert_array_equal(getattr(one, name), getattr(two, name), err_msg=name)
    assert 0 < one.valid.sum() < one.observed.sum() < one.valid.size
    with rasterio.open(tmp_path / "cöpy" / f"{DATES[0]}.tif") as file:
        assert file.profile["tiled"]
        assert file.block_shapes[0] == (256, 256)
        assert file.compression.name == "deflate"
        assert file.tags(ns="IMAGE_STRUCTURE")["PREDICTOR"] == "2"
        assert file.descriptions == (*BANDS, "SCL")
        assert file.tags()["ACQUISITION_DATE"] == DATES[0].isoformat()


def test_another_compression_holds_the_same_numbers(tmp_path):
    write_folder(tmp_path)
    series, folder = series_of(tmp_path), tmp_path / "copy"
    clip(series, folder, lambda share: None)
    plain = sorted(folder.iterdir())
    before = [rasterio.open(path).read() for path in plain]
    clip(series, folder, lambda share: None, "ZSTD")  # those that are there are compressed otherwise
    for path, values in zip(plain, before, strict=True):
        with rasterio.open(path) as file:
            assert file.compression.name == "zstd"
            assert file.tags(ns="IMAGE_STRUCTURE")["PREDICTOR"] == "2"
            np.testing.assert_array_equal(file.read(), values)


def test_dates_in_another_compression_are_named_before_they_are_written_again(tmp_path):
    write_folder(tmp_path)
    series, folder, said = series_of(tmp_path), tmp_path / "copy", []
    clip(series, folder, lambda share: None, "ZSTD", said.append)
    (folder / f"{DATES[0]}.tif").unlink()
    clip(series, folder, lambda share: None, "ZSTD", said.append)
    assert said == []

    def stop(share):
        raise Cancelled

    with pytest.raises(Cancelled):  # at the first sign of life: the sentence comes before
        clip(series, folder, stop, notice=said.append)
    many = len(DATES)
    assert said == [
        f"{folder} holds {many} of {many} dates in ZSTD; CLIP_COMPRESSION is DEFLATE, so this part of the "
        "copy is written again. To keep it, cancel this run and start it with CLIP_COMPRESSION ZSTD."
    ]
    write_image(tmp_path / "S2_20190405.tif", ramp(3, 12, 16, start=5000))  # of a date: made anew in any case
    clip(TimeSeries.open(series.path), folder, lambda share: None, notice=said.append)
    assert said[1].startswith(f"{folder} holds {many - 1} of {many} dates in ZSTD")


def test_mosaics_and_zones_become_one_file_a_date(tmp_path):
    for date in DATES:
        write_image(tmp_path / f"a_{date}.tif", np.full((1, 12, 12), 2000, "uint16"), ["B04"])
        write_image(
            tmp_path / f"b_{date}.tif",
            np.full((1, 12, 12), 2000, "uint16"),
            ["B04"],
            corner=(600120.0, 5600000.0),
        )
    for date in DATES[:2]:
        write_image(
            tmp_path / f"z_{date}.tif",
            np.full((1, 50, 50), 2000, "uint16"),
            ["B04"],
            crs=UTM32,
            corner=(174000.0, 5606000.0),
        )
    series = series_of(tmp_path)
    scenes = clip(series, tmp_path / "copy", lambda share: None)
    assert len(scenes) == len(DATES)
    copied = opened(tmp_path, scenes, "copy.json")
    before, after = (s.read(s.grid.whole, ["B04"]) for s in (series, copied))
    np.testing.assert_array_equal(before.values, after.values)
    np.testing.assert_array_equal(before.observed, after.observed)


def test_signed_numbers_keep_their_zeros(tmp_path):
    for date in DATES:
        values = np.array([[[0, -5, 7], [300, 0, 12]]], "int16")
        write_image(tmp_path / f"{date}.tif", values, ["NDVI"], nodata=None)
    series = series_of(tmp_path)
    wide = Grid(series.grid.crs, series.grid.transform, 3, 4)
    copied = opened(tmp_path, clip(series.with_grid(wide), tmp_path / "c", lambda share: None), "copy.json")
    cube = copied.read(wide.whole, ["NDVI"])
    assert cube.observed[0].tolist() == [[True, True, True, False], [True, True, True, False], [False] * 4]
    assert cube.values[0, 0, :2, :3].tolist() == [[0, -5, 7], [300, 0, 12]]


def test_an_interrupted_copy_goes_on(tmp_path):
    write_folder(tmp_path)
    series, folder = series_of(tmp_path), tmp_path / "copy"

    def stop(share):
        if share > 0.5:
            raise Cancelled

    with pytest.raises(Cancelled):
        clip(series, folder, stop)
    done = sorted(folder.iterdir())
    assert [p.name for p in done] == [f"{d}.tif" for d in DATES[:2]]
    stamps = [p.stat().st_mtime_ns for p in done]
    clip(series, folder, lambda share: None)
    assert [p.stat().st_mtime_ns for p in done] == stamps
    assert len(list(folder.iterdir())) == len(DATES)


def test_a_copy_of_other_images_is_made_anew(tmp_path):
    write_folder(tmp_path)
    series, folder = series_of(tmp_path), tmp_path / "copy"
    clip(series, folder, lambda share: None)
    write_image(tmp_path / "S2_20190405.tif", ramp(3, 12, 16, start=5000))
    (folder / "2019-05-05.tif").write_bytes(b"half a file")
    scenes = clip(TimeSeries.open(series.path), folder, lambda share: None)
    cube = opened(tmp_path, scenes, "copy.json").read(series.grid.whole, BANDS)
    assert cube.values[1, 0, 0, 0] == 5000
    assert cube.valid.all()


def test_never_over_the_images_themselves(tmp_path):
    for date in DATES:
        write_image(tmp_path / f"{date}.tif", ramp(3, 4, 4))
    with pytest.raises(EngineError, match="would overwrite an image") as error:
        clip(series_of(tmp_path), tmp_path, lambda share: None)
    assert error.value.code == "OUTPUT_NOT_WRITABLE"


def test_a_folder_that_can_not_be_written(tmp_path):
    write_folder(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(EngineError) as error:
        clip(series_of(tmp_path), tmp_path / "file", lambda share: None)
    assert error.value.code == "OUTPUT_NOT_WRITABLE"
    shutil.rmtree(tmp_path / "copy", ignore_errors=True)


@pytest.mark.parametrize("how", ["cut", "other"])
def test_an_image_that_can_not_be_read_is_named_not_the_copy(tmp_path, how):
    for number, date in enumerate(DATES):
        write_image(tmp_path / f"{date}.tif", np.random.default_rng(number).integers(1, 99, (3, 90, 90)))
    series = series_of(tmp_path)
    image = tmp_path / f"{DATES[1]}.tif"
    if how == "cut":
        image.write_bytes(image.read_bytes()[:-4000])
    else:
        write_image(image, np.ones((1, 90, 90)), ["B02"])
    with pytest.raises(InputError, match=image.name) as error:
        clip(series, tmp_path / "copy", lambda share: None)
    assert "The copy" not in error.value.message
