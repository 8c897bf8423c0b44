from __future__ import annotations

import geopandas as gpd
import numpy as np
import pytest
from affine import Affine
from pyproj import CRS
from shapely.geometry import LineString, MultiPolygon, Point, Polygon, box

from sits_engine.errors import InputError
from sits_engine.samples.vectors import VectorSource, lon_lat, on_grid, read_labelled, read_vector
from sits_engine.series.types import Grid

UTM = CRS.from_epsg(32631)
GRID = Grid(UTM.to_wkt(), Affine(10, 0, 500000, 0, -10, 5600000), 100, 100)


def write(path, geometries, crop, crs="EPSG:32631", **options):
    gpd.GeoDataFrame({"crop": crop}, geometry=geometries, crs=crs).to_file(path, **options)
    return str(path)


def test_source_strings_of_qgis() -> None:
    source = VectorSource.parse("/a b/été.gpkg|layername=my parcels|subset=\"crop\" = 'a|b'")
    assert source.path.name == "été.gpkg"
    assert source.layer == "my parcels"
    assert source.where == "\"crop\" = 'a|b'"
    assert VectorSource.parse("x.shp|layerid=2|geometrytype=Polygon").layer == 2


def test_labels_are_text_and_bad_rows_are_counted(tmp_path) -> None:
    bowtie = Polygon([(0, 0), (10, 10), (10, 0), (0, 10)])
    parts = MultiPolygon([box(0, 0, 1, 1), box(5, 5, 6, 6)])
    text = write(
        tmp_path / "p.gpkg", [box(0, 0, 1, 1), bowtie, parts, box(2, 2, 3, 3), None], [1, 2, 3, None, 4]
    )
    found = read_labelled(text, "crop")
    assert found.frame["code"].tolist() == ["1", "2", "3"]
    assert found.frame["id"].tolist() == ["1", "2", "3"]
    assert found.frame.geometry.is_valid.all()
    assert found.frame.geometry[1].area == pytest.approx(50)
    assert found.frame.geometry[2].geom_type == "MultiPolygon"
    text = " ".join(found.notes)
    assert "1 features without geometry" in text
    assert "1 of 5 features have no value in 'crop'" in text
    assert "1 invalid polygons were repaired" in text


def test_layer_and_filter_are_respected(tmp_path) -> None:
    path = tmp_path / "two layers.gpkg"
    write(path, [box(0, 0, 1, 1)] * 3, ["a", "b", "b"], layer="one")
    write(path, [box(0, 0, 1, 1)], ["c"], layer="two")
    assert read_labelled(f"{path}|layername=two", "crop").frame["code"].tolist() == ["c"]
    assert len(read_vector(f"{path}|layername=one|subset=crop = 'b'")) == 2
    with pytest.raises(InputError, match="filter leaves no feature"):
        read_vector(f"{path}|layername=one|subset=crop = 'z'")
    with pytest.raises(InputError, match="can't be read"):
        read_vector(f"{path}|layername=three")


def test_messages_name_the_thing_and_the_way_out(tmp_path) -> None:
    good = write(tmp_path / "p.gpkg", [box(0, 0, 1, 1)], ["a"])
    with pytest.raises(InputError, match=r"no field 'culture'\. Its fields: crop"):
        read_labelled(good, "culture")
    with pytest.raises(InputError, match="not found"):
        read_labelled(str(tmp_path / "none.gpkg"), "crop")
    (tmp_path / "broken.gpkg").write_text("no database")
    with pytest.raises(InputError, match=r"broken\.gpkg can't be read"):
        read_labelled(str(tmp_path / "broken.gpkg"), "crop")
    with pytest.raises(InputError, match=r"empty for every feature\. Fill it in"):
        read_labelled(write(tmp_path / "n.geojson", [box(0, 0, 1, 1)] * 2, [None, ""]), "crop")
    with pytest.raises(InputError, match="holds lines"):
        read_labelled(write(tmp_path / "l.gpkg", [LineString([(0, 0), (1, 1)])], ["a"]), "crop")
    empty = gpd.GeoDataFrame({"crop": np.array([], dtype=str)}, geometry=[], crs=UTM)
    empty.to_file(tmp_path / "e.gpkg")
    with pytest.raises(InputError, match="it has no features"):
        read_labelled(str(tmp_path / "e.gpkg"), "crop")
    shape = tmp_path / "s.shp"
    write(shape, [box(0, 0, 1, 1)], ["a"])
    shape.with_suffix(".prj").unlink()
    with pytest.raises(InputError, match="no coordinate reference system"):
        read_labelled(str(shape), "crop")


def test_another_crs_is_brought_to_the_grid(tmp_path) -> None:
    squares = gpd.GeoSeries(
        [box(500100, 5599300, 500200, 5599400), box(600000, 5599300, 600100, 5599400)], crs=UTM
    )
    text = write(tmp_path / "p.gpkg", squares.to_crs(4326), ["a", "b"], crs=4326)
    found = on_grid(read_labelled(text, "crop"), GRID, "a.json")
    assert found.frame["code"].tolist() == ["a"]
    assert found.frame.geometry[0].centroid.distance(Point(500150, 5599350)) < 0.1
    assert "1 of 2 features lie outside the images of a.json" in found.notes[-1]
    assert lon_lat(found.frame)[0] == pytest.approx((3.00212, 50.54614), abs=1e-3)


def test_no_overlap_names_both_extents_and_crs(tmp_path) -> None:
    text = write(tmp_path / "far.gpkg", [box(10, 48, 10.1, 48.1)], ["a"], crs=4326)
    with pytest.raises(InputError) as caught:
        on_grid(read_labelled(text, "crop"), GRID, "a.json")
    for part in ("far.gpkg", "a.json", "x 10 to 10.1", "EPSG:4326", "x 500000 to 501000", "EPSG:32631"):
        assert part in caught.value.message
