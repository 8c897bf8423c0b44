"""An engine that is installed alone, on a server without the plugin."""

import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
UV = ROOT / "build" / "tools" / "uv"


@pytest.mark.skipif(not UV.exists(), reason="build/tools/uv is missing (make dev)")
def test_the_wheel_has_the_prompts(tmp_path):
    for name in ("engine", "resources"):
        unwanted = shutil.ignore_patterns("tests", "__pycache__", "build", "*.egg-info")
        shutil.copytree(ROOT / name, tmp_path / name, ignore=unwanted)
    command = [UV, "build", "--wheel", "--quiet", "--out-dir", tmp_path / "made", tmp_path / "engine"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,) = (tmp_path / "made").glob("*.whl")
    found = set(zipfile.ZipFile(wheel).namelist())
    tables = {f"sits_engine/prompts/{one.name}" for one in (ROOT / "resources" / "prompts").glob("*.csv")}
    assert len(tables) == 6
    assert tables <= found
    assert "sits_engine/cli.py" in found
    # and an engine without the plugin beside it looks there
    site = tmp_path / "lib" / "site"
    zipfile.ZipFile(wheel).extractall(site)
    code = "from sits_engine.models.clip.prompts import RESOURCES; print(RESOURCES)"
    command = [ROOT / ".venv" / "bin" / "python", "-c", code]
    said = subprocess.run(command, cwd=site, capture_output=True, text=True, check=False)
    assert Path(said.stdout.strip()) == site / "sits_engine" / "prompts", said.stderr
