import pytest
from affine import Affine

from sits_engine.errors import InputError
from sits_engine.series import gridding
from sits_engine.series.types import Grid

UTM31, UTM32 = gridding.parse_crs("EPSG:32631"), gridding.parse_crs("EPSG:32632")


def grid(x=600000.0, y=5600000.0, size=10.0, height=10, width=20, crs=UTM31):
    return Grid(crs, Affine(size, 0, x, 0, -size, y), height, width)


def test_the_majority_gives_the_crs_and_the_finest_the_resolution():
    found = gridding.choose([grid(size=20), grid(), grid(), grid(crs=UTM32, size=5)])
    assert gridding.same_crs(found.crs, UTM31)
    assert found.resolution == (10, 10)


def test_union_of_the_footprints_in_line_with_the_pixels():
    found = gridding.choose([grid(), grid(x=600100.0, y=5600050.0)])
    assert found.bounds == (600000, 5599900, 600300, 5600050)


def test_extent_is_snapped_outwards():
    found = gridding.choose([grid()], extent=((600013.0, 5599951.0, 600047.0, 5599988.0), None))
    assert found.bounds == (600010, 5599950, 600050, 5599990)


def test_extent_in_degrees_covers_the_same_place():
    box = gridding.reproject_bounds(grid().bounds, UTM31, gridding.parse_crs("EPSG:4326"))
    found = gridding.choose([grid()], extent=(box, gridding.parse_crs("EPSG:4326")))
    assert found.bounds[0] <= 600000 < 600200 <= found.bounds[2]
    assert found.width <= 24


def test_resolution_and_crs_as_asked():
    found = gridding.choose([grid()], resolution=25, crs=UTM32)
    assert gridding.same_crs(found.crs, UTM32)
    assert found.resolution == (25, 25)
    assert gridding.intersects(found.bounds, gridding.reproject_bounds(grid().bounds, UTM31, UTM32))


def test_a_foreign_crs_keeps_the_pixel_size():
    assert gridding.choose([grid()], crs=UTM32).resolution == (10, 10)


def test_json_and_back():
    assert gridding.from_json(gridding.to_json(grid())) == grid()


def test_extent_of_qgis():
    box, crs = gridding.parse_extent("1,2,3,4 [EPSG:4326]")
    assert box == (1, 3, 2, 4)
    assert gridding.same_crs(crs, gridding.parse_crs("EPSG:4326"))
    assert gridding.parse_extent("1,2,3,4") == ((1, 3, 2, 4), None)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1,2,3",
        "a,b,c,d",
        "2,1,3,4",
        "5,5,1,2",
        "nan,1,2,3",
        "1,2,3,4 [EPSG:nonsense]",
        "1,2,3,4 [EPSG:999999]",
    ],
)
def test_bad_extents(text):
    with pytest.raises(InputError, match="EXTENT"):
        gridding.parse_extent(text)
