"""The isolated QGIS that demo and tests run: nothing of the caller's QGIS or Python gets in."""

import os

import pytest
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


def executables(folder, *names):
    """A folder of programs that do nothing."""
    folder.mkdir()
    for name in names:
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(0o755)
    return str(folder)


@pytest.mark.skipif(os.name == "nt", reason="QGIS brings its own launcher there")
def test_the_python_of_qgis_is_found_before_any_other(tmp_path, monkeypatch):
    pyenv = executables(tmp_path / "pyenv", "python3")
    system = executables(tmp_path / "system", "python3", "qgis_process")
    other = executables(tmp_path / "other", "uv")
    monkeypatch.delenv("VIRTUAL_ENV", raising=False)
    monkeypatch.setenv("PATH", os.pathsep.join([pyenv, other, system]))
    path = qgis_process.environment(tmp_path / "p", None)["PATH"]
    assert path == os.pathsep.join([system, pyenv, other])
    # a folder of QGIS without a Python leads nobody astray
    os.unlink(tmp_path / "system" / "python3")
    path = qgis_process.environment(tmp_path / "p", None)["PATH"]
    assert path == os.pathsep.join([pyenv, other, system])


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
