from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from imagery import UTM31, UTM32, write_image

from sits_engine.errors import InputError
from sits_engine.samples.label_rasters import LabelRaster, is_label_raster
from sits_engine.samples.raster_classes import CLASSES_TAG, MapClass, classes_tag
from sits_engine.series.types import Grid, Window

CORNER = (600000.0, 5600000.0)
IMAGES = Grid(UTM31, Affine(10, 0, CORNER[0], 0, -10, CORNER[1]), 10, 12)


def labels(scale=1) -> np.ndarray:
    values = np.zeros((10 * scale, 12 * scale), np.uint16)
    values[1:4, 1:4], values[6:8, 5:9], values[1:4, 8] = 311, 7, 311
    return values


def write(tmp_path, values, **options) -> Path:
    return write_image(tmp_path / "labels.tif", values[None], None, corner=CORNER, **options)


def opened(path, scale=1) -> LabelRaster:
    return LabelRaster.open(path, IMAGES, scale, "a.json")


def test_codes_and_labels_of_a_window(tmp_path) -> None:
    values = labels()
    values[9, 9] = 255
    raster = opened(write(tmp_path, values, nodata=255))
    assert raster.texts == ("7", "311")
    assert raster.codes.tolist() == [7, 311]
    burnt = raster.burn(Window(0, 0, 10, 12))
    np.testing.assert_array_equal(burnt.labels, np.select([values == 7, values == 311], [0, 1], -1))
    np.testing.assert_array_equal(burnt.covered, burnt.labels >= 0)
    assert not burnt.mixed.any()
    part = raster.burn(Window(2, 3, 5, 6))
    np.testing.assert_array_equal(part.labels, burnt.labels[2:7, 3:9])


@pytest.mark.parametrize("nodata", [None, -9999, float("nan")])
def test_whole_numbers_of_a_float_raster(tmp_path, nodata) -> None:
    """What QGIS writes unless told otherwise."""
    values = labels().astype(np.float32)
    values[9, 9] = np.nan if nodata is None else nodata
    raster = opened(write(tmp_path, values, nodata=nodata))
    assert raster.texts == ("7", "311")
    found = raster.burn(Window(0, 0, 10, 12)).labels
    np.testing.assert_array_equal(found, np.select([labels() == 7, labels() == 311], [0, 1], -1))


def test_connected_pieces_count_as_parcels(tmp_path) -> None:
    raster = opened(write(tmp_path, labels()))
    burnt = raster.burn(Window(0, 0, 10, 12))
    numbers = {int(burnt.parcels[at]) for at in ((1, 1), (1, 8), (6, 5))}
    assert numbers == {1, 2, 3}
    assert ((burnt.parcels > 0) == (burnt.labels >= 0)).all()
    again = raster.burn(Window(0, 0, 10, 12))
    assert again.parcels[again.parcels > 0].min() == 4


def test_finer_rasters(tmp_path) -> None:
    raster = opened(write(tmp_path, labels(2), size=5.0), scale=2)
    assert raster.burn(Window(0, 0, 8, 8)).labels.shape == (8, 8)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"crs": UTM32}, "CRS EPSG:32632, images EPSG:32631"),
        ({"size": 5.0}, "pixels of 5 x -5, wanted 10 x -10"),
        (
            {"corner": (600005.0, 5600000.0)},
            "upper left corner at 600005 x 5600000, images at 600000 x 5600000",
        ),
        ({"rows": 9}, "9 x 12 pixels, wanted 10 x 12"),
        ({"scale": 2}, "wanted 5 x -5 .*scale, 2.*10 x 12 pixels, wanted 20 x 24"),
    ],
)
def test_rasters_off_the_grid_say_what_differs(tmp_path, change, words) -> None:
    options = {"corner": CORNER, **change}
    rows, scale = options.pop("rows", 10), options.pop("scale", 1)
    path = write_image(tmp_path / "labels.tif", labels()[None, :rows], None, **options)
    with pytest.raises(InputError, match=words) as raised:
        opened(path, scale)
    assert "labels.tif doesn't lie on the grid of a.json" in raised.value.message
    assert "nearest neighbours" in raised.value.advice


def test_rounded_corners_are_the_same(tmp_path) -> None:
    path = write_image(tmp_path / "labels.tif", labels()[None], None, corner=(600000.00001, 5600000.0))
    assert opened(path).texts == ("7", "311")


def test_unusable_rasters(tmp_path) -> None:
    with pytest.raises(InputError, match="not found"):
        opened(tmp_path / "none.tif")
    (tmp_path / "broken.tif").write_text("no raster")
    with pytest.raises(InputError, match=r"broken\.tif can't be read"):
        opened(tmp_path / "broken.tif")
    with pytest.raises(InputError, match="is unlabelled"):
        opened(write(tmp_path, labels() * 0))
    with pytest.raises(InputError, match=r"holds 0\.5; labels are whole numbers"):
        opened(write(tmp_path, labels() + np.float32(0.5)))
    many = np.arange(200 * 200, dtype=np.int32).reshape(200, 200)
    path = write_image(tmp_path / "many.tif", many[None], None, corner=CORNER)
    with pytest.raises(InputError, match="more than 32767 different values"):
        LabelRaster.open(path, Grid(UTM31, IMAGES.transform, 200, 200), 1, "a.json")
    with pytest.raises(InputError, match="no coordinate reference system"):
        opened(write(tmp_path, labels(), crs=None))


def test_what_is_a_raster() -> None:
    assert is_label_raster("/a/b.TIF")
    assert not is_label_raster("/a/b.gpkg|layername=c.tif x")
    assert not is_label_raster("/a/b.gpkg")


def test_names_in_the_file_are_the_codes_unless_a_table_says_what_they_mean(tmp_path) -> None:
    tag = classes_tag([MapClass(7, "maize", "#ffff00"), MapClass(311, "wheat", "#ff0000")])
    path = write(tmp_path, labels(), tags={CLASSES_TAG: tag})
    # 255 is the largest value that such a tag may name
    assert opened(path).texts == ("maize", "311")
    assert LabelRaster.open(path, IMAGES, 1, "a.json", named=False).texts == ("7", "311")
    burnt = opened(path).burn(Window(0, 0, 10, 12))
    assert {int(burnt.labels[1, 1]), int(burnt.labels[6, 6])} == {0, 1}
