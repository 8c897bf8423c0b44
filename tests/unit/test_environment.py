"""Which interpreter runs the engine, and the one sentence where there is none."""

import json
from pathlib import Path

import pytest


@pytest.fixture
def made(home):
    """An environment of this plugin's lock file that looks ready."""
    from sits_qgis import environment

    folder = environment.folder("cpu")
    python = environment.python_of(folder)
    python.parent.mkdir(parents=True)
    python.write_text("")
    (folder / environment.READY).write_text("{}")
    where = environment.Environment(str(python), "cpu", str(folder))
    environment.remember(where)
    return where


def missing():
    from sits_qgis import environment

    with pytest.raises(environment.EngineMissing) as caught:
        environment.find()
    text = str(caught.value)
    assert "sits:setupengine" in text
    assert text.endswith(".")
    assert ". " not in text  # one sentence
    return text


def test_nothing_set_up(home):
    assert "not set up yet" in missing()


def test_ready(made):
    from sits_qgis import environment

    assert environment.find() == made


def test_the_variable_comes_first(made, monkeypatch):
    from sits_qgis import environment

    monkeypatch.setenv("SITS_QGIS_INTERPRETER", "/usr/bin/python3")
    assert environment.find() == environment.Environment("/usr/bin/python3", "own")
    monkeypatch.setenv("SITS_QGIS_INTERPRETER", "/opt/no-python")
    assert "/opt/no-python" in missing()


def test_incomplete(made):
    from sits_qgis import environment

    (Path(made.folder) / environment.READY).unlink()
    assert "gone or incomplete" in missing()


def test_interpreter_removed(made):
    Path(made.interpreter).unlink()
    assert "gone or incomplete" in missing()


def test_other_lock_file(made, monkeypatch, tmp_path):
    from sits_qgis import about

    (tmp_path / "cpu.txt").write_text("torch==99\n")
    monkeypatch.setattr(about, "REQUIREMENTS", tmp_path)
    assert "another version of this plugin" in missing()


def test_line_ends_make_no_other_environment(monkeypatch, tmp_path):
    from sits_qgis import about, environment

    monkeypatch.setattr(about, "REQUIREMENTS", tmp_path)
    (tmp_path / "cpu.txt").write_bytes(b"a==1\nb==2\n")
    unix = environment.folder("cpu")
    (tmp_path / "cpu.txt").write_bytes(b"a==1\r\nb==2\r\n")
    assert environment.folder("cpu") == unix
    (tmp_path / "cpu.txt").write_bytes(b"a==1\nb==3\n")
    assert environment.folder("cpu") != unix


def test_own_interpreter_gone(home, tmp_path):
    from sits_qgis import environment

    environment.remember(environment.Environment(str(tmp_path / "python"), "own"))
    assert str(tmp_path / "python") in missing()


@pytest.mark.parametrize("text", ["", "[]", "{}", json.dumps({"interpreter": "x"})])
def test_a_damaged_record_counts_as_none(home, text):
    from sits_qgis.home import engine_record

    home.mkdir(parents=True)
    engine_record().write_text(text)
    assert "not set up yet" in missing()
