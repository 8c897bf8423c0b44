"""Which layer of a file is read, and what the user hears of it."""

import geopandas as gpd
import pandas as pd
import pyogrio
import pytest
from shapely.geometry import box

from sits_engine.errors import Notice
from sits_engine.series.vector_source import VectorSource


def write(path, layer):
    gpd.GeoDataFrame({"name": ["a"]}, geometry=[box(0, 0, 1, 1)], crs=32631).to_file(path, layer=layer)


def test_the_first_of_several_layers_is_read_and_named(tmp_path):
    path = tmp_path / "été.gpkg"
    for layer in ("fields", "forests", "lakes"):
        write(path, layer)
    with pytest.warns(Notice) as told:
        assert VectorSource.parse(str(path)).options == {"layer": "fields"}
    assert [str(one.message) for one in told] == [
        "été.gpkg has several layers and none is named: its first one, 'fields', is used. To use another one "
        "('forests', 'lakes'), write été.gpkg|layername=NAME."
    ]


@pytest.mark.filterwarnings("error")
def test_nothing_is_said_where_no_other_layer_could_be_meant(tmp_path):
    path = tmp_path / "p.gpkg"
    write(path, "fields")
    pyogrio.write_dataframe(pd.DataFrame({"name": ["a"]}), path, layer="styles", append=True)
    assert VectorSource.parse(str(path)).options == {"layer": "fields"}
    write(path, "forests")
    assert VectorSource.parse(f"{path}|layername=forests").options == {"layer": "forests"}
    assert VectorSource.parse(str(tmp_path / "none.gpkg")).options == {}
