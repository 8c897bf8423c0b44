"""An algorithm as a window runs it: in a background task, while the main thread lives on."""

import json
import time

import pytest
from processes import gone_within
from qgis.core import QgsApplication, QgsProcessingAlgRunnerTask, QgsProcessingContext, QgsProcessingFeedback
from qgis.PyQt.QtCore import QCoreApplication


@pytest.fixture
def task(qgis_app, monkeypatch, fake_engine, home):
    """`task(**parameters)` starts sits:createdemodata on the fake engine; gives (task, feedback, results)."""
    from sits_qgis.processing_algorithms.createdemodata import CreateDemoData

    from sits_qgis import about

    monkeypatch.setattr(about, "ENGINE_START", fake_engine)
    monkeypatch.setenv("SITS_QGIS_INTERPRETER", "/usr/bin/python3")
    kept = []

    def start(**parameters):
        algorithm = CreateDemoData()
        algorithm.initAlgorithm()
        context, feedback, results = QgsProcessingContext(), QgsProcessingFeedback(False), []
        runner = QgsProcessingAlgRunnerTask(algorithm, parameters, context, feedback)
        runner.executed.connect(lambda ok, values: results.append((ok, values)))
        kept.extend([algorithm, context, feedback, runner])
        QgsApplication.taskManager().addTask(runner)
        return runner, feedback, results

    return start


def turn(condition, seconds):
    """Run the main thread's events until `condition()`; the longest pause between two turns (s)."""
    until, last, longest = time.monotonic() + seconds, time.monotonic(), 0.0
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        QCoreApplication.processEvents()
        time.sleep(0.01)
        now = time.monotonic()
        longest, last = max(longest, now - last), now
    return longest


def test_it_runs_in_the_background_and_the_window_stays_alive(task, tmp_path):
    _, _, results = task(OUTPUT_FOLDER=str(tmp_path / "out"), SIZE=64)
    longest = turn(lambda: results, 20)
    ok, values = results[0]
    assert ok
    assert values["OUTPUT_FOLDER"] == str(tmp_path / "out")
    assert longest < 0.5


def test_the_cancel_button_of_a_window(task, tmp_path, monkeypatch):
    pids = tmp_path / "pids.json"
    monkeypatch.setenv("FAKE_ENGINE", json.dumps({"behave": "ignore", "pids": str(pids)}))
    runner, _, results = task(OUTPUT_FOLDER=str(tmp_path / "out"), SIZE=64)
    turn(lambda: pids.exists() and pids.read_text(), 20)
    runner.cancel()
    pressed = time.monotonic()
    left = json.loads(pids.read_text())
    turn(lambda: gone_within(left, 0.01), 5)
    assert time.monotonic() - pressed < 2.0
    turn(lambda: results, 5)
    assert results[0][0] is False


def test_a_flood_does_not_freeze_the_window(task, tmp_path, monkeypatch):
    monkeypatch.setenv("FAKE_ENGINE", json.dumps({"behave": "flood", "lines": 20000}))
    _, _, results = task(OUTPUT_FOLDER=str(tmp_path / "out"), SIZE=64)
    assert turn(lambda: results, 30) < 0.5
    assert results[0][0]
