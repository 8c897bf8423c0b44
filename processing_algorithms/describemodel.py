"""Describe model: what a model file knows, on one page."""

from qgis.core import QgsProcessingOutputNumber, QgsProcessingOutputString

from ..algorithm import EngineAlgorithm
from ..i18n import tr
from .definitions import MODEL_FILTER, file_input, file_output
from .documented import InMapping
from .mapinputs import OfModel


class DescribeModel(OfModel, InMapping, EngineAlgorithm):
    """Prints bands, classes, dates, provenance and scores of a model."""

    JOB = "describemodel"

    def displayName(self):
        """Name in the Toolbox."""
        return tr("Describe model")

    def shortDescription(self):
        """One line for tooltips and `qgis_process help`."""
        return tr("Shows bands, classes, dates, origin and scores of a model file.")

    def tags(self):
        """Words that find it in the Toolbox."""
        return tr("model card,inspect,info,metadata,classes,bands,safetensors").split(",")

    def initAlgorithm(self, config=None):
        """Declare parameters and outputs."""
        self.addParameter(
            file_input(
                "MODEL",
                tr("Model"),
                tr("A .safetensors file. Opening it can't run code, whoever made it."),
                MODEL_FILTER,
            )
        )
        self.addParameter(
            file_output(
                "OUTPUT_HTML",
                tr("Description"),
                tr("The model card as a page."),
                tr("HTML files (*.html)"),
                optional=True,
            )
        )
        self.addOutput(QgsProcessingOutputString("CLASSES", tr("Classes")))
        self.addOutput(QgsProcessingOutputString("BANDS", tr("Bands")))
        self.addOutput(QgsProcessingOutputNumber("MACRO_F1", tr("Macro-F1 on held-out blocks")))
