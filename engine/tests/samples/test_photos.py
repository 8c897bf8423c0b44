import datetime

import geopandas as gpd
import numpy as np
import pytest
from shapely.geometry import LineString, Point
from support.photo_files import write_photo

from sits_engine.errors import InputError
from sits_engine.samples.photos import PhotoReading, read_photos
from sits_engine.samples.photos_table import find_photo

#: Metres of a degree of latitude.
DEGREE = 111_195.0


@pytest.fixture
def photos(tmp_path):
    return [write_photo(tmp_path / "photos" / f"{name}.jpg", day="2021-07-01") for name in "abcd"]


def layer(path, photos, xy, crs="EPSG:4326", **columns):
    frame = gpd.GeoDataFrame(
        {"photo": [str(one) for one in photos], **columns}, geometry=[Point(*one) for one in xy], crs=crs
    )
    frame.to_file(path)
    return str(path)


def test_the_layer_of_import_geotagged_photos(tmp_path, photos):
    """Fields as native:importphotos writes them."""
    source = layer(
        tmp_path / "p.gpkg",
        photos,
        [(5, 50), (5, 50 + 4 / DEGREE), (5, 50 + 500 / DEGREE), (5.5, 50)],
        filename=["a", "b", "c", "d"],
        directory=str(tmp_path / "photos"),
        altitude=[1.0] * 4,
        direction=[0.4, 181.0, None, 359.9],
        timestamp=[datetime.datetime(2021, 7, 1, 12)] * 3 + [None],
    )
    found = read_photos(source)
    assert found.paths == tuple(photos)
    assert found.place.tolist() == [0, 0, 1, 2]
    assert found.directions == ("0", "181", "", "0")
    assert found.taken == (datetime.date(2021, 7, 1),) * 3 + (None,)
    np.testing.assert_allclose(found.xy[0], [5, 50 + 2 / DEGREE], atol=1e-9)
    assert found.xy[2].tolist() == [5.5, 50]
    assert found.ids.tolist() == ["1", "2", "3"]
    assert "p.gpkg: 4 photos at 3 places." in found.notes
    assert found.warnings == ()
    assert len(found) == 3


def test_any_crs(tmp_path, photos):
    source = layer(tmp_path / "p.gpkg", photos[:1], [(500_000, 5_538_630.7)], crs="EPSG:32631")
    np.testing.assert_allclose(read_photos(source).xy, [[3, 50]], atol=1e-4)


def test_places_by_a_field_and_their_labels(tmp_path, photos):
    source = layer(
        tmp_path / "p.gpkg",
        photos,
        [(5, 50)] * 4,
        plot=["x", "y", "x", None],
        crop=["rye", "", "rye", "oats"],
        view=["north", "E", "south", "crop"],
        weather=["sun", "sun", "rain", "sun"],
    )
    found = read_photos(source, PhotoReading(place_field="plot"))
    assert found.place.tolist() == [0, 1, 0, 2]
    assert found.ids.tolist() == ["x", "y", "unnamed 3"]
    assert found.directions == ("N", "E", "S", "C")
    assert {name: values.tolist() for name, values in found.labels.items()} == {"crop": ["rye", "", "oats"]}
    chosen = read_photos(source, PhotoReading(place_field="plot", label_fields=("weather",)))
    assert chosen.labels["weather"].tolist() == ["sun", "sun", "sun"]
    assert any("differ in 'weather'" in note for note in chosen.notes)
    north = read_photos(source, PhotoReading(place_field="plot", directions=("N", "S")))
    assert north.directions == ("N", "S")
    with pytest.raises(InputError, match=r"No photo of p.gpkg looks W; its directions: C, E, N, S"):
        read_photos(source, PhotoReading(directions=("W",)))


def test_distance_and_year_make_places(tmp_path, photos):
    xy = [(179.99999, 10), (-179.99999, 10), (179.99999, 10), (179.99999, 10 + 30 / DEGREE)]
    days = ["2021-07-01", "2021-08-01", "2022-07-01", "2021-07-01"]
    source = layer(tmp_path / "p.gpkg", photos, xy, date=days)
    assert read_photos(source).place.tolist() == [
        0,
        0,
        1,
        2,
    ]  # across the date line; another year is another place
    assert abs(read_photos(source).xy[0, 0]) == pytest.approx(180)
    assert read_photos(source, PhotoReading(place_distance=31)).place.tolist() == [0, 0, 1, 0]
    assert read_photos(source, PhotoReading(place_distance=0)).place.tolist() == [0, 1, 2, 3]


def test_a_track_of_photos_is_not_one_place(tmp_path, photos):
    source = layer(tmp_path / "p.gpkg", photos, [(5, 50 + 8 * n / DEGREE) for n in range(4)])
    assert read_photos(source).place.tolist() == [0, 0, 1, 1]


