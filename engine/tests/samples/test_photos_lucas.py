import datetime

import pytest
from support.photo_files import write_photo

from sits_engine.errors import InputError
from sits_engine.samples.photos import PhotoReading, read_photos

HEADER = (
    "id,point_id,year,nuts0,th_lat,th_long,gps_lat,gps_long,gps_ew,survey_date,lc1,lc1_label,lu1,lu1_label,"
    "file_path_gisco_north"
)
ROWS = {
    "barley": "1,38023110,2006,BE,50.86,2.61,50.87,2.62,E,22/05/2006,B13,Barley,U111,Agriculture,https://x/N.jpg",
    "later": "2,38023110,2018,BE,50.86,2.61,50.87,2.62,E,22/05/2018,B16,Maize,U111,Agriculture,",
    "west": "3,31603628,2018,UK,,,54.44,8.11,W,18/09/18,D10,Shrubland,U120,Forestry,",
    "metres": "4,41442546,2018,DE,2546000,4144000,88.888888,88.888888,8,01/07/18,E20,Grass,U111,Agriculture,",
    "nowhere": "5,41442548,2018,DE,,,88.888888,88.888888,8,01/07/18,E20,Grass,U111,Agriculture,",
    "elsewhere": "6,11111111,2018,ES,40,-3,40,3,W,01/07/18,A11,Buildings,U370,Residential,",
}


@pytest.fixture
def survey(tmp_path):
    """Table and photos; gives a function that writes the rows asked for."""
    for name in (
        "2006/BE/380/231/38023110N",
        "2006/BE/380/231/38023110W",
        "2018/BE/380/231/38023110S",
        "2018_UK_31603628_C",
        "41442546P",
        "41442548N",
    ):
        write_photo(tmp_path / "photos" / f"{name}.jpg")

    def write(*names):
        table = tmp_path / "lucas.csv"
        table.write_text("\n".join([HEADER, *(ROWS[name] for name in names)]))
        return str(table)

    return write


def test_points_of_a_survey(survey, tmp_path):
    found = read_photos(survey(*ROWS), PhotoReading(folder=tmp_path / "photos"))
    assert found.ids.tolist() == ["38023110_2006", "38023110_2018", "31603628_2018", "41442546_2018"]
    names = [path.relative_to(tmp_path / "photos").as_posix() for path in found.paths]
    assert names == [
        "2006/BE/380/231/38023110N.jpg",
        "2006/BE/380/231/38023110W.jpg",
        "2018/BE/380/231/38023110S.jpg",
        "2018_UK_31603628_C.jpg",
        "41442546P.jpg",
    ]
    assert found.place.tolist() == [0, 0, 1, 2, 3]
    assert found.directions == ("N", "W", "S", "C", "P")
    assert found.xy[:3].tolist() == [[2.61, 50.86], [2.61, 50.86], [-8.11, 54.44]]
    assert found.xy[3] == pytest.approx([7.45, 45.97], abs=0.6)  # EPSG:3035 instead of degrees
    assert found.taken[0] == datetime.date(2006, 5, 22)
    assert found.taken[3] == datetime.date(2018, 9, 18)
    assert found.labels["lc1"].tolist() == ["B13", "B16", "D10", "E20"]
    assert found.labels["lu1_label"].tolist() == ["Agriculture", "Agriculture", "Forestry", "Agriculture"]
    assert any("1 points have photos but no position" in text for text in found.warnings)


def test_directions_and_labels_of_choice(survey, tmp_path):
    options = PhotoReading(folder=tmp_path, directions=("N", "E", "S", "W"), label_fields=("lc1_label",))
    found = read_photos(survey("barley", "west"), options)
    assert found.directions == ("N", "W")
    assert list(found.labels) == ["lc1_label"]


def test_photos_beside_the_table(survey):
    assert len(read_photos(survey("barley")).paths) == 2


def test_the_tables_of_eurostat_in_capitals(survey, tmp_path):
    table = tmp_path / "EU_2018.csv"
    table.write_text(
        "POINT_ID;TH_LAT;TH_LONG;SURVEY_DATE;LC1;GPS_EW\n38023110;50.86;2.61;22/05/18;B16;1\n",
        encoding="latin-1",
    )
    found = read_photos(str(table))
    assert found.ids.tolist() == ["38023110_2018"]
    assert found.directions == ("S",)
    assert found.labels["lc1"].tolist() == ["B16"]


def test_errors(survey, tmp_path):
    with pytest.raises(InputError, match=r"No photo in .* belongs to a point of lucas.csv"):
        read_photos(survey("elsewhere"))
    with pytest.raises(InputError, match="1 points have photos but no position"):
        read_photos(survey("nowhere"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="No LUCAS photos in"):
        read_photos(survey("barley"), PhotoReading(folder=tmp_path / "empty"))
    with pytest.raises(InputError, match=r"has no field 'crop'. Its fields: id, point_id"):
        read_photos(survey("barley"), PhotoReading(label_fields=("crop",)))
    for path in (tmp_path / "photos").rglob("38023110?.jpg"):
        path.unlink()
    write_photo(tmp_path / "photos" / "2009" / "38023110N.jpg")
    with pytest.raises(InputError, match="no photo of any point and year"):
        read_photos(survey("barley"))
