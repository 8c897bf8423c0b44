"""The real main window under Xvfb: dialogs open, a run from a dialog puts a styled map on the canvas."""

import json
import os
import shutil
import struct
import subprocess
from pathlib import Path

import gui
import pytest
from qgis.PyQt.QtGui import QImage

ROOT = Path(__file__).resolve().parents[2]
ENGINE = os.environ.get("SITS_ENGINE_PYTHON", str(ROOT / ".venv" / "bin" / "python"))
MAKE = (
    "setupengine",
    "enginestatus",
    "createdemodata",
    "buildtimeseries",
    "trainsourcemodel",
    "describemodel",
)
USE = ("mapcrops", "planmap", "assessmap", "createvalidationsample", "cropmapmodel", "exportmodel")
ADAPT = ("estimatetemporalshift", "adapttoregion", "compareadaptation", "adaptandmap")
TICKS = ("makepseudomasks", "windowstomap")
WORDS = ("fetchclip", "trainphotomodel", "mapzeroshot", "mapsimilarity", "mapscenicness", "retrievephotos")
ALGORITHMS = MAKE + USE + ADAPT + TICKS + WORDS

pytestmark = [
    pytest.mark.skipif(
        not shutil.which("xvfb-run"), reason="xvfb-run is not installed (apt-get install xvfb)"
    ),
    pytest.mark.timeout(600),
]