def test_a_field_that_is_no_name_of_places_is_told(tmp_path, photos):
    source = layer(tmp_path / "p.gpkg", photos, [(5, 50), (5, 51), (6, 50), (6, 50)], country="BE")
    found = read_photos(source, PhotoReading(place_field="country"))
    assert found.warnings == (
        "p.gpkg: at 1 of 1 places photos lie more than 500 m from the middle, e.g. at 'BE': check the field "
        "that names the places.",
    )


def test_relative_and_moved_paths(tmp_path, photos):
    names = [
        "photos/a.jpg",
        "/home/somebody/photos/b.jpg",
        "C:\\Users\\me\\photos\\c.jpg",
        photos[3].as_uri(),
    ]
    source = layer(tmp_path / "p.gpkg", names, [(5, 50 + n) for n in range(4)])
    assert read_photos(source).paths == tuple(photos)
    (tmp_path / "elsewhere").mkdir()
    moved = (tmp_path / "p.gpkg").rename(tmp_path / "elsewhere" / "p.gpkg")
    assert read_photos(str(moved), PhotoReading(folder=tmp_path)).paths == tuple(photos)


def test_of_moved_photos_the_one_whose_folder_agrees(tmp_path):
    base = tmp_path / "base"
    for name in ("IMG_1.jpg", "siteB/IMG_1.jpg"):
        write_photo(base / name)
    assert find_photo("/old/disk/siteB/IMG_1.jpg", base) == base / "siteB" / "IMG_1.jpg"
    assert find_photo("D:\\disk\\siteB\\IMG_1.jpg", base) == base / "siteB" / "IMG_1.jpg"
    recorded = ["/old/disk/siteB/IMG_1.jpg", "/old/disk/siteC/IMG_1.jpg", "IMG_1.jpg", "/old/base/IMG_1.jpg"]
    found = read_photos(layer(base / "p.gpkg", recorded, [(5, 50 + n) for n in range(4)]))
    assert [path.parent.name for path in found.paths] == ["siteB", "base", "base", "base"]
    assert found.warnings == (
        f"p.gpkg: 1 of 4 photos were found in {base} by their name alone, without the folder that was "
        "recorded, e.g. /old/disk/siteC/IMG_1.jpg: check that these are the same photos.",
    )


def test_rows_that_cannot_be_used_are_counted(tmp_path, photos):
    names = [str(photos[0]), str(tmp_path / "none.jpg"), "", str(photos[3])]
    frame = gpd.GeoDataFrame(
        {"photo": names}, geometry=[Point(5, 50), Point(5, 51), Point(5, 52), None], crs="EPSG:4326"
    )
    frame.to_file(tmp_path / "p.gpkg")
    found = read_photos(str(tmp_path / "p.gpkg"))
    assert found.paths == (photos[0],)
    assert any("1 of 4 rows have no path in 'photo'" in note for note in found.notes)
    assert any("1 of 4 photos have no position" in text for text in found.warnings)
    assert any("1 of 4 photos were not found" in text and "none.jpg" in text for text in found.warnings)


def test_errors_of_layers_name_the_thing_and_the_way_out(tmp_path, photos):
    four = [(5, 50)] * 4
    with pytest.raises(InputError, match="Photos not found"):
        read_photos(str(tmp_path / "none.gpkg"))
    source = layer(tmp_path / "gone.gpkg", ["x.jpg"] * 4, four)
    with pytest.raises(InputError, match=r"No photo of gone.gpkg was found: of 4 paths .* \(e.g. x.jpg"):
        read_photos(source)
    source = layer(tmp_path / "p.gpkg", photos, four, other="x")
    with pytest.raises(InputError, match=r"has no field 'path'. Its fields: photo, other"):
        read_photos(source, PhotoReading(path_field="path"))
    with pytest.raises(InputError, match=r"has no field 'plot'. Its fields: photo, other"):
        read_photos(source, PhotoReading(place_field="plot"))
    with pytest.raises(InputError, match=r"has no field 'crop'. Its fields: photo, other"):
        read_photos(source, PhotoReading(label_fields=("crop",)))
    frame = gpd.read_file(source)
    frame.rename(columns={"photo": "bild"}).to_file(tmp_path / "bild.gpkg")
    with pytest.raises(InputError, match=r"no field with the paths .* Its fields: bild, other"):
        read_photos(str(tmp_path / "bild.gpkg"))
    assert read_photos(str(tmp_path / "bild.gpkg"), PhotoReading(path_field="bild")).paths == tuple(photos)
    frame.set_crs(None, allow_override=True).to_file(tmp_path / "nowhere.gpkg")
    with pytest.raises(InputError, match="no coordinate reference system"):
        read_photos(str(tmp_path / "nowhere.gpkg"))
    frame.assign(geometry=[LineString([(0, 0), (1, 1)])] * 4).to_file(tmp_path / "lines.gpkg")
    with pytest.raises(InputError, match="holds other things than points"):
        read_photos(str(tmp_path / "lines.gpkg"))
    frame.assign(geometry=[None] * 4).set_crs(4326).to_file(tmp_path / "empty.gpkg")
    with pytest.raises(InputError, match=r"No photo of empty.gpkg has a position"):
        read_photos(str(tmp_path / "empty.gpkg"))
    source = layer(tmp_path / "unnamed.gpkg", [""] * 4, four)
    with pytest.raises(InputError, match=r"field 'photo' of unnamed.gpkg is empty"):
        read_photos(source)


