import pytest

from sits_engine.series import bands


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("b2", "B02"),
        ("B2", "B02"),
        ("B02", "B02"),
        ("blue", "B02"),
        ("B8A", "B8A"),
        ("b8a", "B8A"),
        ("nir08", "B8A"),
        ("nir", "B08"),
        ("B11, central wavelength 1610 nm", "B11"),
        ("B02_10m", "B02"),
        ("SCL_20m", "SCL"),
        ("rededge2", "B06"),
        ("swir22", "B12"),
        ("ndvi", "NDVI"),
        ("Evi", "EVI"),
        ("S1_VV_raw", "S1_VV_raw"),
        ("band 1", "band 1"),
        ("B13", "B13"),
        ("SR_B4", "B04"),
    ],
)
def test_one_name_for_each_band(given, expected):
    assert bands.canonical(given) == expected


def test_match_keeps_the_order_of_the_wanted_and_lists_what_is_missing():
    assert bands.match(["B02", "B04", "NDVI"], ["ndvi", "blue", "B12"]) == (["NDVI", "B02"], ["B12"])


@pytest.mark.parametrize(
    ("stem", "expected"),
    [
        ("T31UFS_20190401T105031_B02_10m", ("B02", "T31UFS_20190401T105031")),
        ("2019-04-01_ndvi", ("NDVI", "2019_04_01")),
        ("B8A_20190401", ("B8A", "20190401")),
        ("S2B_20190401", None),
        ("scene_20190401", None),
    ],
)
def test_band_in_a_file_name(stem, expected):
    assert bands.from_file_name(stem) == expected


def test_bands_of_one_scene_share_the_rest_of_the_name():
    ten, twenty = bands.from_file_name("X_20190401_B02_10m"), bands.from_file_name("X_20190401_B05_20m")
    assert ten is not None
    assert twenty is not None
    assert ten[1] == twenty[1]


@pytest.mark.parametrize(
    ("name", "dtype", "peak", "scale"),
    [
        ("B04", "uint16", None, 1e-4),
        ("B04", "int16", None, 1e-4),
        ("B04", "uint8", None, 1.0),
        ("B04", "float32", 0.6, 1.0),
        ("B04", "float32", 4200.0, 1e-4),
        ("NDVI", "int16", 9200.0, 1e-4),
        ("NDVI", "int16", 1.0, 1.0),
        ("NDVI", "float32", 0.9, 1.0),
        ("NDVI", "uint8", 95.0, 1e-2),
        ("S1_VV_raw", "uint16", None, 1.0),
    ],
)
def test_default_scale(name, dtype, peak, scale):
    assert bands.default_scale(name, dtype, peak) == scale


def test_masks_and_pictures_are_no_channels():
    assert [n for n in ("B02", "SCL", "TCI", "visual", "NDVI", "AOT") if bands.is_spectral(n)] == [
        "B02",
        "NDVI",
    ]
