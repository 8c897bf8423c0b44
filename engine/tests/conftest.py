"""Shared by all engine tests: source on the path, own home, few threads."""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(1, str(Path(__file__).resolve().parents[0]))  # golden.py
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Homes are new in each test; what was compiled once may serve all of them.
os.environ.setdefault("ZIG_GLOBAL_CACHE_DIR", str(Path(__file__).resolve().parents[2] / "build" / "compiler"))


@pytest.fixture(autouse=True)
def own_home(tmp_path_factory, monkeypatch):
    """Logs and environments of a test go to a folder of its own."""
    monkeypatch.setenv("SITS_QGIS_HOME", str(tmp_path_factory.mktemp("home")))