def test_a_folder_of_geotagged_photos(tmp_path):
    folder = tmp_path / "tour"
    write_photo(folder / "1.jpg", (5, 50), day="2021-07-01", direction=90)
    write_photo(folder / "day 2" / "2.JPG", (5, 50.001), day="2021-07-02")
    write_photo(folder / "3.jpg")
    write_photo(folder / ".thumbnails" / "1.jpg", (5, 50))
    (folder / "notes.txt").write_text("no photo")
    (folder / "4.png").write_text("no image")
    found = read_photos(str(folder))
    assert [path.name for path in found.paths] == ["1.jpg", "2.JPG"]
    np.testing.assert_allclose(found.xy, [[5, 50], [5, 50.001]], atol=1e-7)
    assert found.taken == (datetime.date(2021, 7, 1), datetime.date(2021, 7, 2))
    assert found.directions == ("90", "")
    (warning,) = found.warnings
    assert "2 of 4 photos" in warning
    assert "no position" in warning


def test_errors_of_folders(tmp_path):
    with pytest.raises(InputError, match="holds no photos"):
        read_photos(str(tmp_path))
    write_photo(tmp_path / "a.jpg")
    with pytest.raises(InputError, match=r"None of the 1 photos in .* has a position .*a.jpg"):
        read_photos(str(tmp_path))


def test_a_table_with_positions(tmp_path, photos):
    lines = ["Datei;file;lat;lon;view;survey_date", *(
        f"{n};photos/{name}.jpg;{lat};5.5;north;{day}"
        for n, (name, lat, day) in enumerate(
            [("a", 50, "02/07/09"), ("b", 50, "2009-07-02"), ("c", "", "02/07/09"), ("d", 51, "someday")]
        )
    )]  # fmt: skip
    (tmp_path / "p.csv").write_text("\ufeff" + "\n".join(lines), encoding="utf-8")
    found = read_photos(str(tmp_path / "p.csv"))
    assert found.place.tolist() == [0, 0, 1]
    assert found.xy.tolist() == [[5.5, 50], [5.5, 51]]
    assert found.taken == (datetime.date(2009, 7, 2), datetime.date(2009, 7, 2), None)
    assert found.directions == ("N", "N", "N")
    assert any("1 of 4 photos have no position" in text for text in found.warnings)


def test_errors_of_tables(tmp_path, photos):
    table = tmp_path / "p.csv"
    table.write_text("file,where\nphotos/a.jpg,here\n")
    with pytest.raises(InputError, match=r"no columns of longitude and latitude .*Its columns: file, where"):
        read_photos(str(table))
    table.write_text("name,lon,lat\na,1,2\n")
    with pytest.raises(InputError, match=r"no field with the paths .*Its fields: name, lon, lat"):
        read_photos(str(table))
    table.write_text("file,lon,lat\n")
    with pytest.raises(InputError, match="has no rows"):
        read_photos(str(table))
    table.write_text("")
    with pytest.raises(InputError, match=r"p.csv can't be read"):
        read_photos(str(table))
    table.write_text("file,lon,lat\nphotos/a.jpg,500000,5538630\n")
    with pytest.raises(InputError, match=r"No photo of p.csv has a position"):
        read_photos(str(table))


def test_subsets(tmp_path, photos):
    source = layer(
        tmp_path / "p.gpkg", photos, [(5, 50), (6, 50), (5, 50), (7, 50)], crop=["a", "b", "a", "c"]
    )
    found = read_photos(source)
    assert found.place.tolist() == [0, 1, 0, 2]
    some = found.subset([2, 0])
    assert some.paths == (photos[3], photos[0], photos[2])
    assert some.place.tolist() == [0, 1, 1]
    assert some.xy.tolist() == [[7, 50], [5, 50]]
    assert some.labels["crop"].tolist() == ["c", "a"]
    assert found.subset(np.array([False, True, False])).paths == (photos[1],)
    assert len(found.subset([])) == 0
    left = found.with_photos(np.array([1, 2]))
    assert left.paths == (photos[1], photos[2])
    assert left.place.tolist() == [1, 0]
    assert left.ids.tolist() == ["1", "2"]
