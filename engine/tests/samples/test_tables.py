from __future__ import annotations

import datetime

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest

from sits_engine.errors import InputError
from sits_engine.samples.tables import TableOptions, read_labelled_series, season_year_of
from sits_engine.series.dates import positions
from sits_engine.series.dates import season_year_of as season_year_of_dates

FIELD = TableOptions(field="crop")


def long_table(**changes) -> pd.DataFrame:
    """Two places, 4 and 3 dates, two seasons that start in autumn of different years."""
    days = ["2018-10-01", "2019-01-01", "2019-04-01", "2019-06-01", "2013-11-01", "2014-02-01", "2014-05-01"]
    columns = {
        "sample_id": [7, 7, 7, 7, 3, 3, 3],
        "date": days,
        "crop": ["maïs"] * 4 + ["soy"] * 3,
        "red": [0.1, 0.2, 0.3, np.nan, 0.5, 0.6, 0.7],
        "ndvi": [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3],
    }
    return pd.DataFrame({**columns, **changes})


def write(tmp_path, frame, name="séries 1.csv"):
    path = tmp_path / name
    frame.to_csv(path, index=False)
    return path


def test_long_table(tmp_path) -> None:
    sets, notes = read_labelled_series(write(tmp_path, long_table()), FIELD)
    assert sets.bands == ("B04", "NDVI")
    assert sets.ids.tolist() == ["7", "3"]
    assert sets.classes == ("maïs", "soy")
    assert sets.positions.tolist() == [[-92, 0, 90, 151], [-61, 31, 120, 120]]
    assert sets.valid.tolist() == [[True, True, True, False], [True, True, True, False]]
    np.testing.assert_allclose(sets.values[0, :, 1], [0.9, 0.8, 0.7, 0.0], atol=1e-6)
    assert np.isnan(sets.xy).all()
    assert notes == []


def test_season_year_is_that_of_a_series_of_images(tmp_path) -> None:
    days = ["2018-08-01", "2018-12-15", "2019-01-15", "2019-06-01"]
    rows = pd.DataFrame({"id": 1, "date": days, "crop": "soy", "ndvi": 0.5})
    path = write(tmp_path, rows)
    sets, _ = read_labelled_series(path, FIELD)
    dates = [datetime.date.fromisoformat(day) for day in days]
    assert season_year_of(path) == season_year_of_dates(dates) == 2019
    assert sets.positions[0].tolist() == positions(dates, 2019).tolist()


def test_gzip_parquet_semicolon_and_order_of_rows(tmp_path) -> None:
    frame = long_table()
    expected, _ = read_labelled_series(write(tmp_path, frame), FIELD)
    shuffled = frame.iloc[[4, 0, 6, 3, 1, 5, 2]]
    shuffled.to_csv(tmp_path / "a.csv.gz", index=False)
    shuffled.to_parquet(tmp_path / "a.parquet")
    shuffled.to_csv(tmp_path / "b.csv", index=False, sep=";")
    for name in ("a.csv.gz", "a.parquet", "b.csv"):
        found, _ = read_labelled_series(tmp_path / name, FIELD)
        assert found.ids.tolist() == ["3", "7"]
        np.testing.assert_array_equal(found.values[::-1], expected.values)
        np.testing.assert_array_equal(found.positions[::-1], expected.positions)


def test_labels_and_places_from_another_table(tmp_path) -> None:
    path = write(tmp_path, long_table().drop(columns="crop"))
    labels = pd.DataFrame(
        {"sample_id": [3.0, 7.0], "label": ["soy", "corn"], "longitude": [-55, -56], "latitude": [-10, -11]}
    )
    labels.to_csv(tmp_path / "labels.csv", index=False)
    options = TableOptions(field="label", labels_table=str(tmp_path / "labels.csv"))
    sets, _ = read_labelled_series(path, options)
    assert [sets.classes[k] for k in sets.labels] == ["corn", "soy"]
    assert sets.xy.tolist() == [[-56, -11], [-55, -10]]
    layer = gpd.GeoDataFrame(labels, geometry=gpd.points_from_xy(labels.longitude, labels.latitude), crs=4326)
    layer.to_crs(32721).to_file(tmp_path / "labels.gpkg", layer="points")
    options = TableOptions(field="label", labels_table=f"{tmp_path / 'labels.gpkg'}|layername=points")
    again, _ = read_labelled_series(path, options)
    np.testing.assert_allclose(again.xy, sets.xy, atol=1e-6)
    assert (again.labels == sets.labels).all()


