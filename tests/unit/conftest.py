"""The staged plugin, imported as QGIS does, with the fake engine in place of the real one."""

import sys

import pytest
from inputs import model, series


@pytest.fixture(scope="session", autouse=True)
def staged(stage_folder):
    """`import sits_qgis` finds the staged plugin."""
    sys.path.insert(0, str(stage_folder))
    import sits_qgis

    assert str(stage_folder) in sits_qgis.__file__
    return stage_folder / "sits_qgis"


@pytest.fixture
def context(qgis_app):
    """A context with the project, which is empty again afterwards."""
    from qgis.core import QgsProcessingContext, QgsProject

    context = QgsProcessingContext()
    context.setProject(QgsProject.instance())
    yield context
    QgsProject.instance().clear()
    # layers of files must go before QGIS does
    context.temporaryLayerStore().removeAllMapLayers()


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty home of the plugin, with a name that is hard to handle."""
    folder = tmp_path / "dossier été"
    monkeypatch.setenv("SITS_QGIS_HOME", str(folder))
    monkeypatch.delenv("SITS_QGIS_INTERPRETER", raising=False)
    return folder


@pytest.fixture
def run(monkeypatch, fake_engine, home):
    """`run(feedback, **params)` runs a job of the fake engine."""
    from sits_qgis import about, environment, process

    monkeypatch.setattr(about, "ENGINE_START", fake_engine)

    def call(feedback, hello_within=20.0, **params):
        where = environment.Environment("/usr/bin/python3", "own")
        return process.run_job("job", params, feedback, where, hello_within)

    return call


@pytest.fixture
def strict():
    """A feedback to which a warning is a failure."""

    class Strict:
        def pushWarning(self, text):
            raise AssertionError(text)

    return Strict()


@pytest.fixture
def engine_there(qgis_app, monkeypatch, staged):
    """A machine with an engine: algorithms can be executed."""
    from sits_qgis.algorithm import EngineAlgorithm

    monkeypatch.setattr(EngineAlgorithm, "canExecute", lambda self: (True, ""))


@pytest.fixture
def map_files(tmp_path):
    """Series, model and output of a map."""
    return {
        "SERIES": series(tmp_path / "a.json"),
        "MODEL": model(tmp_path / "m.safetensors"),
        "OUTPUT": str(tmp_path / "map.tif"),
    }
