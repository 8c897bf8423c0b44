"""The tools of the repository as modules, and one zip for all tests of the package."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "engine")]


@pytest.fixture(scope="session")
def zip_file(tmp_path_factory):
    import make_zip

    return make_zip.make_zip(tmp_path_factory.mktemp("dist") / "sits_qgis.zip")
