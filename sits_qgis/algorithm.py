"""The base of algorithms that the engine computes: from parameters to a job, from its result to outputs."""

import json
import os

from qgis.core import (
    QgsProcessingAlgorithm,
    QgsProcessingException,
    QgsProcessingOutputNumber,
    QgsProcessingOutputString,
)

from . import environment, process
from .i18n import tr


class EngineAlgorithm(QgsProcessingAlgorithm):
    """Runs engine job `JOB`; a subclass says what its parameters and outputs are.

    Hooks: `problem` (what does not go together), `jobParameters` (the job's fields) and `afterJob` (styling,
    layer names). Everything that reads layers runs in `prepareAlgorithm`, on the caller's thread; the engine
    runs in the background.
    """

    JOB = ""

    def createInstance(self):
        """A fresh instance, as QGIS wants one a run."""
        return type(self)()

    def name(self):
        """Stable id inside the provider: the job's name."""
        return self.JOB

    def tr(self, text):
        """Translation of `text`."""
        return tr(text)

    def problem(self, parameters, context):
        """A sentence about parameters that don't go together, or ''; asked where each is good by itself."""
        return ""

    def jobParameters(self, parameters, context, feedback):
        """Fields of the engine's job as a dict, JSON-serialisable; called on the caller's thread.

        Raises:
            QgsProcessingException: a parameter can't be used.
        """
        raise NotImplementedError(type(self).__name__)

    def afterJob(self, result, outputs, context, feedback):
        """Called on the thread of the caller after success; may add to or change `outputs`, a dict.

        Args:
            result: `messages.EngineResult`.
            outputs: declared outputs by name, as they go to QGIS.
            context: QgsProcessingContext.
            feedback: QgsProcessingFeedback.
        """

    def canExecute(self):
        """(True, '') if the engine is set up, else (False, the sentence that says what to do)."""
        try:
            environment.find()
        except environment.EngineMissing as missing:
            return False, str(missing)
        return True, ""

    def checkParameterValues(self, parameters, context):
        """The engine (qgis_process never calls `canExecute`), the checks of QGIS, and `problem`."""
        ok, why = self.canExecute()
        if ok:
            ok, why = super().checkParameterValues(parameters, context)
        if ok:
            why = self.problem(parameters, context)
        return ok and not why, why

    def prepareAlgorithm(self, parameters, context, feedback):
        """Read layers and project: the job's fields are plain strings and numbers from here on."""
        self.fields = self.jobParameters(parameters, context, feedback)
        self.to_load = dict(context.layersToLoadOnCompletion())
        return True

    def processAlgorithm(self, parameters, context, feedback):
        """Run the job; returns the declared outputs."""
        try:
            where = environment.find()
        except environment.EngineMissing as missing:
            raise QgsProcessingException(str(missing)) from missing
        self.result = process.run_job(self.JOB, self.fields, feedback, where)
        self.outputs = declared_outputs(self, self.result, self.fields)
        return self.outputs

    def postProcessAlgorithm(self, context, feedback):
        """Hand the result to `afterJob`, on the thread of the caller."""
        # A background thread has a context of its own, whose list of layers to load replaces the one that
        # the destinations were entered in when they were read.
        for path, details in self.to_load.items():
            if not context.willLoadLayerOnCompletion(path):
                context.addLayerToLoadOnCompletion(path, details)
        self.afterJob(self.result, self.outputs, context, feedback)
        return self.outputs


def declared_outputs(algorithm, result, fields):
    """Outputs of `algorithm` by declared name, from the engine's lower-case outputs and scores.

    Args:
        algorithm: declares the outputs.
        result: `messages.EngineResult`.
        fields: the job's fields; a destination in them is a file that the user waits for.

    Raises:
        QgsProcessingException: a file that was promised or asked for does not exist.
    """
    found = {}
    for definition in algorithm.outputDefinitions():
        name = definition.name()
        key = name.lower()
        if key in result.outputs or (key in fields and algorithm.parameterDefinition(name) is not None):
            path = result.outputs.get(key) or fields.get(key)
            if path:
                _check_exists(name, str(path))
                found[name] = str(path)
        elif result.scores.get(key) is not None:  # a score that could not be measured is no output
            found[name] = _score(definition, result.scores[key])
    return found


def _check_exists(name, path):
    if not os.path.exists(path.split("|")[0]):
        text = tr(
            "The engine says that it is done, but the file of output {name} is not there: {path}. Check that "
            "the folder is on a disk that is still connected, and run again."
        )
        raise QgsProcessingException(text.format(name=name, path=path))


def _score(definition, value):
    if isinstance(definition, QgsProcessingOutputNumber):
        return float(value) if isinstance(value, (int, float)) else None
    if isinstance(definition, QgsProcessingOutputString):
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return value
