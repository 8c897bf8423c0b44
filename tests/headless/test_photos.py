"""Photos that look like places, and scores of a photo model: real qgis_process, real engine, tiny models."""

import csv
import json
import subprocess

import layout
import pytest
from osgeo import ogr

#: Written by the engine's own Python: a world (`support.word_maps`), twelve photos with a class, two places.
WORLD = """
import pathlib, sys
import geopandas, numpy
from PIL import Image
from shapely.geometry import Point
from support.word_maps import write_world
from sits_engine.series.time_series import TimeSeries

folder = pathlib.Path(sys.argv[1])
write_world(folder)
grid = TimeSeries.open(folder / "series.json").grid
at = [grid.transform * (5.5 + 6 * i, 8.5 + 4 * i) for i in range(12)]
rng = numpy.random.default_rng(0)
for i in range(12):
    Image.fromarray(rng.integers(0, 255, (40, 60, 3), dtype=numpy.uint8)).save(folder / f"Blick #{i}.jpg")
rows = {"photo": [f"Blick #{i}.jpg" for i in range(12)], "crop": ["wheat", "maize", "forest"] * 4}
geopandas.GeoDataFrame(rows, geometry=[Point(p) for p in at], crs=grid.crs).to_file(folder / "photos.gpkg")
geopandas.GeoDataFrame({"n": ["a", "b"]}, geometry=[Point(p) for p in at[:2]], crs=grid.crs).to_file(
    folder / "places.gpkg"
)
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return tmp_path_factory.mktemp("Fotos d'été")


@pytest.fixture
def world(real, made):
    if not (made / "places.gpkg").exists():
        tests = layout.ROOT / "engine" / "tests"
        subprocess.run(
            [real.env["SITS_QGIS_INTERPRETER"], "-c", WORLD, str(made)],
            env={**real.env, "PYTHONPATH": f"{tests.parent}:{tests}", "OMP_NUM_THREADS": "1"},
            check=True,
        )
    return made


def run(real, name, folder, *words):
    given = (f"SERIES={folder / 'series.json'}", f"MODEL={folder / 'photos 1.safetensors'}", "DEVICE=cpu")
    return real.call("--json", "run", f"sits:{name}", "--", *given, *words, timeout=300)


def test_photos_of_places_and_an_index_to_use_again(real, world):
    found, sheet, index = world / "gefunden.gpkg", world / "bogen.html", world / "Verzeichnis"
    asked = (f"PLACES={world / 'places.gpkg'}", "ID_FIELD=n", f"OUTPUT={found}", f"INDEX={index}", "K=4")
    status, out, err = run(
        real, "retrievephotos", world, *asked, f"PHOTOS={world / 'photos.gpkg'}", f"REPORT={sheet}"
    )
    assert status == 0, err
    results = json.loads(out)["results"]
    assert (results["N_PLACES"], results["N_PHOTOS"], results["N_FOUND"]) == (2, 12, 8)
    data = ogr.Open(str(found))  # its layers need it
    rows = [(f["query"], f["rank"], f["photo"]) for f in data.GetLayer(0)]
    assert [row[:2] for row in rows] == [(q, r) for q in "ab" for r in (1, 2, 3, 4)]
    assert all(path.startswith(str(world)) for _, _, path in rows)
    style = found.with_suffix(".qml").read_text(encoding="utf-8")
    assert "&lt;img width" in style
    assert 'type="categorizedSymbol"' in style
    assert sheet.read_text(encoding="utf-8").count("data:image/jpeg") == 8
    status, out, err = run(real, "retrievephotos", world, *asked)
    assert status == 0, err
    assert json.loads(out)["results"]["N_FOUND"] == 8


def test_scores_of_a_model(real, world):
    table = world / "scores.csv"
    status, out, err = run(
        real,
        "evaluatephotomodel",
        world,
        f"PHOTOS={world / 'photos.gpkg'}",
        "LABEL_FIELD=crop",
        f"REPORT={world / 'r.html'}",
        f"TABLE={table}",
    )
    assert status == 0, err
    results = json.loads(out)["results"]
    assert results["N_PLACES"] == 12
    assert 0 <= results["ACCURACY"] <= 1
    with table.open(encoding="utf-8") as file:
        assert {row["measure"] for row in csv.DictReader(file)} == {
            "accuracy",
            "mean_class_accuracy",
            "recall",
        }
