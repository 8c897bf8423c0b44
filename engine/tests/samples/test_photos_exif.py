import datetime

import pytest
from PIL import Image
from PIL.TiffImagePlugin import IFDRational
from support.photo_files import degrees, write_photo

from sits_engine.samples.photos_exif import Taken, read_exif


@pytest.mark.parametrize(
    "lon_lat", [(2.613637, 50.86542), (-8.108423, 54.43857), (18.4, -33.9), (-70.6, -0.5)]
)
def test_position_day_and_direction(tmp_path, lon_lat):
    found = read_exif(write_photo(tmp_path / "a.jpg", lon_lat, day="2020-06-30", direction=359.7))
    assert found.lon_lat == pytest.approx(lon_lat, abs=1e-7)
    assert found.day == datetime.date(2020, 6, 30)
    assert found.direction == "0"


def test_a_photo_without_facts(tmp_path):
    assert read_exif(write_photo(tmp_path / "a.jpg")) == Taken()
    Image.new("RGB", (4, 4)).save(tmp_path / "b.png")
    assert read_exif(tmp_path / "b.png") == Taken()


def test_what_is_no_photo(tmp_path):
    (tmp_path / "a.jpg").write_text("no image")
    assert read_exif(tmp_path / "a.jpg") is None
    assert read_exif(tmp_path / "none.jpg") is None


@pytest.mark.parametrize(
    "gps",
    [
        {1: "", 3: ""},  # which hemisphere?
        {3: "X"},
        {2: degrees(91)},
        {4: degrees(181)},
        {2: degrees(0), 4: degrees(0)},  # a camera without a fix
        {2: (IFDRational(0, 0), IFDRational(0, 0), IFDRational(0, 0))},
    ],
)
def test_positions_that_are_none(tmp_path, gps):
    assert read_exif(write_photo(tmp_path / "a.jpg", (2, 50), gps=gps)).lon_lat is None


def test_a_direction_that_is_no_number(tmp_path):
    assert read_exif(write_photo(tmp_path / "a.jpg", (2, 50), gps={17: IFDRational(1, 0)})).direction == ""
