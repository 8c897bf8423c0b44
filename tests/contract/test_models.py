"""The graphical models that come with the plugin are what their script makes, and load as algorithms."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_model_files_are_those_of_the_script(tmp_path, written_by_this_qgis):
    script = ROOT / "tests" / "support" / "make_models.py"
    subprocess.run(["/usr/bin/python3", script, tmp_path], check=True, capture_output=True, timeout=120)
    kept = {path.name: path for path in (ROOT / "resources" / "models").glob("*.model3")}
    assert kept.keys() == {path.name for path in tmp_path.glob("*.model3")}
    for name, path in kept.items():
        made = tmp_path / name
        assert made.read_text(encoding="utf-8") == path.read_text(encoding="utf-8"), (
            "run tests/support/make_models.py"
        )


def test_the_model_chains_all_four_steps(help_of):
    answer = help_of["sits:cropmapmodel"]
    assert set(answer["outputs"]) == {
        "build:SERIES",
        "train:MODEL",
        "train:REPORT",
        "map:MAP",
        "assess:REPORT",
    }
    text = (ROOT / "resources" / "models" / "crop_map.model3").read_text(encoding="utf-8")
    for step in ("buildtimeseries", "trainsourcemodel", "mapcrops", "assessmap"):
        assert f'name="alg_id" value="sits:{step}"' in text


def test_adapt_and_map_chains_build_adapt_and_map(help_of):
    answer = help_of["sits:adaptandmap"]
    assert set(answer["outputs"]) == {"build:SERIES", "adapt:MODEL", "adapt:REPORT", "map:MAP"}
    assert answer["parameters"]["REGION"]["optional"]
    text = (ROOT / "resources" / "models" / "adapt_and_map.model3").read_text(encoding="utf-8")
    for step in ("buildtimeseries", "adapttoregion", "mapcrops"):
        assert f'name="alg_id" value="sits:{step}"' in text


def test_windows_to_map_chains_masks_training_and_map(help_of):
    answer = help_of["sits:windowstomap"]
    assert set(answer["outputs"]) == {
        "masks:MASKS",
        "masks:REPORT",
        "train:MODEL",
        "train:REPORT",
        "map:MAP",
    }
    assert answer["parameters"]["FIELDS"]["optional"]
    text = (ROOT / "resources" / "models" / "windows_to_map.model3").read_text(encoding="utf-8")
    for step in ("makepseudomasks", "trainsegmentationmodel", "mapcrops"):
        assert f'name="alg_id" value="sits:{step}"' in text
