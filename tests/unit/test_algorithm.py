"""From parameters to a job and from its result to outputs, through a real algorithm object."""

import json

import pytest
from qgis.core import (
    QgsProcessingContext,
    QgsProcessingOutputNumber,
    QgsProcessingOutputString,
    QgsProcessingParameterFileDestination,
    QgsProcessingParameterString,
)
from recording import Recording


@pytest.fixture
def algorithm(monkeypatch, fake_engine, home):
    """A maker of algorithms on the fake engine; `after` collects what afterJob was told."""
    from sits_qgis import about
    from sits_qgis.algorithm import EngineAlgorithm

    monkeypatch.setattr(about, "ENGINE_START", fake_engine)
    monkeypatch.setenv("SITS_QGIS_INTERPRETER", "/usr/bin/python3")
    after = []

    class Example(EngineAlgorithm):
        JOB = "example"

        def displayName(self):
            return "Example"

        def initAlgorithm(self, config=None):
            self.addParameter(QgsProcessingParameterString("BEHAVE", "Behave", "well"))
            self.addParameter(QgsProcessingParameterFileDestination("OUTPUT", "Output", "Text (*.txt)"))
            self.addOutput(QgsProcessingOutputNumber("ACCURACY", "Accuracy"))
            self.addOutput(QgsProcessingOutputNumber("PIXELS", "Pixels"))
            self.addOutput(QgsProcessingOutputString("NOTE", "Note"))

        def jobParameters(self, parameters, context, feedback):
            return {
                "behave": self.parameterAsString(parameters, "BEHAVE", context),
                "output": self.parameterAsFileOutput(parameters, "OUTPUT", context),
            }

        def afterJob(self, result, outputs, context, feedback):
            after.append((result.scores, dict(outputs)))

    def make():
        instance = Example()
        instance.initAlgorithm()
        return instance

    make.after = after
    return make


def execute(algorithm, **parameters):
    feedback = Recording()
    results, ok = algorithm.run(parameters, QgsProcessingContext(), feedback)
    return results, ok, feedback


def test_outputs_and_scores_come_under_their_declared_names(qgis_app, algorithm, tmp_path):
    output = str(tmp_path / "a.txt")
    results, ok, _ = execute(algorithm(), OUTPUT=output)
    assert ok
    assert results == {"OUTPUT": output, "ACCURACY": 0.5, "PIXELS": 7.0, "NOTE": "good"}
    assert algorithm.after == [({"accuracy": 0.5, "note": "good", "pixels": 7}, results)]


def test_a_promised_file_that_is_missing_is_a_failure(qgis_app, algorithm, tmp_path):
    _, ok, feedback = execute(algorithm(), OUTPUT=str(tmp_path / "a.txt"), BEHAVE="liar")
    assert not ok
    assert f"not there: {tmp_path / 'a.txt'}" in "\n".join(feedback.texts("error"))
    assert algorithm.after == []


def test_a_failure_keeps_its_sentence(qgis_app, algorithm, tmp_path):
    _, ok, feedback = execute(algorithm(), OUTPUT=str(tmp_path / "a.txt"), BEHAVE="error")
    assert not ok
    assert "The file is no raster. Choose another." in "\n".join(feedback.texts("error"))


def test_without_an_engine_it_says_what_to_do(qgis_app, algorithm, monkeypatch):
    monkeypatch.delenv("SITS_QGIS_INTERPRETER")
    instance = algorithm()
    for ok, message in (
        instance.canExecute(),
        instance.checkParameterValues({"OUTPUT": "/tmp/a.txt"}, QgsProcessingContext()),
    ):
        assert not ok
        assert message.endswith("run the algorithm 'Set up engine' (sits:setupengine) once.")


def test_checks_of_qgis_still_hold(qgis_app, algorithm):
    ok, message = algorithm().checkParameterValues({}, QgsProcessingContext())
    assert not ok
    assert "OUTPUT" in message


def test_what_does_not_go_together_is_asked_after_the_checks_of_qgis(qgis_app, algorithm, monkeypatch):
    instance = algorithm()
    given = {"OUTPUT": "/tmp/a.txt"}
    assert instance.checkParameterValues(given, QgsProcessingContext()) == (True, "")
    monkeypatch.setattr(instance, "problem", lambda parameters, context: "Give one of both.")
    assert instance.checkParameterValues(given, QgsProcessingContext()) == (False, "Give one of both.")
    _, message = instance.checkParameterValues({}, QgsProcessingContext())
    assert "OUTPUT" in message


def test_a_list_or_dict_of_scores_becomes_text(qgis_app):
    from sits_qgis.algorithm import declared_outputs
    from sits_qgis.messages import EngineResult

    class Declares:
        def outputDefinitions(self):
            return [
                QgsProcessingOutputString("AREAS"),
                QgsProcessingOutputNumber("BROKEN"),
                QgsProcessingOutputNumber("UNKNOWN"),
            ]

        def parameterDefinition(self, name):
            return None

    found = declared_outputs(
        Declares(), EngineResult({}, {"areas": {"Blé": 3}, "broken": "n/a", "unknown": None, "more": 1}), {}
    )
    assert json.loads(found["AREAS"]) == {"Blé": 3}
    assert found["BROKEN"] is None
    assert set(found) == {"AREAS", "BROKEN"}
