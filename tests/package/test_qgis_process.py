"""The isolated QGIS that demo and tests run: nothing of the caller's QGIS or Python gets in."""

import os

import qgis_process


def test_nothing_of_the_caller_gets_in(tmp_path, monkeypatch):
    venv = tmp_path / "venv"
    monkeypatch.setenv("VIRTUAL_ENV", str(venv))
    monkeypatch.setenv("PATH", os.pathsep.join([str(venv / "bin"), "/usr/bin"]))
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    monkeypatch.setenv("QGIS_PREFIX_PATH", "/other")
    env = qgis_process.environment(tmp_path / "profil é", tmp_path, SITS_QGIS_HOME="/home")
    assert env["PATH"] == "/usr/bin"
    assert not {"PYTHONPATH", "QGIS_PREFIX_PATH", "VIRTUAL_ENV"} & set(env)
    assert env["QGIS_PLUGINPATH"] == str(tmp_path)
    assert env["SITS_QGIS_HOME"] == "/home"
    settings = tmp_path / "profil é" / "profiles" / "default" / "QGIS" / "QGIS3.ini"
    assert "sits_qgis=true" in settings.read_text()


def test_settings_of_a_profile_are_kept(tmp_path):
    settings = tmp_path / "profiles" / "default" / "QGIS" / "QGIS3.ini"
    settings.parent.mkdir(parents=True)
    settings.write_text("[PythonPlugins]\nother=true\n")
    qgis_process.environment(tmp_path, None)
    assert settings.read_text() == "[PythonPlugins]\nother=true\n"


def test_lists_repeat_their_key():
    assert qgis_process.arguments({"A": 1, "LAYERS": ["a b.tif", "c.tif"]}) == [
        "A=1",
        "LAYERS=a b.tif",
        "LAYERS=c.tif",
    ]
