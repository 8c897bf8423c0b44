"""The plugin imports qgis, osgeo and the standard library, relative to itself, and changes no sys.path."""

import ast
import importlib
import pkgutil
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted([*(ROOT / "sits_qgis").rglob("*.py"), *(ROOT / "processing_algorithms").rglob("*.py")])
ALLOWED = {"qgis", "osgeo"} | set(sys.stdlib_module_names)
#: Loading code from data, and PyQt by a name that binds to one version of Qt.
BANNED = {"pickle", "marshal", "shelve", "dill", "joblib", "numpy", "urllib.request"}


def imported(tree):
    """(name, level) of every import in a tree, those inside functions included."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, 0) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or "", node.level


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_only_qgis_osgeo_and_the_standard_library(path):
    tree = ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 9))
    for name, level in imported(tree):
        if level == 0:
            assert name.split(".")[0] in ALLOWED, f"{path}: {name}"
            assert name not in BANNED, f"{path}: {name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "sys":
            assert node.attr not in ("path", "executable"), f"{path}:{node.lineno}"


def test_nothing_is_printed():
    """stdout belongs to the JSON of `qgis_process --json`."""
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id != "print", f"{path}:{node.lineno}"


def test_every_module_loads():
    """An import that fails at load is silent in qgis_process: 'Algorithm not found'."""
    import sits_qgis

    names = [m.name for m in pkgutil.walk_packages(sits_qgis.__path__, "sits_qgis.")]
    names = [name for name in names if not name.startswith("sits_qgis.engine")]
    assert {"sits_qgis.process", "sits_qgis.processing_algorithms.setupengine"} <= set(names)
    for name in names:
        importlib.import_module(name)
