"""Plugin tests run on the staged tree, as QGIS loads it; helpers of `tests/support` are importable."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests" / "support"), str(ROOT / "tools")]


@pytest.fixture(scope="session")
def stage_folder():
    """Folder that holds the staged plugin, brought in line with the working tree."""
    import layout
    import stage

    return stage.stage(layout.ROOT / "build" / "stage").parent


@pytest.fixture(scope="session")
def fake_engine():
    """Start file of the engine that misbehaves on order."""
    return ROOT / "tests" / "support" / "fake_engine.py"
