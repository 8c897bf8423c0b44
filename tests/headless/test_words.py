"""A class map and the best places from words: real qgis_process, real engine, a tiny photo model."""

import json
import os
import subprocess

import layout
import pytest
from osgeo import gdal, ogr

#: Written by the engine's own Python: a series of a year, a CLIP model and a photo model in its space.
WORLD = (
    "import sys, pathlib; from support.word_maps import write_world; write_world(pathlib.Path(sys.argv[1]))"
)
CLASSES = "wheat\nvineyard: rows of vines; vines in autumn\nwet meadow"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mots d'été")
    tests = layout.ROOT / "engine" / "tests"
    python = os.environ.get("SITS_ENGINE_PYTHON", layout.ROOT / ".venv" / "bin" / "python")
    subprocess.run(
        [str(python), "-c", WORLD, str(folder)],
        env={
            **os.environ,
            "PYTHONPATH": f"{tests.parent}{os.pathsep}{tests}",
            "SITS_QGIS_HOME": str(folder / "home"),
        },
        check=True,
    )
    return folder


def run(real, name, folder, *words):
    given = (f"SERIES={folder / 'series.json'}", f"MODEL={folder / 'photos 1.safetensors'}", "DEVICE=cpu")
    return real.call("--json", "run", f"sits:{name}", "--", *given, *words, timeout=300)


def test_classes_of_several_lines(real, world):
    path = world / "carte.tif"
    status, out, err = run(
        real, "mapzeroshot", world, f"CLASSES={CLASSES}", f"OUTPUT={path}", "BACKGROUND=none of these"
    )
    assert status == 0, err
    assert json.loads(out)["results"]["PIXELS"] == 70 * 90
    data = gdal.Open(str(path))
    band = data.GetRasterBand(1)
    data.GetRasterBand(2).GetDescription()  # GDAL 3.6 reads the names only after something else
    assert band.GetColorTable() is not None
    assert band.GetRasterCategoryNames()[1:] == ["wheat", "vineyard", "wet meadow", "none of these"]
    style = path.with_suffix(".qml").read_text(encoding="utf-8")
    assert 'type="paletted"' in style
    assert 'label="wet meadow"' in style


def test_a_text_and_its_best_places(real, world):
    path, points = world / "où.tif", world / "lieux.gpkg"
    status, out, err = run(
        real,
        "mapsimilarity",
        world,
        "TEXT=a vineyard\nrows of vines",
        f"OUTPUT={path}",
        f"OUTPUT_PLACES={points}",
        "K=3",
        "DISTANCE=100",
    )
    assert status == 0, err
    assert json.loads(out)["results"]["PLACES"] == 3
    assert 'type="singlebandpseudocolor"' in path.with_suffix(".qml").read_text(encoding="utf-8")
    data = ogr.Open(str(points))  # owns its layers
    assert [row["rank"] for row in data.GetLayer(0)] == [1, 2, 3]


def test_one_class_is_refused_with_the_way_out(real, world):
    status, _, err = run(real, "mapzeroshot", world, "CLASSES=wheat", f"OUTPUT={world / 'a.tif'}")
    assert status != 0
    assert "only one class" in err
    assert "BACKGROUND" in err
    assert not (world / "a.tif").exists()
