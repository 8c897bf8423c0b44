"""Engine status: what to paste into a bug report."""

import os
from pathlib import Path

from qgis.core import (
    QgsProcessingAlgorithm,
    QgsProcessingException,
    QgsProcessingOutputString,
    QgsProcessingParameterFileDestination,
)

from .. import diagnosis
from ..i18n import tr


class EngineStatus(QgsProcessingAlgorithm):
    """Collects versions, devices, folders and the last error; works without an engine, too."""

    def createInstance(self):
        """A fresh instance."""
        return EngineStatus()

    def name(self):
        """Stable id."""
        return "enginestatus"

    def displayName(self):
        """Name in the Toolbox."""
        return tr("Engine status")

    def group(self):
        """Group in the Toolbox."""
        return tr("Engine")

    def groupId(self):
        """Stable id of the group."""
        return "engine"

    def tags(self):
        """Words that find it."""
        return tr("version,device,gpu,cuda,bug report,diagnosis,log,troubleshooting").split(",")

    def shortDescription(self):
        """One line for tooltip and command line."""
        return tr(
            "Shows versions, devices with memory, folders and the last error, to paste into a bug report."
        )

    def shortHelpString(self):
        """Help beside the dialog."""
        return tr(
            "<p>Asks the engine which versions and devices it has, and adds those of QGIS, the folders in "
            "use and "
            "the last error of the logs. Paste the text into a bug report.</p>"
            "<p>It works when the engine is missing, too, and then says what to do. Takes a few seconds.</p>"
        )

    def helpUrl(self):
        """Page of the documentation."""
        return "https://github.com/sits-for-qgis/sits-for-qgis/blob/main/docs/algorithms/enginestatus.md"

    def initAlgorithm(self, config=None):
        """Declare parameters and outputs."""
        report = QgsProcessingParameterFileDestination(
            "REPORT", tr("Report"), tr("HTML files (*.html);;Text files (*.txt)"), None, True, True
        )
        report.setHelp(tr("The same text as a file: a page (.html), or plain text (.txt)."))
        self.addParameter(report)
        self.addOutput(QgsProcessingOutputString("STATUS", tr("Status")))

    def processAlgorithm(self, parameters, context, feedback):
        """Collect and show."""
        facts = diagnosis.collect(feedback)
        text = diagnosis.as_text(facts)
        for line in text.splitlines():
            feedback.pushInfo(line)
        results = {"STATUS": text}
        path = self.parameterAsFileOutput(parameters, "REPORT", context)
        if path:
            content = text + "\n" if path.lower().endswith(".txt") else diagnosis.as_html(facts)
            write(path, content)
            results["REPORT"] = path
        return results


def write(path, content):
    """Write `content` to `path`, complete or not at all.

    Raises:
        QgsProcessingException: the place can't be written to.
    """
    temporary = Path(path).with_name(f".{Path(path).name}.{os.getpid()}")
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(content, encoding="utf-8")
        os.replace(temporary, path)
    except OSError as error:
        text = tr("The report can't be written to {path}: {reason}. Choose another folder.")
        raise QgsProcessingException(text.format(path=path, reason=error.strerror or error)) from error
