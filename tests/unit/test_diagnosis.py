"""The text for a bug report."""

import json

import pytest
from recording import Recording


def collect():
    from sits_qgis import diagnosis

    return diagnosis.as_text(diagnosis.collect(Recording()))


def log(home, name, *lines):
    folder = home / "logs"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_without_an_engine(qgis_app, home):
    text = collect()
    assert "Engine: The engine is not set up yet" in text
    assert f"Folder: {home}" in text
    assert f"Logs: {home / 'logs'}" in text
    assert "Last error: none in the logs" in text


def test_with_an_engine(qgis_app, home, monkeypatch, fake_engine):
    from sits_qgis import about

    monkeypatch.setattr(about, "ENGINE_START", fake_engine)
    monkeypatch.setenv("SITS_QGIS_INTERPRETER", "/usr/bin/python3")
    text = collect()
    assert "Device: cpu, Some CPU, 2 threads, 8.0 GiB" in text
    assert "torch 2.13.0, numpy 2.4" in text
    assert "C++ compiler: Zig 0.17.1" in text
    assert "Logs: /where/logs/really/go" in text
    assert text.count("Logs: ") == 1
    monkeypatch.setenv("FAKE_ENGINE", json.dumps({"behave": "uncompiled"}))
    text = collect()
    assert "C++ compiler: none works" in text
    assert "Zig 0.17.1: AccessDenied" in text
    monkeypatch.setenv("FAKE_ENGINE", json.dumps({"behave": "stillborn"}))
    text = collect()
    assert "No module named torch" in text
    assert f"Logs: {home / 'logs'}" in text


def test_the_newest_error_of_the_newest_log(qgis_app, home):
    log(home, "20260101-100000-serve-1.log", "2026-01-01 10:00:00,000 ERROR sits_engine: OLD: first")
    log(
        home,
        "20260201-100000-serve-2.log",
        "2026-02-01 10:00:00,000 ERROR sits_engine: DISK_FULL: The disk is full.",
        "2026-02-01 10:00:01,000 INFO sits_engine: phase: x",
        "ERROR in a text",
    )
    log(home, "20260301-100000-serve-3.log", "2026-03-01 10:00:00,000 INFO sits_engine: fine")
    text = collect()
    assert "Last error: 20260201-100000-serve-2.log: DISK_FULL: The disk is full." in text


def test_the_page_escapes_what_it_shows(qgis_app):
    from sits_qgis.diagnosis import as_html

    page = as_html([("Error", "<module>\n& more")])
    assert "&lt;module&gt;<br>&amp; more" in page


def test_a_report_that_cannot_be_written(qgis_app, tmp_path):
    from qgis.core import QgsProcessingException
    from sits_qgis.processing_algorithms.enginestatus import write

    (tmp_path / "file").write_text("")
    with pytest.raises(QgsProcessingException, match="Choose another folder"):
        write(str(tmp_path / "file" / "report.txt"), "text")
