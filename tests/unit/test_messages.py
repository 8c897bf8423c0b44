"""How messages become words: time left, device, seldom-changing texts."""

import json

import pytest
from recording import Recording


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def reporter(qgis_app):
    from sits_qgis.messages import Reporter

    clock = Clock()
    feedback = Recording()
    reporter = Reporter(feedback, clock)
    reporter.clock, reporter.heard = clock, feedback
    return reporter


def say(reporter, **message):
    reporter.line("out", json.dumps(message))


def test_phase_device_and_time_left(reporter):
    say(reporter, type="progress", percent=10, phase="Mapping", device="NVIDIA RTX", seconds_left=40)
    assert reporter.heard.texts("phase") == ["Mapping · NVIDIA RTX · about 40 s left"]
    say(reporter, type="progress", percent=20, phase="Training on NVIDIA RTX", device="NVIDIA RTX")
    assert reporter.heard.texts("phase")[-1] == "Training on NVIDIA RTX"


def test_the_text_changes_seldom_within_a_phase_and_at_once_with_it(reporter):
    for second in range(60):
        reporter.clock.now = float(second)
        say(reporter, type="progress", percent=second, phase="Mapping", seconds_left=600 - 9 * second)
    assert len(reporter.heard.texts("phase")) == 3
    say(reporter, type="progress", percent=60, phase="Writing", seconds_left=None)
    assert reporter.heard.texts("phase")[-1] == "Writing"


def test_progress_never_falls_and_never_leaves_0_to_100(reporter):
    for percent in (5, 40, 20, 1000, float("nan"), -3):
        say(reporter, type="progress", percent=percent, phase="x")
        reporter.flush()
    assert reporter.heard.progress == [5.0, 40.0, 100.0]


def test_a_warning_comes_once(reporter):
    say(reporter, type="log", level="warning", text="Few dates.")
    say(reporter, type="result", outputs={}, scores={}, warnings=["Few dates.", "Old model."])
    assert reporter.heard.texts("warning") == ["Few dates.", "Old model."]
    assert reporter.result.warnings == ["Few dates.", "Old model."]


def test_a_flood_is_counted(reporter):
    for number in range(1000):
        reporter.line("err", f"line {number}")
    shown = len(reporter.heard.said)
    assert shown == 100
    reporter.clock.now = 2.0
    reporter.flush()
    assert "(900 more lines" in reporter.heard.said[-1][1]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "about 5 s"),
        (42, "about 40 s"),
        (100, "about 2 min"),
        (5000, "about 83 min"),
        (9000, "about 2.5 h"),
    ],
)
def test_durations(seconds, words):
    from sits_qgis.messages import duration

    assert duration(seconds) == words


@pytest.mark.parametrize("line", ["", "{", "[]", '{"a": 1}', '{"type": 1}', "null", "{" * 100000])
def test_what_is_no_message(line):
    from sits_qgis.messages import parse

    assert parse(line) is None
