import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin
from support.maps import CLASSES, COLORS, write_map

from sits_engine.errors import InputError
from sits_engine.mapping.areas import pixel_area_ha
from sits_engine.mapping.class_map import ClassMap
from sits_engine.series.types import Grid

VALUES = np.array([[0, 1, 1, 2], [3, 3, 3, 2]])


def foreign(path, values, dtype="uint8", nodata=None, **options):
    values = np.asarray(values)
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=values.shape[0],
        width=values.shape[1],
        count=1,
        dtype=dtype,
        nodata=nodata,
        **{"crs": "EPSG:32631", "transform": from_origin(0, 0, 20, 20), **options},
    ) as image:
        image.write(values.astype(dtype), 1)
    return path


def test_round_trip(tmp_path):
    found = ClassMap.open(
        write_map(tmp_path / "m.tif", VALUES, np.array([[0, 50, 70, 90], [10, 20, 30, 80]]))
    )
    assert [(c.value, c.name, c.color, c.codes) for c in found.classes] == [
        (i + 1, CLASSES[i], COLORS[i], (str(i + 1),)) for i in range(3)
    ]
    pixels, hectares, confidence = found.count()
    assert pixels.tolist() == [2, 2, 3]
    assert hectares == pytest.approx([0.02, 0.02, 0.03])
    assert confidence == pytest.approx([0.6, 0.85, 0.2])


def test_names_from_the_side_car_and_colours_from_the_table(tmp_path):
    path = write_map(tmp_path / "m.tif", VALUES)
    with rasterio.open(path, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as image:
        image.update_tags(SITS_CLASSES="")
    found = ClassMap.open(path)
    assert [(c.name, c.color) for c in found.classes] == list(zip(CLASSES, COLORS, strict=True))


def test_values_only(tmp_path):
    found = ClassMap.open(foreign(tmp_path / "m.tif", [[5, 5, 200], [9, 255, 255]], nodata=255))
    assert [c.name for c in found.classes] == ["5", "9", "200"]
    assert found.count()[0].tolist() == [2, 1, 1]
    assert len({c.color for c in found.classes}) == 3
    assert np.isnan(found.count()[2]).all()


@pytest.mark.parametrize(
    ("values", "options", "words"),
    [
        ([[0.5, 1]], {"dtype": "float32"}, "float32"),
        ([[1, 2]], {"crs": None}, "no coordinate reference system"),
        ([[1, 300]], {"dtype": "int16"}, "outside 0"),
        ([[0, 0]], {"nodata": 0}, "no classified pixel"),
    ],
)
def test_no_class_map(tmp_path, values, options, words):
    path = foreign(tmp_path / "m.tif", values, **options)
    with pytest.raises(InputError, match=words):
        ClassMap.open(path).count()


def test_no_raster(tmp_path):
    (tmp_path / "m.tif").write_text("hello")
    with pytest.raises(InputError, match="can't be read"):
        ClassMap.open(tmp_path / "m.tif")


def test_truncated_map_is_named(tmp_path):
    path = foreign(tmp_path / "m.tif", np.random.default_rng(0).integers(1, 4, (400, 400)))
    found = ClassMap.open(path)
    path.write_bytes(path.read_bytes()[:50_000])
    with pytest.raises(InputError, match=r"m\.tif is damaged"):
        found.count()


def test_area_of_pixels():
    utm = Grid(rasterio.crs.CRS.from_epsg(32631).to_wkt(), from_origin(0, 0, 20, 10), 3, 3)
    np.testing.assert_allclose(pixel_area_ha(utm), 0.02)
    feet = Grid(rasterio.crs.CRS.from_epsg(2263).to_wkt(), from_origin(0, 0, 100, 100), 2, 2)
    np.testing.assert_allclose(pixel_area_ha(feet), (100 * 0.3048006096) ** 2 / 1e4, rtol=1e-6)
    degrees = Grid(rasterio.crs.CRS.from_epsg(4326).to_wkt(), from_origin(5, 60.01, 0.01, 0.01), 2, 2)
    # one degree is 111.41 km of latitude and 55.80 km of longitude at 60 degrees north
    np.testing.assert_allclose(pixel_area_ha(degrees), 1.1141e3 * 0.5580e3 / 1e4, rtol=1e-3)
    assert pixel_area_ha(degrees)[0] < pixel_area_ha(degrees)[1]
