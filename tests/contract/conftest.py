"""What the plugin and the engine say of themselves, asked once."""

import json
import os
import subprocess
from pathlib import Path

import provider_help
import pytest
from qgis.core import Qgis

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


@pytest.fixture(scope="session")
def written_by_this_qgis():
    """Skips where another version of QGIS words its help and its model files differently."""
    version = Qgis.QGIS_VERSION
    if not version.startswith("3.22."):
        pytest.skip(f"snapshot, pages and model file are written with QGIS 3.22; this is {version}")


@pytest.fixture(scope="session")
def help_of(stage_folder, tmp_path_factory):
    """Answer of `qgis_process --json help` for each algorithm."""
    return provider_help.provider_help(stage_folder, tmp_path_factory.mktemp("profile"))


@pytest.fixture(scope="session")
def fields():
    """Fields of the engine's jobs, asked of the engine's own Python."""
    python = os.environ.get("SITS_ENGINE_PYTHON", str(ROOT / ".venv" / "bin" / "python"))
    env = {**os.environ, "PYTHONPATH": str(ROOT / "engine")}
    done = subprocess.run([python, HERE / "engine_fields.py"], env=env, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)
