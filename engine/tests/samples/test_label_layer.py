from __future__ import annotations

import sqlite3

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import pytest
from affine import Affine
from pyproj import CRS
from shapely.geometry import box

from sits_engine.errors import InputError
from sits_engine.samples.label_grid import lay_grid
from sits_engine.samples.label_layer import classes_of, refuse_ticked, write_windows
from sits_engine.samples.label_windows import LabelWindows
from sits_engine.samples.region import make_region
from sits_engine.series.types import Grid

GRID = Grid(CRS.from_epsg(32631).to_wkt(), Affine(10, 0, 500000, 0, -10, 5600000), 20, 30)
CLASSES = ("Winter wheat", "Maïs", "211")
COLORS = {"Winter wheat": "#d9a01c", "Maïs": "#f2e205", "211": "#123456"}


@pytest.fixture
def path(tmp_path):
    """Six windows, the second one ticked beforehand."""
    windows = lay_grid(make_region(GRID), "a", 10)[0]
    ticks = np.zeros((6, 3), dtype=bool)
    ticks[1, :2] = True
    out = tmp_path / "été" / "w.gpkg"
    write_windows(out, windows, CLASSES, COLORS, ticks, ticks.any(axis=1), {"seed": "1"})
    return out


def tick(path, statement):
    """As QGIS edits it. (GDAL's triggers on geometries are functions that Python's SQLite lacks.)"""
    with sqlite3.connect(path) as base:
        for (name,) in base.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            base.execute(f'DROP TRIGGER "{name}"')
        base.execute(statement)
    base.close()


def test_the_layer_has_yes_no_fields_that_read_back_as_crops(path) -> None:
    info = pyogrio.read_info(path, layer="windows")
    assert info["fields"].tolist() == ["window", "done", "winter_wheat", "mais", "crop_211"]
    assert info["ogr_subtypes"] == ["OFSTNone"] + ["OFSTBoolean"] * 4
    frame = gpd.read_file(path, layer="windows")
    assert frame["window"].tolist() == [1, 2, 3, 4, 5, 6]
    assert frame["done"].tolist() == [False, True] + [False] * 4
    assert classes_of(path)["mais"] == ("Maïs", "#f2e205")
    tick(path, 'UPDATE windows SET crop_211 = 1, done = 1 WHERE "window" = 3')
    gpd.GeoDataFrame({"a": [1]}, geometry=[box(0, 0, 1, 1)], crs=32631).to_file(path, layer="another")
    found = LabelWindows.read(str(path))
    assert LabelWindows.read(f"{path}|layername=windows").ids.tolist() == found.ids.tolist()
    assert found.classes == CLASSES
    assert found.ids.tolist() == ["2", "3"]
    assert found.ticks.astype(int).tolist() == [[1, 1, 0], [0, 0, 1]]
    assert found.colors == COLORS


def test_ticks_are_not_lost(path) -> None:
    refuse_ticked(path)  # as it was written
    tick(path, 'UPDATE windows SET mais = 1 WHERE "window" = 5')
    with pytest.raises(InputError, match=r"w.gpkg holds 2 windows that are ticked or done \(layer windows\)"):
        refuse_ticked(path)
    tick(path, 'UPDATE windows SET mais = 0 WHERE "window" = 5')
    refuse_ticked(path)
    tick(path, "UPDATE windows SET done = 0, mais = 0, winter_wheat = 0")
    refuse_ticked(path)  # nothing is ticked, nothing can be lost


@pytest.mark.parametrize("values", [[0, 1], [None, 1]])
def test_ticks_stored_as_integers_are_not_lost(tmp_path, values) -> None:
    own = gpd.GeoDataFrame({"rye": pd.array(values, "Int64")}, geometry=[box(0, 0, 1, 1)] * 2, crs=32631)
    own.to_file(tmp_path / "own.gpkg")
    with pytest.raises(InputError, match="holds 1 windows that are ticked"):
        refuse_ticked(tmp_path / "own.gpkg")
    own.assign(rye=[0, 0], window=[1, 1], trees=[1, 7]).to_file(tmp_path / "none.gpkg")
    refuse_ticked(tmp_path / "none.gpkg")


def test_one_window_that_nobody_ticked_may_be_made_anew(tmp_path) -> None:
    """Its number is no tick."""
    windows = lay_grid(make_region(GRID), "a", 10, max_windows=1)[0]
    none = np.zeros((1, 3), dtype=bool)
    write_windows(tmp_path / "w.gpkg", windows, CLASSES, COLORS, none, none[:, 0], {})
    refuse_ticked(tmp_path / "w.gpkg")


def test_layers_of_ones_own_are_not_lost_either(tmp_path) -> None:
    refuse_ticked(tmp_path / "nothing.gpkg")
    own = gpd.GeoDataFrame({"rye": [False, True]}, geometry=[box(0, 0, 1, 1)] * 2, crs=32631)
    own.to_file(tmp_path / "own.gpkg", layer="villages")
    with pytest.raises(InputError, match=r"holds 1 windows that are ticked or done \(layer villages\)"):
        refuse_ticked(tmp_path / "own.gpkg")
    own.drop(columns="rye").to_file(tmp_path / "plain.gpkg")
    refuse_ticked(tmp_path / "plain.gpkg")
    (tmp_path / "text.gpkg").write_text("no GeoPackage")
    refuse_ticked(tmp_path / "text.gpkg")
    assert classes_of(tmp_path / "text.gpkg") == classes_of(tmp_path / "own.gpkg") == {}
