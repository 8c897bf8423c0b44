import geopandas
import numpy as np
import pytest
from imagery import DATES, ramp, write_image
from shapely.geometry import Point

from sits_engine.errors import Cancelled, InputError
from sits_engine.series.item_collection import Document, write_document
from sits_engine.series.points import read_points
from sits_engine.series.raster_files import NumberRules, find, scenes_of_files
from sits_engine.series.summary import summarise
from sits_engine.series.time_series import TimeSeries


@pytest.fixture
def series(tmp_path):
    """10 x 20 pixels; on date n the first n columns are clouded, the last row has no data."""
    for number, date in enumerate(DATES):
        values = ramp(2, 10, 20)
        values[1] = 4
        values[1, :, :number] = 9
        values[:, 9] = 0
        write_image(tmp_path / f"{date}.tif", values, ["B04", "SCL"])
    path = tmp_path / "series.json"
    write_document(path, Document(tuple(scenes_of_files(find(tmp_path), NumberRules())), title="Test"))
    return TimeSeries.open(path)


def test_clear_observations_by_pixel_and_date(series):
    data = summarise(series, warnings=["careful"])
    np.testing.assert_allclose(data.clear_share, [1 - n / 20 for n in range(5)])
    np.testing.assert_allclose(data.data_share, 0.9)
    assert data.clear_count.shape == (10, 20)
    assert data.clear_count[0].tolist() == [1, 2, 3, 4, *[5] * 16]
    assert not data.clear_count[9].any()
    assert data.clear_median == 5
    assert data.warnings == ["careful"]
    assert [row["id"] for row in data.scenes] == [f"{d}" for d in DATES]
    assert dict(data.facts)["Cloud mask"].startswith("SCL; not clear: 0, 1, 2, 3")


def test_large_series_are_sampled(series, monkeypatch):
    monkeypatch.setattr("sits_engine.series.summary.MAP_SIZE", 5)
    data = summarise(series)
    assert data.clear_count[:, 1:].tolist() == [[5, 5, 5, 5]] * 2
    assert set(data.clear_count[:, 0]) <= {1, 2, 3, 4}  # one of the pixels of the cell
    assert "one pixel in 4 x 4" in dict(data.facts)["Sample"]


def test_profiles_at_points(series, tmp_path):
    box = series.grid.bounds
    points = [Point(box[0] + 5, box[3] - 5), Point(box[0] + 155, box[3] - 25), Point(0, 0)]
    frame = geopandas.GeoDataFrame({"name": ["west", "east", "off"]}, geometry=points, crs="EPSG:32631")
    frame.to_crs(4326).to_file(tmp_path / "punkte é.gpkg", layer="p")
    found = read_points(f"{tmp_path / 'punkte é.gpkg'}|layername=p", series.grid.crs)
    west, east = summarise(series, points=found).profiles
    assert (west.name, east.name) == ("west", "east")
    assert np.isfinite(west.values[:, 0]).tolist() == [True, False, False, False, False]
    np.testing.assert_allclose(east.values[:, 0], (1000 + 2 * 20 + 15) / 1e4, rtol=1e-6)


def test_points_of_a_filter_and_of_a_numbered_layer(tmp_path):
    path = tmp_path / "p.gpkg"
    points = [Point(600000, 5600000), Point(600010, 5600000), Point(600020, 5600000)]
    geopandas.GeoDataFrame({"name": ["x"]}, geometry=points[:1], crs="EPSG:32631").to_file(
        path, layer="first"
    )
    frame = geopandas.GeoDataFrame({"name": ["a", "b|c", "d"]}, geometry=points, crs="EPSG:32631")
    frame.to_file(path, layer="second")

    def names(options):
        return [name for name, _, _ in read_points(f"{path}|{options}", "EPSG:32631")]

    assert names("layerid=1|geometrytype=Point") == ["a", "b|c", "d"]
    assert names("layername=second|subset=\"name\" = 'b|c'") == ["b|c"]
    with pytest.raises(InputError, match="empty"):
        names("layername=second|subset=\"name\" = 'z'")


def test_points_that_can_not_be_used(series, tmp_path):
    with pytest.raises(InputError, match="not found"):
        read_points(str(tmp_path / "none.gpkg"), series.grid.crs)
    (tmp_path / "bad.gpkg").write_text("x")
    with pytest.raises(InputError, match="can't be read"):
        read_points(str(tmp_path / "bad.gpkg"), series.grid.crs)
    with pytest.raises(InputError, match="None of the profile points"):
        summarise(series, points=[("far", 0.0, 0.0)])


def test_it_can_be_cancelled(series):
    def stop(share):
        raise Cancelled

    with pytest.raises(Cancelled):
        summarise(series, tick=stop)