def engine(home, *words):
    """Run the engine's command line."""
    env = {**os.environ, "SITS_QGIS_HOME": str(home), "OMP_NUM_THREADS": "1"}
    command = [ENGINE, str(ROOT / "engine" / "start.py"), *map(str, words)]
    done = subprocess.run(command, env=env, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()[-3000:]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def data(home, tmp_path_factory):
    """A small region with series and a model that was trained for moments."""
    folder = tmp_path_factory.mktemp("données")
    engine(home, "createdemodata", "--output-folder", folder, "--size", 192, "--dates", 12, "--seed", 3)
    for name in ("region_a", "region_b"):
        images, made = folder / name / "images", folder / f"{name}.json"
        engine(home, "buildtimeseries", "--input-folder", images, "--output", made)
    region, series = folder / "region_a", folder / "region_a.json"
    engine(
        home, "trainsourcemodel", "--series", series, "--parcels", region / "parcels.gpkg", "--field", "crop",
        "--effort", "quick", "--epochs", 6, "--min-parcels", 3, "--output", folder / "model.safetensors",
    )  # fmt: skip
    return folder


def card(model):
    """The model card, out of the header of the file."""
    raw = model.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    return json.loads(json.loads(raw[8 : 8 + length])["__metadata__"]["sits_model_card"])


def shares(picture, colours):
    """Share of the picture's pixels that have exactly one of `colours`."""
    image = QImage(str(picture))
    assert not image.isNull()
    hits = total = 0
    for y in range(0, image.height(), 4):
        for x in range(0, image.width(), 4):
            total += 1
            hits += image.pixelColor(x, y).name() in colours
    return hits / total


def test_a_run_from_the_dialog_shows_a_styled_map_with_its_legend(stage_folder, home, data):
    parcels = data / "region_a" / "parcels.gpkg"
    output = data / "carte été.tif"
    task = {
        "background": [[str(parcels), "Parcels"]],
        "seconds": 400,
        "runs": [
            {
                "name": "mapcrops",
                "algorithm": "sits:mapcrops",
                "parameters": {
                    "SERIES": str(data / "region_a.json"),
                    "MODEL": str(data / "model.safetensors"),
                    "PARCELS": str(parcels),
                    "OUTPUT": str(output),
                },
                "wait_for": 2,
                "show": "Crop map",
            },
            {
                "name": "createvalidationsample",
                "algorithm": "sits:createvalidationsample",
                "parameters": {
                    "MAP": str(output),
                    "N": 60,
                    "MIN_PER_CLASS": 3,
                    "OUTPUT": str(data / "sample.gpkg"),
                },
                "wait_for": 1,
            },
        ],
    }
    found = gui.drive(task, stage_folder, SITS_QGIS_HOME=str(home), SITS_QGIS_INTERPRETER=ENGINE)
    classes = [[c["name"], c["color"].lower()] for c in card(data / "model.safetensors")["classes"]]
    mapped, drawn = found["runs"]
    by_name = {layer["name"]: layer for layer in mapped["layers"]}
    crop_map = by_name["Crop map 2023 – region_a"]
    assert crop_map["renderer"] == "paletted"
    assert crop_map["legend"] == classes
    assert crop_map["temporal"]
    assert crop_map["season"][0].startswith("2023-")
    assert crop_map["season"][0] < crop_map["season"][1]
    assert output.with_suffix(".qml").is_file()
    fields = by_name["Crops of parcels 2023 – region_a"]
    assert fields["renderer"] == "categorizedSymbol"
    assert fields["legend"] == classes
    assert fields["temporal"]
    assert "runner_up" in fields["map_tip"]
    assert "CPU" in mapped["log"] or "GiB" in mapped["log"], "the log names no device"
    pictures = {Path(path).name: path for path in found["pictures"]}
    assert shares(pictures["mapcrops-map.png"], {colour for _, colour in classes}) > 0.15

    sample = drawn["layers"][0]
    assert sample["name"] == "Validation sample"
    assert sample["count"] == 60
    kind, settings = sample["form"]["reference"]
    assert kind == "ValueMap"
    assert [name for entry in settings["map"] for name in entry.values()] == [name for name, _ in classes]
    assert sample["form"]["stratum"][0] == "Hidden"


def test_an_adapted_model_and_a_comparison_from_their_dialogs(stage_folder, home, data):
    pair = {
        "SERIES": [str(data / "region_a.json")],
        "PARCELS": str(data / "region_a" / "parcels.gpkg"),
        "FIELD": "crop",
        "TARGET_SERIES": [str(data / "region_b.json")],
        "TARGET_PARCELS": str(data / "region_b" / "parcels.gpkg"),
    }
    output = data / "adapté.safetensors"
    adapt = {"MODEL": str(data / "model.safetensors"), "METHOD": "shift", "OUTPUT": str(output)}
    compare = {"TARGET_FIELD": "crop", "METHODS": ["shift"], "SEEDS": 1, "EFFORT": "quick", "WIDTH": "small"}
    files = {"REPORT": str(data / "vergleich.html"), "TABLE": str(data / "vergleich.csv")}
    runs = [
        {"name": "adapttoregion", "parameters": {**pair, **adapt}, "wait_for": 0},
        {"name": "compareadaptation", "parameters": {**pair, **compare, **files}, "wait_for": 1},
    ]
    runs = [{**run, "algorithm": f"sits:{run['name']}", "size": [1000, 760]} for run in runs]
    task = {"runs": runs, "seconds": 400}
    found = gui.drive(task, stage_folder, SITS_QGIS_HOME=str(home), SITS_QGIS_INTERPRETER=ENGINE)
    adapted, compared = found["runs"]
    provenance = card(output)["provenance"]["adapted"]
    assert provenance["method"] == "shift"
    assert f"'SHIFT_DAYS': {provenance['shift_days']}" in adapted["log"]
    (table,) = compared["layers"]
    assert table["name"] == "Comparison of adaptation"
    assert [row[0] for row in table["rows"]] == ["source", "shift", "target"]
    score = table["fields"].index("macro_f1")
    assert all(0 <= row[score] <= 1 for row in table["rows"]), "numbers, not texts"


def test_every_dialog_opens_and_is_kept_as_a_picture(stage_folder, home):
    runs = [
        {"name": f"dialog-{name}", "algorithm": f"sits:{name}", "size": [1000, 760]} for name in ALGORITHMS
    ]
    task = {"runs": runs, "seconds": 240}
    found = gui.drive(task, stage_folder, SITS_QGIS_HOME=str(home), SITS_QGIS_INTERPRETER=ENGINE)
    assert found["plugin"]
    assert len(found["pictures"]) == len(ALGORITHMS)
    for path in found["pictures"]:
        image = QImage(path)
        assert image.width() >= 900, path