def test_scale_is_detected_stated_and_overridable(tmp_path) -> None:
    frame = long_table()
    scaled = frame.assign(red=frame.red * 10000, B10=20.0)
    sets, notes = read_labelled_series(write(tmp_path, scaled), FIELD)
    np.testing.assert_allclose(sets.values[0, :3, 0], [0.1, 0.2, 0.3], atol=1e-6)
    assert sets.values[0, 0, sets.bands.index("B10")] == pytest.approx(0.002)
    assert sets.values[0, 0, sets.bands.index("NDVI")] == pytest.approx(0.9)
    assert "taken as times 10,000" in notes[0]
    percent = write(tmp_path, frame.assign(red=frame.red * 100, ndvi=frame.ndvi * 100))
    with pytest.raises(InputError, match=r"isn't clear: values reach 6.*SERIES_SCALE"):
        read_labelled_series(percent, FIELD)
    sets, _ = read_labelled_series(percent, TableOptions(field="crop", scale=0.01))
    np.testing.assert_allclose(sets.values[0, :3, 0], [0.1, 0.2, 0.3], atol=1e-6)


def test_bands_by_any_of_their_names(tmp_path) -> None:
    path = write(tmp_path, long_table())
    sets, _ = read_labelled_series(path, TableOptions(field="crop", bands=["NDVI", "B4"]))
    assert sets.bands == ("NDVI", "B04")
    with pytest.raises(InputError, match=r"no band evi; its numeric columns: red, ndvi"):
        read_labelled_series(path, TableOptions(field="crop", bands=["evi"]))


def test_unlabelled_and_short_series_are_counted(tmp_path) -> None:
    frame = long_table()
    extra = pd.DataFrame(
        {
            "sample_id": [9, 9, 9, 8],
            "date": ["2019-01-01", "2019-02-01", "2019-03-01", "2019-01-01"],
            "crop": [None, None, None, "soy"],
            "red": 0.1,
            "ndvi": 0.2,
        }
    )
    sets, notes = read_labelled_series(write(tmp_path, pd.concat([frame, extra])), FIELD)
    assert sets.ids.tolist() == ["7", "3"]
    assert "1 series without a label" in notes[0]
    assert "1 series with fewer than 3 dates" in notes[1]


def test_series_without_label_are_kept_on_wish(tmp_path) -> None:
    frame = long_table()
    frame.loc[frame["sample_id"] == 7, "crop"] = None
    path = write(tmp_path, frame)
    sets, notes = read_labelled_series(path, TableOptions("crop", keep_unlabelled=True))
    assert sets.ids.tolist() == ["7", "3"]
    assert sets.labels.tolist() == [-1, 0]
    assert sets.classes == ("soy",)
    assert notes == []
    blind, _ = read_labelled_series(path, TableOptions("", keep_unlabelled=True))
    assert blind.labels.tolist() == [-1, -1]
    assert blind.classes == ()
    assert blind.bands == ("B04", "NDVI")


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (
            lambda f: f.rename(columns={"date": "when"}),
            FIELD,
            "must be long: one row for each place and date",
        ),
        (lambda f: f.rename(columns={"sample_id": "plot"}), FIELD, "has no id column 'id'; it has: plot"),
        (lambda f: f, TableOptions(field="kind"), "no column 'kind' with the label"),
        (lambda f: f.assign(date="spring"), FIELD, "holds values that are no dates"),
        (lambda f: f.assign(date="2019-01-01"), FIELD, "two rows for id '7' and date 2019-01-01"),
        (lambda f: f.assign(crop=["a", "b"] * 3 + ["a"]), FIELD, "gives id '7' the labels 'a' and 'b'"),
        (lambda f: f.assign(crop=None), FIELD, "No series of séries 1.csv has a label"),
        (lambda f: f[["sample_id", "date", "crop"]], FIELD, "no numeric column for a band"),
        (lambda f: f.iloc[:0], FIELD, "has no rows"),
        (lambda f: f.assign(sample_id=None), FIELD, "No row of séries 1.csv has both an id and a date"),
        (lambda f: f.iloc[:2], FIELD, "No series of séries 1.csv has 3 dates"),
    ],
)
def test_bad_tables(tmp_path, change, options, message) -> None:
    with pytest.raises(InputError, match=message):
        read_labelled_series(write(tmp_path, change(long_table())), options)


def test_missing_and_broken_files(tmp_path) -> None:
    with pytest.raises(InputError, match="Table not found"):
        read_labelled_series(tmp_path / "none.csv", FIELD)
    (tmp_path / "x.parquet").write_text("no parquet")
    with pytest.raises(InputError, match=r"x\.parquet can't be read"):
        read_labelled_series(tmp_path / "x.parquet", FIELD)
    (tmp_path / "x.csv.gz").write_text("no gzip")
    with pytest.raises(InputError, match="can't be read"):
        read_labelled_series(tmp_path / "x.csv.gz", FIELD)
