"""The plugin and the engine agree on their folder."""

import importlib.util
import sys
from pathlib import Path

import pytest

ENGINE_HOME = Path(__file__).resolve().parents[2] / "engine" / "sits_engine" / "home.py"


def engine_home():
    spec = importlib.util.spec_from_file_location("engine_home", ENGINE_HOME)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.home()


@pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"SITS_QGIS_HOME": "~/sits é"},
        {"SITS_QGIS_HOME": "relative"},
        {"XDG_DATA_HOME": "/x"},
        {"LOCALAPPDATA": "/local"},
    ],
)
def test_same_rule_in_plugin_and_engine(monkeypatch, platform, variables):
    from sits_qgis import home

    for name in ("SITS_QGIS_HOME", "XDG_DATA_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "platform", platform)
    assert home.home() == engine_home()
    assert home.home().is_absolute()
